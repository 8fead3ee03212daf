// SPDX-License-Identifier: Apache-2.0
// simd_avx512.h's functions of words that hold bf16, bytes or 16 bits.
#pragma once

#include "kernels/simd_avx512.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

// The same word in every lane.
inline Vec set_word(uint32_t v) {
  return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(v)));
}

#ifdef __AVX512BF16__
inline Vec dot_bf16(Vec x, Vec w, Vec sum) {
  return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w);
}
inline Vec unpack_bf16(Vec words, int i) {
  const __m512i bits = _mm512_castps_si512(words);
  return _mm512_castsi512_ps(i == 0 ? _mm512_maskz_slli_epi32(0xFFFF, bits, 16)
                                    : _mm512_and_epi32(bits, _mm512_set1_epi32(-65536)));
}
// Of 16 bf16.
inline Vec floats_of(__m256i bf16) {
  return _mm512_castsi512_ps(
      _mm512_maskz_slli_epi32(0xFFFF, _mm512_maskz_cvtepu16_epi32(0xFFFF, bf16), 16));
}
// Of each lane those of `low` and `high`, as the lower and the upper half.
inline Vec upper_halves(Vec low, Vec high) {
  const __m512i down = _mm512_maskz_srli_epi32(0xFFFF, _mm512_castps_si512(low), 16);
  return _mm512_castsi512_ps(_mm512_mask_mov_epi16(down, 0xAAAAAAAAu, _mm512_castps_si512(high)));
}
// The first half of a vector's words: of each lane the nearest.
inline void store_half_bf16(float* dst, Vec v) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(dst), (__m256i)_mm512_cvtneps_pbh(v));
}
// [pixel][channel]
inline void store_panel_bf16(float* dst, const Vec* v) {
  _mm512_storeu_si512(dst, (__m512i)_mm512_cvtne2ps_pbh(v[1], v[0]));
}
// [channel][pixel]
inline void store_plane_bf16(float* dst, const Vec* v) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  _mm512_store_si512(dst, _mm512_maskz_permutexvar_epi16(0xFFFFFFFF, order,
                                                         (__m512i)_mm512_cvtne2ps_pbh(v[1], v[0])));
}
#endif

#ifdef __AVX512VNNI__
constexpr int kInt8PerWord = 4;

inline Vec dot_int8(Vec x, Vec w, Vec sum) {
  return _mm512_castsi512_ps(_mm512_dpbusd_epi32(_mm512_castps_si512(sum), _mm512_castps_si512(x),
                                                 _mm512_castps_si512(w)));
}
inline Vec dot_int16(Vec x, Vec w, Vec sum) {
  return _mm512_castsi512_ps(_mm512_dpwssd_epi32(_mm512_castps_si512(sum), _mm512_castps_si512(x),
                                                 _mm512_castps_si512(w)));
}
inline Vec add_int32(Vec a, Vec b) {
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
inline Vec sub_int32(Vec a, Vec b) {
  return _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
inline Vec add_int16(Vec a, Vec b) {
  return _mm512_castsi512_ps(_mm512_add_epi16(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
inline Vec sub_int16(Vec a, Vec b) {
  return _mm512_castsi512_ps(_mm512_sub_epi16(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
inline Vec int32_to_float(Vec v) {
  return _mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_castps_si512(v));
}
inline __m512i to_int32(Vec v) { return _mm512_maskz_cvtps_epi32(0xFFFF, v); }
// The nearest whole numbers, of values that 16 bits hold.
inline void store_int16(int16_t* dst, Vec v) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(dst),
                     _mm512_maskz_cvtepi32_epi16(0xFFFF, to_int32(v)));
}
inline Vec beyond_whole(Vec v) { return _mm512_maskz_reduce_ps(0xFFFF, v, 0); }
// Byte i of each word, by one shuffle: 0xFF (of − 256) in the upper bytes of `from` makes zeros.
inline Vec unpack_int8(Vec words, int i) {
  const __m512i from = _mm512_set4_epi32(i + 12 - 256, i + 8 - 256, i + 4 - 256, i - 256);
  const __m512i bytes = _mm512_shuffle_epi8(_mm512_castps_si512(words), from);
  return _mm512_maskz_cvtepi32_ps(0xFFFF, bytes);
}
// Four vectors of floats to bytes; 128 bits hold four channels of each pixel: [pixel][4].
inline __m512i to_bytes(const Vec* v) {
  return _mm512_packus_epi16(_mm512_packs_epi32(to_int32(v[0]), to_int32(v[1])),
                             _mm512_packs_epi32(to_int32(v[2]), to_int32(v[3])));
}
// [pixel][channel]
inline void store_panel_int8(float* dst, const Vec* v) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_storeu_si512(dst, _mm512_maskz_permutexvar_epi32(0xFFFF, order, to_bytes(v)));
}
// [channel][pixel]
inline void store_plane_int8(float* dst, const Vec* v) {
  const __m512i order = _mm512_maskz_broadcast_i32x4(
      0xFFFF, _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  _mm512_store_si512(dst, _mm512_shuffle_epi8(to_bytes(v), order));
}
#endif

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
