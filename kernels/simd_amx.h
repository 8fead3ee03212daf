// SPDX-License-Identifier: Apache-2.0
// AMX: eight registers of 16 rows of 64 bytes, beside the vectors of AVX-512. In assembly, since
// the compiler's own functions take a register's number as text.
#pragma once

#include "kernels/simd_avx512.h"

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

// Neither is aligned.
inline void copy_words(float* dst, const float* src, int n) {
  for (int i = 0; i < n; i += 16) {
    const auto mask = static_cast<__mmask16>(n - i < 16 ? (1 << (n - i)) - 1 : 0xFFFF);
    _mm512_mask_storeu_ps(dst + i, mask, _mm512_maskz_loadu_ps(mask, src + i));
  }
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
