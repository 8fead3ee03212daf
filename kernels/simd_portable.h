// SPDX-License-Identifier: Apache-2.0
// A fixed number of floats in the compiler's own vector type, lowered to what the target has (SSE2,
// NEON, scalar). Two roundings a multiply-add.
#pragma once

#include "kernels/bf16.inl.h"
#include "kernels/kernels.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

// A test sets the lanes, tiles and words (below) of another variant, to run the kernel texts with
// them on any CPU.
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
// The second operand where either is NaN, so that NaN goes through max(bound, x) and min(bound, x).
inline Vec max(Vec bound, Vec x) { CONVMIXER_EACH_QUAD(bound.q[i] > x.q[i] ? bound.q[i] : x.q[i]); }
inline Vec min(Vec bound, Vec x) { CONVMIXER_EACH_QUAD(bound.q[i] < x.q[i] ? bound.q[i] : x.q[i]); }

inline Vec abs(Vec x) { CONVMIXER_EACH_QUAD(x.q[i] < 0 ? -x.q[i] : x.q[i]); }
// table[i], where i is the lowest 4 bits of each float.
inline Vec lookup(const float* table, Vec index) {
  Vec r;
  for (int i = 0; i < kLanes; ++i) {
    const float value = index.q[i / 4][i % 4];
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof(bits));
    r.q[i / 4][i % 4] = table[bits & 15];
  }
  return r;
}

// Words as integers.
typedef int32_t IntQuad __attribute__((vector_size(16)));
typedef uint32_t WordQuad __attribute__((vector_size(16)));

// The same word in every lane.
inline Vec set_word(uint32_t v) { CONVMIXER_EACH_QUAD((Quad)(WordQuad{v, v, v, v})); }

inline Vec unpack_bf16(Vec words, int value) {
  CONVMIXER_EACH_QUAD(
      (Quad)(value == 0 ? (WordQuad)words.q[i] << 16 : (WordQuad)words.q[i] & 0xffff0000u));
}
inline Vec dot_bf16(Vec x, Vec w, Vec sum) {
  sum = fma(unpack_bf16(x, 0), unpack_bf16(w, 0), sum);
  return fma(unpack_bf16(x, 1), unpack_bf16(w, 1), sum);
}

#ifndef CONVMIXER_PORTABLE_INT8_PER_WORD
#define CONVMIXER_PORTABLE_INT8_PER_WORD 4
#endif
constexpr int kInt8PerWord = CONVMIXER_PORTABLE_INT8_PER_WORD, kInt8Bits = 32 / kInt8PerWord;

inline Vec dot_int8(Vec x, Vec w, Vec sum) {
#pragma GCC unroll 4
  for (int i = 0; i < kQuads; ++i) {
    IntQuad s = (IntQuad)sum.q[i];
    for (int k = 0; k < kInt8PerWord; ++k) {
      const int above = 32 - kInt8Bits - kInt8Bits * k;
      s += ((IntQuad)x.q[i] >> (kInt8Bits * k) & 255) *
           ((IntQuad)w.q[i] << above >> (32 - kInt8Bits));
    }
    sum.q[i] = (Quad)s;
  }
  return sum;
}
inline Vec add_int32(Vec a, Vec b) {
  CONVMIXER_EACH_QUAD((Quad)((IntQuad)a.q[i] + (IntQuad)b.q[i]));
}
inline Vec sub_int32(Vec a, Vec b) {
  CONVMIXER_EACH_QUAD((Quad)((IntQuad)a.q[i] - (IntQuad)b.q[i]));
}
inline Vec int32_to_float(Vec v) {
  CONVMIXER_EACH_QUAD(__builtin_convertvector((IntQuad)v.q[i], Quad));
}
inline Vec unpack_int8(Vec words, int value) {
  CONVMIXER_EACH_QUAD(
      __builtin_convertvector((IntQuad)words.q[i] >> (kInt8Bits * value) & 255, Quad));
}
#undef CONVMIXER_EACH_QUAD

// dst[pixel][channel] or dst[channel][pixel] = kCount values of each channel, as kElement makes
// them.
template <int kCount, typename Element, Element (*kElement)(float)>
inline void store_elements(float* dst, const Vec* v, bool pixels_first) {
  Element elements[kCount * kLanes];
  for (int p = 0; p < kCount; ++p) {
    for (int c = 0; c < kLanes; ++c) {
      elements[pixels_first ? p * kLanes + c : c * kCount + p] = kElement(v[p].q[c / 4][c % 4]);
    }
  }
  __builtin_memcpy(dst, elements, sizeof(elements));
}
#if CONVMIXER_PORTABLE_INT8_PER_WORD == 4
using ByteElement = uint8_t;
#else
using ByteElement = uint16_t;
#endif
// Adding 1.5·2²³ rounds to a whole number, ties to even.
inline ByteElement to_byte(float v) {
  v = v > 0.0f ? v : 0.0f;
  v = v < 255.0f ? v : 255.0f;
  return static_cast<ByteElement>(v + 12582912.0f - 12582912.0f);
}
inline void store_panel_bf16(float* dst, const Vec* v) {
  store_elements<2, uint16_t, to_bf16>(dst, v, true);
}
inline void store_plane_bf16(float* dst, const Vec* v) {
  store_elements<2, uint16_t, to_bf16>(dst, v, false);
}
inline void store_panel_int8(float* dst, const Vec* v) {
  store_elements<kInt8PerWord, ByteElement, to_byte>(dst, v, true);
}
inline void store_plane_int8(float* dst, const Vec* v) {
  store_elements<kInt8PerWord, ByteElement, to_byte>(dst, v, false);
}

// Into L2, for reading or writing soon.
inline void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
