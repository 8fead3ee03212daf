// SPDX-License-Identifier: Apache-2.0
// The functions of kernels/simd_amx.h on vectors, on any CPU.
#pragma once

#include "kernels/simd_portable_words.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

inline void transpose(Vec (&v)[16]) {
  alignas(64) float words[16][16];
  for (int i = 0; i < 16; ++i) store(words[i], v[i]);
  for (int i = 0; i < 16; ++i) {
    alignas(64) float column[16];
    for (int j = 0; j < 16; ++j) column[j] = words[j][i];
    v[i] = load(column);
  }
}

inline Vec nearest_bf16(Vec v) {
  CONVMIXER_EACH_QUAD((Quad)(((WordQuad)v.q[i] + 0x8000u) & 0xffff0000u));
}
inline void store_upper_halves(float* dst, Vec v) {
  uint16_t halves[2 * kLanes], upper[kLanes];
  __builtin_memcpy(halves, &v, sizeof(halves));
  for (int i = 0; i < kLanes; ++i) upper[i] = halves[2 * i + 1];
  __builtin_memcpy(dst, upper, sizeof(upper));
}

inline Vec load_taps(const float* src) {
  alignas(64) float words[16];
  __builtin_memcpy(words, src, sizeof(words));
  return load(words);
}
template <int kRows>
Vec shifted_taps(Vec rows, int by) {
  constexpr int kWidth = 16 / kRows;
  uint16_t taps[kRows][2 * kWidth], shifted[16][2];
  __builtin_memcpy(taps, &rows, sizeof(taps));
  for (int lane = 0; lane < 16; ++lane) {
    const int x = kRows == 1 ? lane : lane / 8 * 4 + lane % 4, row = kRows == 1 ? 0 : lane / 4 % 2;
    for (int i = 0; i < 2; ++i) {
      shifted[lane][i] = taps[row][(kWidth - 1 - x + by + i) % (2 * kWidth)];
    }
  }
  Vec v;
  __builtin_memcpy(&v, shifted, sizeof(shifted));
  return v;
}
inline Vec unpack_cell(const float* src) {
  uint16_t halves[16];
  __builtin_memcpy(halves, src, sizeof(halves));
  alignas(64) float values[16];
  for (int i = 0; i < 16; ++i) {
    const uint32_t bits = static_cast<uint32_t>(halves[i]) << 16;
    __builtin_memcpy(&values[i], &bits, sizeof(bits));
  }
  return load(values);
}
inline Vec unpack_cell(const float* src, const float* below) {
  const float rows[8] = {src[2], src[3], below[0], below[1], src[6], src[7], below[4], below[5]};
  return unpack_cell(rows);
}
template <int kHalf>
void store_half(float* dst, Vec v) {
  __builtin_memcpy(dst, reinterpret_cast<const float*>(&v) + 8 * kHalf, 32);
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
