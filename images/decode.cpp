// SPDX-License-Identifier: Apache-2.0
#include "images/decode.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "images/decoders.h"

namespace convmixer {
namespace {

bool begins_with(const ImageBytes& bytes, const char* text, std::size_t length,
                 std::size_t at = 0) {
  return bytes.size >= at + length && std::memcmp(bytes.data + at, text, length) == 0;
}

// The first bytes as text where they are printable, else in hexadecimal.
std::string first_bytes(const ImageBytes& bytes) {
  const std::size_t n = std::min<std::size_t>(bytes.size, 12);
  const bool printable =
      std::all_of(bytes.data, bytes.data + n, [](std::uint8_t b) { return b >= 0x20 && b < 0x7F; });
  if (printable) return std::string(1, '"').append(bytes.data, bytes.data + n).append(1, '"');
  std::string hex;
  for (std::size_t i = 0; i < n; ++i) {
    char digits[4];
    std::snprintf(digits, sizeof(digits), i == 0 ? "%02x" : " %02x",
                  static_cast<unsigned>(bytes.data[i]));
    hex += digits;
  }
  return hex;
}

}  // namespace

void check_pixels(std::uint64_t width, std::uint64_t height, const DecodeOptions& options,
                  const std::string& name) {
  constexpr std::uint64_t kAddressable = std::numeric_limits<std::ptrdiff_t>::max() / 3;
  const std::uint64_t most = std::min(options.max_pixels, kAddressable);
  if (width * height > most) {
    throw Error(Code::kLimit, name + ": expected at most " + std::to_string(most) +
                                  " pixels, found " + std::to_string(width) + "×" +
                                  std::to_string(height));
  }
}

RgbImage allocate_image(std::uint64_t width, std::uint64_t height, const DecodeOptions& options,
                        const std::string& name) {
  check_pixels(width, height, options, name);
  RgbImage image;
  image.width = static_cast<int>(width);
  image.height = static_cast<int>(height);
  image.pixels.resize(static_cast<std::size_t>(width * height) * 3);
  return image;
}

Window WholeImage::begin(int width, int height) {
  image.width = width;
  image.height = height;
  image.pixels.reserve(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
  return {0, 0, width, height};
}

void WholeImage::add(const std::uint8_t* row) {
  image.pixels.insert(image.pixels.end(), row, row + static_cast<std::size_t>(image.width) * 3);
}

void give(RgbImage image, const std::vector<std::uint8_t>& exif, RowSink& sink) {
  const RgbImage upright =
      apply_orientation(std::move(image), exif_orientation(exif.data(), exif.size()));
  const Window w = sink.begin(upright.width, upright.height);
  const std::size_t row_bytes = static_cast<std::size_t>(upright.width) * 3;
  const std::uint8_t* row = upright.pixels.data() + static_cast<std::size_t>(w.top) * row_bytes +
                            static_cast<std::size_t>(w.left) * 3;
  for (int y = 0; y < w.height; ++y, row += row_bytes) sink.add(row);
}

void decode_rows(const std::uint8_t* data, std::size_t size, const DecodeOptions& options,
                 const std::string& name, RowSink& sink) {
  const ImageBytes bytes{data, size, name};
  if (begins_with(bytes, "\xFF\xD8\xFF", 3)) return decode_jpeg(bytes, options, sink);
  if (begins_with(bytes, "\x89PNG\r\n\x1A\n", 8)) return decode_png(bytes, options, sink);
  if (begins_with(bytes, "RIFF", 4) && begins_with(bytes, "WEBP", 4, 8)) {
    return decode_webp(bytes, options, sink);
  }
  if (bytes.size == 0) bytes.fail("expected a JPEG, PNG or WebP image, found an empty file");
  bytes.fail("expected a JPEG, PNG or WebP image, found a file that begins with " +
             first_bytes(bytes));
}

RgbImage decode_image(const std::uint8_t* data, std::size_t size, const DecodeOptions& options,
                      const std::string& name) {
  WholeImage whole;
  decode_rows(data, size, options, name, whole);
  return std::move(whole.image);
}

}  // namespace convmixer
