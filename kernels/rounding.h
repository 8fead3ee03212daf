// SPDX-License-Identifier: Apache-2.0
// Roundings of one value at a time, which compilers make vectors of. Static, since objects of
// several instruction sets include them.
#pragma once

#include <stdint.h>

namespace convmixer {

// To the nearest, ties to even; NaN stays NaN.
static inline uint16_t to_bf16(float v) {
  uint32_t bits;
  __builtin_memcpy(&bits, &v, sizeof(bits));
  if (v != v) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// The nearest whole number, ties to even, of |v| ≤ 2²²: floats near 1.5·2²³ are whole.
static inline float to_whole(float v) { return v + 12582912.0f - 12582912.0f; }

}  // namespace convmixer
