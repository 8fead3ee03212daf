// SPDX-License-Identifier: Apache-2.0
// The orientation tag of EXIF, and what it asks for.
#include <cstring>
#include <utility>

#include "images/decoders.h"

namespace convmixer {
namespace {

// A TIFF block: byte order, the number 42, the offset of the first directory, whose entries are 12
// bytes: tag, type, count, value. What lies beyond its end reads as 0.
struct Tiff {
  const std::uint8_t* data;
  std::size_t size;
  bool big_endian;

  std::uint32_t number(std::size_t at, std::size_t bytes) const {
    if (at > size || size - at < bytes) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
      value = value << 8 | data[at + (big_endian ? i : bytes - 1 - i)];
    }
    return value;
  }
};

// Bytes of one value of those TIFF types that are whole numbers, else 0. The standard asks for a
// short; writers are not that strict, and neither is Pillow.
std::size_t bytes_of_integer(std::uint32_t type) {
  switch (type) {
    case 6:  // signed byte
      return 1;
    case 3:  // short, and signed
    case 8:
      return 2;
    case 4:  // long, signed, and the offset of a directory
    case 9:
    case 13:
      return 4;
    default:
      return 0;
  }
}

// The first of an entry's values; 0 where it has none or they are not all in the block. Values of
// up to 4 bytes stand in the entry itself, more of them where it says.
std::uint32_t first_value(const Tiff& t, std::size_t entry) {
  const std::size_t bytes = bytes_of_integer(t.number(entry + 2, 2));
  const std::uint64_t all = std::uint64_t{t.number(entry + 4, 4)} * bytes;
  const std::size_t at = all <= 4 ? entry + 8 : t.number(entry + 8, 4);
  if (all == 0 || at > t.size || all > t.size - at) return 0;
  return t.number(at, bytes);
}

// Where pixel (x, y) of the upright image lies in the stored one of w × h pixels.
std::pair<int, int> source_of(int orientation, int x, int y, int w, int h) {
  switch (orientation) {
    case 2:
      return {w - 1 - x, y};
    case 3:
      return {w - 1 - x, h - 1 - y};
    case 4:
      return {x, h - 1 - y};
    case 5:
      return {y, x};
    case 6:
      return {y, h - 1 - x};
    case 7:
      return {w - 1 - y, h - 1 - x};
    default:
      return {w - 1 - y, x};  // 8
  }
}

}  // namespace

int exif_orientation(const std::uint8_t* tiff, std::size_t size) {
  constexpr std::uint32_t kOrientation = 0x0112;
  // JPEG's mark of an EXIF block, six bytes with the terminator; some writers of PNG and WebP put
  // it there too.
  constexpr char kMark[] = "Exif\0";
  for (int i = 0; i < 2 && size >= sizeof(kMark) && std::memcmp(tiff, kMark, sizeof(kMark)) == 0;
       ++i) {
    tiff += sizeof(kMark);
    size -= sizeof(kMark);
  }
  if (size < 8 || tiff[0] != tiff[1] || (tiff[0] != 'I' && tiff[0] != 'M')) return 1;
  const Tiff t{tiff, size, tiff[0] == 'M'};
  if (t.number(2, 2) != 42) return 1;
  const std::size_t directory = t.number(4, 4);
  const std::uint32_t entries = t.number(directory, 2);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + std::size_t{12} * i;
    if (entry + 12 > size) return 1;
    if (t.number(entry, 2) != kOrientation) continue;
    const std::uint32_t value = first_value(t, entry);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

RgbImage apply_orientation(RgbImage image, int orientation) {
  if (orientation == 1) return image;
  const bool turned = orientation >= 5;
  RgbImage upright;
  upright.width = turned ? image.height : image.width;
  upright.height = turned ? image.width : image.height;
  upright.pixels.resize(image.pixels.size());
  std::uint8_t* to = upright.pixels.data();
  for (int y = 0; y < upright.height; ++y) {
    for (int x = 0; x < upright.width; ++x, to += 3) {
      const auto [sx, sy] = source_of(orientation, x, y, image.width, image.height);
      const std::size_t at = (static_cast<std::size_t>(sy) * static_cast<std::size_t>(image.width) +
                              static_cast<std::size_t>(sx)) *
                             3;
      for (std::size_t c = 0; c < 3; ++c) to[c] = image.pixels[at + c];
    }
  }
  return upright;
}

}  // namespace convmixer
