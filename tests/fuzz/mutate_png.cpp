// SPDX-License-Identifier: Apache-2.0
// libFuzzer's changes to a PNG file, with the chunks' checksums put right afterwards: libpng gives
// up at the first that is wrong.
#include <zlib.h>

#include <cstdint>

#include "mutate.h"

namespace {

std::uint32_t big_endian(const std::uint8_t* bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
         std::uint32_t{bytes[2]} << 8 | bytes[3];
}

}  // namespace

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                    unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 == 0) return size;                     // wrong checksums are inputs too
  constexpr std::size_t kSignature = 8, kFrame = 12;  // length, type, checksum
  for (std::size_t at = kSignature; size >= kFrame && at <= size - kFrame;) {
    const std::size_t length = big_endian(data + at);
    if (length > size - kFrame - at) break;
    const uLong sum = ::crc32(0, data + at + 4, static_cast<uInt>(length + 4));
    for (int i = 0; i < 4; ++i) {
      data[at + 8 + length + static_cast<std::size_t>(i)] =
          static_cast<std::uint8_t>(sum >> (24 - 8 * i));
    }
    at += kFrame + length;
  }
  return size;
}
