// SPDX-License-Identifier: Apache-2.0
// A fixed number of floats in the compiler's own vector type, lowered to what the target has (SSE2,
// NEON, scalar). Two roundings a multiply-add.
#pragma once

#include "kernels/copy.inl.h"
#include "kernels/kernels.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

// A test sets the lanes and tiles (and words, see simd_portable_words.h) of another variant, to run
// the kernel texts with them on any CPU.
#ifdef CONVMIXER_PORTABLE_LANES
constexpr int kLanes = CONVMIXER_PORTABLE_LANES;
constexpr int kPixelTile = CONVMIXER_PORTABLE_PIXEL_TILE;
constexpr int kRowTile = CONVMIXER_PORTABLE_ROW_TILE;
#else
constexpr int kLanes = 8;
// A vector takes two of 16 registers of 4 floats: 2 × 2 accumulators are 8, the weights 4.
constexpr int kPixelTile = 2;
constexpr int kRowTile = 5;
#endif
constexpr int kSumWords = 256;
constexpr int kWordUnroll = 4;
constexpr int kMemoryPixels = 0;  // no instruction broadcasts its operand
constexpr int kPeakChains = 6;
constexpr bool kGeluPieces = kLanes == 16;  // as the other variant of such lanes

// Quarters of 16 bytes: the register that SSE2 and NEON have, and that g++ keeps in registers,
// which it does not do with longer vectors than the target's.
typedef float Quad __attribute__((vector_size(16)));
constexpr int kQuads = kLanes / 4;
struct Vec {
  Quad q[kQuads];
};

#define CONVMIXER_EACH_QUAD(expression)                                           \
  Vec r;                                                                          \
  _Pragma("GCC unroll 4") for (int i = 0; i < kQuads; ++i) r.q[i] = (expression); \
  return r

inline Vec load(const float* p) { CONVMIXER_EACH_QUAD(reinterpret_cast<const Quad*>(p)[i]); }
inline void store(float* p, Vec v) {
#pragma GCC unroll 4
  for (int i = 0; i < kQuads; ++i) reinterpret_cast<Quad*>(p)[i] = v.q[i];
}
inline Vec set1(float v) { CONVMIXER_EACH_QUAD(v - Quad{}); }  // v − 0 is v, also for −0 and NaN
// Any word: no arithmetic, which changes some NaNs.
inline Vec broadcast(const float* p) { CONVMIXER_EACH_QUAD((Quad{*p, *p, *p, *p})); }
inline Vec add(Vec a, Vec b) { CONVMIXER_EACH_QUAD(a.q[i] + b.q[i]); }
inline Vec sub(Vec a, Vec b) { CONVMIXER_EACH_QUAD(a.q[i] - b.q[i]); }
inline Vec mul(Vec a, Vec b) { CONVMIXER_EACH_QUAD(a.q[i] * b.q[i]); }
inline Vec div(Vec a, Vec b) { CONVMIXER_EACH_QUAD(a.q[i] / b.q[i]); }
#ifdef CONVMIXER_FUSED  // one rounding, as the other variants, however long it takes
inline Vec fma(Vec a, Vec b, Vec c) {
  Vec r;
  for (int i = 0; i < kLanes; ++i) {
    r.q[i / 4][i % 4] = __builtin_fmaf(a.q[i / 4][i % 4], b.q[i / 4][i % 4], c.q[i / 4][i % 4]);
  }
  return r;
}
#else
inline Vec fma(Vec a, Vec b, Vec c) { CONVMIXER_EACH_QUAD(a.q[i] * b.q[i] + c.q[i]); }
#endif
inline void accumulate(Vec& sum, Vec a, Vec b) { sum = fma(a, b, sum); }  // sum += a·b
inline void accumulate_word(Vec& sum, const float* a, Vec b) { accumulate(sum, broadcast(a), b); }
// The second operand where either is NaN, so that NaN goes through max(bound, x) and min(bound, x).
inline Vec max(Vec bound, Vec x) { CONVMIXER_EACH_QUAD(bound.q[i] > x.q[i] ? bound.q[i] : x.q[i]); }
inline Vec min(Vec bound, Vec x) { CONVMIXER_EACH_QUAD(bound.q[i] < x.q[i] ? bound.q[i] : x.q[i]); }

// min(bound, |x|) where bound ≥ 0, and bound where x is NaN.
inline Vec least_absolute(Vec bound, Vec x) {
  x = max(sub(set1(0.0f), x), x);
  CONVMIXER_EACH_QUAD(x.q[i] < bound.q[i] ? x.q[i] : bound.q[i]);
}
// v − round(4·v) / 4
inline Vec beyond_quarters(Vec v) {
  CONVMIXER_EACH_QUAD(v.q[i] - (v.q[i] + 3145728.0f - 3145728.0f));
}
// table[i] of 32, where i is the lowest 5 bits of each float.
inline Vec lookup(const float* table, Vec index) {
  Vec r;
  for (int i = 0; i < kLanes; ++i) {
    const float value = index.q[i / 4][i % 4];
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof(bits));
    r.q[i / 4][i % 4] = table[bits & 31];
  }
  return r;
}

inline Vec load_values(const float* src) { return load(src); }
inline Vec load_values(const unsigned char* src) {
  typedef int32_t Whole __attribute__((vector_size(16)));
  CONVMIXER_EACH_QUAD(__builtin_convertvector(
      (Whole{src[4 * i], src[4 * i + 1], src[4 * i + 2], src[4 * i + 3]}), Quad));
}

// Into L2, for reading or writing soon.
inline void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
