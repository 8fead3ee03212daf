// SPDX-License-Identifier: Apache-2.0
// 16 floats a vector, 32 registers.
#pragma once

#include <immintrin.h>

#include "kernels/kernels.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

using Vec = __m512;

constexpr int kLanes = 16;
constexpr const char* kName = "avx512";
// 14 × 2 accumulators, 2 weight vectors: 30 of 32 registers; the broadcasts are memory operands.
constexpr int kPixelTile = 14;
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
// The second operand where either is NaN, so that NaN goes through max(bound, x) and min(bound, x).
// (The forms with a full mask are the same instructions; g++ 12 warns inside the unmasked ones.)
inline Vec max(Vec bound, Vec x) { return _mm512_maskz_max_ps(0xFFFF, bound, x); }
inline Vec min(Vec bound, Vec x) { return _mm512_maskz_min_ps(0xFFFF, bound, x); }
inline Vec abs(Vec x) { return _mm512_abs_ps(x); }
// table[i], where i is the lowest 4 bits of each float.
inline Vec lookup(const float* table, Vec index) {
  return _mm512_maskz_permutexvar_ps(0xFFFF, _mm512_castps_si512(index), load(table));
}

// Into L2, for reading or writing soon.
inline void prefetch(const float* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
