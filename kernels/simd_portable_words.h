// SPDX-License-Identifier: Apache-2.0
// simd_portable.h's functions of words that hold bf16, bytes or 16 bits.
#pragma once

#include "kernels/rounding.h"
#include "kernels/simd_portable.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

// Words as integers.
typedef int32_t IntQuad __attribute__((vector_size(16)));
typedef int16_t ShortQuad __attribute__((vector_size(16)));  // eight of them
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

inline Vec dot_int16(Vec x, Vec w, Vec sum) {
  CONVMIXER_EACH_QUAD((Quad)((IntQuad)sum.q[i] + ((IntQuad)x.q[i] >> 16) * ((IntQuad)w.q[i] >> 16) +
                             ((IntQuad)x.q[i] << 16 >> 16) * ((IntQuad)w.q[i] << 16 >> 16)));
}
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
inline Vec add_int16(Vec a, Vec b) {
  CONVMIXER_EACH_QUAD((Quad)((ShortQuad)a.q[i] + (ShortQuad)b.q[i]));
}
inline Vec sub_int16(Vec a, Vec b) {
  CONVMIXER_EACH_QUAD((Quad)((ShortQuad)a.q[i] - (ShortQuad)b.q[i]));
}
inline Vec int32_to_float(Vec v) {
  CONVMIXER_EACH_QUAD(__builtin_convertvector((IntQuad)v.q[i], Quad));
}
// The nearest whole numbers, of values that 16 bits hold.
inline void store_int16(int16_t* dst, Vec v) {
  for (int i = 0; i < kLanes; ++i) {
    dst[i] = static_cast<int16_t>(to_whole(v.q[i / 4][i % 4]));
  }
}
inline Vec beyond_whole(Vec v) {
  CONVMIXER_EACH_QUAD(v.q[i] - (v.q[i] + 12582912.0f - 12582912.0f));
}
inline Vec unpack_int8(Vec words, int value) {
  CONVMIXER_EACH_QUAD(
      __builtin_convertvector((IntQuad)words.q[i] >> (kInt8Bits * value) & 255, Quad));
}

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
inline ByteElement to_byte(float v) { return static_cast<ByteElement>(v > 0 ? to_whole(v) : 0); }
inline void store_panel_bf16(float* dst, const Vec* v) {
  store_elements<2, uint16_t, to_bf16>(dst, v, true);
}
inline void store_plane_bf16(float* dst, const Vec* v) {
  store_elements<2, uint16_t, to_bf16>(dst, v, false);
}
// Of each lane those of `low` and `high`, as the lower and the upper half.
inline Vec upper_halves(Vec low, Vec high) {
  CONVMIXER_EACH_QUAD((Quad)((WordQuad)low.q[i] >> 16 | ((WordQuad)high.q[i] & 0xffff0000u)));
}
// The first half of a vector's words: of each lane the nearest.
inline void store_half_bf16(float* dst, Vec v) {
  uint16_t elements[kLanes];
  for (int c = 0; c < kLanes; ++c) elements[c] = to_bf16(v.q[c / 4][c % 4]);
  __builtin_memcpy(dst, elements, sizeof(elements));
}
inline void store_panel_int8(float* dst, const Vec* v) {
  store_elements<kInt8PerWord, ByteElement, to_byte>(dst, v, true);
}
inline void store_plane_int8(float* dst, const Vec* v) {
  store_elements<kInt8PerWord, ByteElement, to_byte>(dst, v, false);
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
