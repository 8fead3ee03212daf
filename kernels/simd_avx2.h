// SPDX-License-Identifier: Apache-2.0
// 8 floats a vector, 16 registers.
#pragma once

#include <immintrin.h>

#include "kernels/kernels.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

using Vec = __m256;

constexpr int kLanes = 8;
constexpr const char* kName = "avx2";
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
// Into L2, for reading or writing soon.
inline void prefetch(const float* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
