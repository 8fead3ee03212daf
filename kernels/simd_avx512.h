// SPDX-License-Identifier: Apache-2.0
// 16 floats a vector, 32 registers.
#pragma once

#include <immintrin.h>

#include "kernels/copy_avx512.inl.h"
#include "kernels/kernels.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

using Vec = __m512;

constexpr int kLanes = 16;
// 14 × 2 accumulators, 2 weight vectors, 1 broadcast: 31 of 32 registers.
constexpr int kPixelTile = 14;
constexpr int kSumWords = 256;
constexpr int kWordUnroll = 16;  // all of a block; of 4, GCC 12 adds 12 instructions a turn
// Of the pixels of a whole tile, and as many of a smaller one in proportion: those whose words are
// broadcast by the multiply-adds, an instruction less and a load more. 34 instructions for 28
// multiply-adds instead of 44, of which a core whose other hyperthread is busy starts three a
// cycle, and 26 loads instead of 16.
constexpr int kMemoryPixels = 10;
// 16 accumulators, 1 weight vector; the inputs are memory operands.
constexpr int kRowTile = 16;
constexpr int kPeakChains = 24;
constexpr bool kGeluPieces = true;  // a lookup is one instruction

inline Vec load(const float* p) { return _mm512_load_ps(p); }
inline void store(float* p, Vec v) { _mm512_store_ps(p, v); }
inline Vec broadcast(const float* p) { return _mm512_set1_ps(*p); }
inline Vec set1(float v) { return _mm512_set1_ps(v); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }  // a·b + c
// sum += a·b, in the register that holds it; see simd_avx2.h.
inline void accumulate(Vec& sum, Vec a, Vec b) {
  __asm__("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
// sum += *a·b
inline void accumulate_word(Vec& sum, const float* a, Vec b) {
  __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(b), "m"(*a));
}
// The second operand where either is NaN, so that NaN goes through max(bound, x) and min(bound, x).
// (The forms with a full mask are the same instructions; g++ 12 warns inside the unmasked ones.)
inline Vec max(Vec bound, Vec x) { return _mm512_maskz_max_ps(0xFFFF, bound, x); }
inline Vec min(Vec bound, Vec x) { return _mm512_maskz_min_ps(0xFFFF, bound, x); }
// min(bound, |x|) where bound ≥ 0, and bound where x is NaN.
inline Vec least_absolute(Vec bound, Vec x) { return _mm512_maskz_range_ps(0xFFFF, bound, x, 10); }
// v − round(4·v) / 4
inline Vec beyond_quarters(Vec v) { return _mm512_maskz_reduce_ps(0xFFFF, v, 0x20); }
// table[i] of 32, where i is the lowest 5 bits of each float.
inline Vec lookup(const float* table, Vec index) {
  return _mm512_maskz_permutex2var_ps(0xFFFF, load(table), _mm512_castps_si512(index),
                                      load(table + kLanes));
}

// A vector of an image's values, which copy_values has copied.
inline Vec load_values(const float* src) { return _mm512_load_ps(src); }
inline Vec load_values(const unsigned char* src) {
  const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(src));
  return _mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_maskz_cvtepu8_epi32(0xFFFF, bytes));
}

// Into L2, for reading or writing soon.
inline void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
