// SPDX-License-Identifier: Apache-2.0
// WebP by libwebp; still images, alpha dropped.
#include <webp/decode.h>

#include <cstring>
#include <new>
#include <utility>

#include "images/decoders.h"

namespace convmixer {
namespace {

// RIFF: a 12-byte header, then chunks of a name, a little-endian size and data padded to an even
// size. Extended files begin with the chunk VP8X, whose flags must announce the EXIF chunk.
void find_exif(const ImageBytes& bytes, std::vector<std::uint8_t>& exif) {
  constexpr std::uint8_t kExifFlag = 0x08;
  if (bytes.size < 21 || std::memcmp(bytes.data + 12, "VP8X", 4) != 0 ||
      (bytes.data[20] & kExifFlag) == 0) {
    return;
  }
  std::size_t at = 12;
  while (bytes.size >= 8 && at <= bytes.size - 8) {
    const std::uint8_t* const chunk = bytes.data + at;
    const std::size_t size =
        chunk[4] | chunk[5] << 8 | chunk[6] << 16 | std::size_t{chunk[7]} << 24;
    if (size > bytes.size - at - 8) return;
    if (std::memcmp(chunk, "EXIF", 4) == 0) {
      exif.assign(chunk + 8, chunk + 8 + size);
      return;
    }
    at += 8 + size + size % 2;
  }
}

const char* reason(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "it ends early";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "it uses a feature that libwebp does not know";
    default:
      return "its data is invalid";
  }
}

}  // namespace

void decode_webp(const ImageBytes& bytes, const DecodeOptions& options, RowSink& sink) {
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) {
    throw Error(Code::kInternal, "libwebp's version differs from its header's");
  }
  VP8StatusCode status = WebPGetFeatures(bytes.data, bytes.size, &config.input);
  if (status == VP8_STATUS_OUT_OF_MEMORY) throw std::bad_alloc();
  if (status != VP8_STATUS_OK) bytes.fail(std::string("damaged WebP image: ") + reason(status));
  if (config.input.has_animation != 0) {
    throw Error(Code::kUnsupported,
                bytes.name + ": expected a still image, found an animated WebP");
  }
  RgbImage image =
      allocate_image(static_cast<std::uint64_t>(config.input.width),
                     static_cast<std::uint64_t>(config.input.height), options, bytes.name);
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = image.pixels.data();
  config.output.u.RGBA.stride = image.width * 3;
  config.output.u.RGBA.size = image.pixels.size();
  status = WebPDecode(bytes.data, bytes.size, &config);
  WebPFreeDecBuffer(&config.output);
  if (status == VP8_STATUS_OUT_OF_MEMORY) throw std::bad_alloc();
  if (status != VP8_STATUS_OK) bytes.fail(std::string("damaged WebP image: ") + reason(status));
  std::vector<std::uint8_t> exif;
  if (options.exif_orientation) find_exif(bytes, exif);
  give(std::move(image), exif, sink);
}

}  // namespace convmixer
