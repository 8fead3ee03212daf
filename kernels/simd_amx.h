// SPDX-License-Identifier: Apache-2.0
// AMX: eight registers of 16 rows of 64 bytes, beside the vectors of AVX-512. In assembly, since
// the compiler's own functions take a register's number as text.
#pragma once

#include "kernels/simd_avx512_words.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

// The layout that LDTILECFG reads (Intel, "Software Developer's Manual", volume 1, chapter 18).
struct TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Clears the registers too.
inline void configure_tiles(const TileConfig& config) {
  __asm__ volatile("ldtilecfg %0" : : "m"(config));
}
// The system saves nothing of them any more.
inline void release_tiles() { __asm__ volatile("tilerelease"); }

template <int kTile>
inline void clear_tile() {
  __asm__ volatile("tilezero %%tmm%c0" : : "n"(kTile));
}
// Rows are `stride` bytes apart.
template <int kTile>
inline void load_tile(const float* src, ptrdiff_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2"
                   :
                   : "r"(src), "r"(stride), "n"(kTile)
                   : "memory");
}
// The same, of what is not to stay in L1.
template <int kTile>
inline void load_tile_once(const float* src, ptrdiff_t stride) {
  __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm%c2"
                   :
                   : "r"(src), "r"(stride), "n"(kTile)
                   : "memory");
}
template <int kTile>
inline void store_tile(float* dst, ptrdiff_t stride) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)"
                   :
                   : "r"(dst), "r"(stride), "n"(kTile)
                   : "memory");
}
// sum[m][n] += Σ over words k of the products of a[m][k] and b[k][n]: bf16, or unsigned times
// signed bytes.
template <Precision kOf, int kSum, int kA, int kB>
inline void dot_tiles() {
  if constexpr (kOf == kBf16) {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "n"(kSum), "n"(kA), "n"(kB));
  } else {
    __asm__ volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "n"(kSum), "n"(kA), "n"(kB));
  }
}

// v[i], lane j := v[j], lane i.
inline void transpose(Vec (&v)[16]) {
  __m512 t[16];
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {  // 4 × 4 in each 128 bits
    const __m512 a = _mm512_maskz_unpacklo_ps(0xFFFF, v[i], v[i + 1]),
                 b = _mm512_maskz_unpackhi_ps(0xFFFF, v[i], v[i + 1]),
                 c = _mm512_maskz_unpacklo_ps(0xFFFF, v[i + 2], v[i + 3]),
                 d = _mm512_maskz_unpackhi_ps(0xFFFF, v[i + 2], v[i + 3]);
    t[i] = _mm512_maskz_shuffle_ps(0xFFFF, a, c, 0x44);
    t[i + 1] = _mm512_maskz_shuffle_ps(0xFFFF, a, c, 0xEE);
    t[i + 2] = _mm512_maskz_shuffle_ps(0xFFFF, b, d, 0x44);
    t[i + 3] = _mm512_maskz_shuffle_ps(0xFFFF, b, d, 0xEE);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // the 128 bits themselves
    const __m512 a = _mm512_maskz_shuffle_f32x4(0xFFFF, t[i], t[4 + i], 0x88),
                 b = _mm512_maskz_shuffle_f32x4(0xFFFF, t[i], t[4 + i], 0xDD),
                 c = _mm512_maskz_shuffle_f32x4(0xFFFF, t[8 + i], t[12 + i], 0x88),
                 d = _mm512_maskz_shuffle_f32x4(0xFFFF, t[8 + i], t[12 + i], 0xDD);
    v[i] = _mm512_maskz_shuffle_f32x4(0xFFFF, a, c, 0x88);
    v[8 + i] = _mm512_maskz_shuffle_f32x4(0xFFFF, a, c, 0xDD);
    v[4 + i] = _mm512_maskz_shuffle_f32x4(0xFFFF, b, d, 0x88);
    v[12 + i] = _mm512_maskz_shuffle_f32x4(0xFFFF, b, d, 0xDD);
  }
}

// Of each lane the nearest bf16, as float; of two the one farther from zero. (A conversion takes
// the vector units twice as long.)
inline Vec nearest_bf16(Vec v) {
  const __m512i above = _mm512_add_epi32(_mm512_castps_si512(v), _mm512_set1_epi32(0x8000));
  return _mm512_castsi512_ps(_mm512_and_si512(above, _mm512_set1_epi32(-65536)));
}
// The upper half of each lane, one behind the other: half a vector.
inline void store_upper_halves(float* dst, Vec v) {
  const __m512i order = _mm512_set_epi16(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1,
                                         31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  const __m512i halves = _mm512_maskz_permutexvar_epi16(0xFFFFFFFF, order, _mm512_castps_si512(v));
  __builtin_memcpy(dst, &halves, 32);
}

#ifdef CONVMIXER_BF16
inline Vec load_taps(const float* src) { return _mm512_castsi512_ps(_mm512_loadu_si512(src)); }
// For the sums of a cell of depthwise_tiles.inl.h: pixels 0 to 3 of its first row, of its second,
// then 4 to 7 of both, or 16 of one row. For pixel x of a row of n the bf16 from n − 1 − x + by on,
// two of them, modulo 2n, of the row's taps.
template <int kRows>
inline Vec shifted_taps(Vec taps, int by) {
  const __m512i second = kRows == 1
                             ? _mm512_setzero_si512()
                             : _mm512_setr_epi64(0, 0, 0x0010001000100010, 0x0010001000100010, 0, 0,
                                                 0x0010001000100010, 0x0010001000100010);
  const __m512i order = kRows == 1
                            ? _mm512_setr_epi32(0x0010000F, 0x000F000E, 0x000E000D, 0x000D000C,
                                                0x000C000B, 0x000B000A, 0x000A0009, 0x00090008,
                                                0x00080007, 0x00070006, 0x00060005, 0x00050004,
                                                0x00040003, 0x00030002, 0x00020001, 0x00010000)
                            : _mm512_setr_epi32(0x00080007, 0x00070006, 0x00060005, 0x00050004,
                                                0x00080007, 0x00070006, 0x00060005, 0x00050004,
                                                0x00040003, 0x00030002, 0x00020001, 0x00010000,
                                                0x00040003, 0x00030002, 0x00020001, 0x00010000);
  const __m512i from = _mm512_add_epi16(order, _mm512_set1_epi16(static_cast<int16_t>(by)));
  const __m512i of_row = _mm512_and_si512(from, _mm512_set1_epi16(32 / kRows - 1));
  return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(
      0xFFFFFFFF, _mm512_or_si512(of_row, second), _mm512_castps_si512(taps)));
}
// Of 16 bf16.
inline Vec unpack_cell(const float* src) {
  return floats_of(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(src)));
}
// Its first row is the second one there and its second row the first one below.
inline Vec unpack_cell(const float* src, const float* below) {
  const __m256d a = _mm256_loadu_pd(reinterpret_cast<const double*>(src)),
                b = _mm256_loadu_pd(reinterpret_cast<const double*>(below));
  return floats_of(_mm256_castpd_si256(_mm256_shuffle_pd(a, b, 5)));
}
// The lower or the upper half of v.
template <int kHalf>
inline void store_half(float* dst, Vec v) {
  _mm256_storeu_ps(
      dst, _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xFF, _mm512_castps_pd(v), kHalf)));
}
#endif

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
