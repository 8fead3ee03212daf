// SPDX-License-Identifier: Apache-2.0
// 8 floats a vector, 16 registers.
#pragma once

#include <immintrin.h>

#include "kernels/kernels.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

using Vec = __m256;

constexpr int kLanes = 8;
// 6 × 2 accumulators, 2 weight vectors, 1 broadcast: 15 of 16 registers. 12 multiply-adds for 8
// loads, and 12 chains cover 2 ports × 4 cycles of latency.
constexpr int kPixelTile = 6;
// 8 accumulators cover 2 ports × 4 cycles of latency; the inputs are memory operands.
constexpr int kRowTile = 8;
constexpr int kPeakChains = 12;
constexpr bool kGeluPieces = false;  // a lookup would be five instructions

inline Vec load(const float* p) { return _mm256_load_ps(p); }
inline void store(float* p, Vec v) { _mm256_store_ps(p, v); }
inline Vec broadcast(const float* p) { return _mm256_broadcast_ss(p); }
inline Vec set1(float v) { return _mm256_set1_ps(v); }
inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }  // a·b + c
// The second operand where either is NaN, so that NaN goes through max(bound, x) and min(bound, x).
inline Vec max(Vec bound, Vec x) { return _mm256_max_ps(bound, x); }
inline Vec min(Vec bound, Vec x) { return _mm256_min_ps(bound, x); }
// The same word in every lane.
inline Vec set_word(uint32_t v) {
  return _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(v)));
}

// Four unsigned times four signed bytes a word.
inline Vec dot_int8(Vec x, Vec w, Vec sum) {
  const __m256i a = _mm256_castps_si256(x), b = _mm256_castps_si256(w),
                s = _mm256_castps_si256(sum);
#if defined(CONVMIXER_AVXVNNI)
  return _mm256_castsi256_ps(CONVMIXER_AVXVNNI(s, a, b));
#else
  // In 16 bits, the even bytes and the odd ones: the sum of two products of bytes may be 2 · 255 ·
  // 127, which vpmaddubsw would cut to 32,767.
  const __m256i low = _mm256_set1_epi16(255);
  const __m256i even =
      _mm256_madd_epi16(_mm256_and_si256(a, low), _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8));
  const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(a, 8), _mm256_srai_epi16(b, 8));
  return _mm256_castsi256_ps(_mm256_add_epi32(s, _mm256_add_epi32(even, odd)));
#endif
}
inline Vec add_int32(Vec a, Vec b) {
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
inline Vec sub_int32(Vec a, Vec b) {
  return _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
inline Vec int32_to_float(Vec v) { return _mm256_cvtepi32_ps(_mm256_castps_si256(v)); }
inline Vec unpack_int8(Vec words, int i) {
  const __m256i bytes = _mm256_srli_epi32(_mm256_castps_si256(words), 8 * i);
  return _mm256_cvtepi32_ps(_mm256_and_si256(bytes, _mm256_set1_epi32(255)));
}
// Four vectors of floats to bytes; 128 bits hold four channels of each pixel: [pixel][4].
inline __m256i to_bytes(const Vec* v) {
  __m256i q[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    q[i] = _mm256_cvtps_epi32(min(max(v[i], set1(0.0f)), set1(255.0f)));
  }
  return _mm256_packus_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
}
// [pixel][channel]
inline void store_panel_int8(float* dst, const Vec* v) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst),
                      _mm256_permutevar8x32_epi32(to_bytes(v), order));
}
// [channel][pixel]
inline void store_plane_int8(float* dst, const Vec* v) {
  const __m256i order = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  _mm256_store_si256(reinterpret_cast<__m256i*>(dst), _mm256_shuffle_epi8(to_bytes(v), order));
}

// Into L2, for reading or writing soon.
inline void prefetch(const float* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
