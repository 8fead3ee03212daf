// SPDX-License-Identifier: Apache-2.0
// 8 floats a vector, 16 registers.
#pragma once

#include <immintrin.h>

#include "kernels/copy.inl.h"
#include "kernels/kernels.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

using Vec = __m256;

constexpr int kLanes = 8;
// 6 × 2 accumulators, 2 weight vectors, 1 broadcast: 15 of 16 registers. 12 multiply-adds for 8
// loads, and 12 chains cover 2 ports × 4 cycles of latency.
constexpr int kPixelTile = 6;
// The weights of a part, 16 KiB, lie in an L1 cache of 32 KiB beside the sums, 64 bytes for each of
// up to 128 pixels, and the panel that streams through.
constexpr int kSumWords = 256;
constexpr int kWordUnroll = 16;   // all of a block: a loop costs as many instructions as two pixels
constexpr int kMemoryPixels = 0;  // no instruction broadcasts its operand
// 8 accumulators cover 2 ports × 4 cycles of latency; the inputs are memory operands.
constexpr int kRowTile = 8;
constexpr int kPeakChains = 12;
constexpr bool kGeluPieces = false;  // a lookup would be five instructions

inline Vec load(const float* p) { return _mm256_load_ps(p); }
inline void store(float* p, Vec v) { _mm256_store_ps(p, v); }
inline Vec broadcast(const float* p) { return _mm256_broadcast_ss(p); }
inline Vec set1(float v) { return _mm256_set1_ps(v); }
inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }  // a·b + c
// sum += a·b, in the register that holds it. Left the choice, GCC 12 puts some of a register tile's
// sums into other registers and moves them back: a tenth of the instructions of its loop.
inline void accumulate(Vec& sum, Vec a, Vec b) {
  __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
}
inline void accumulate_word(Vec& sum, const float* a, Vec b) { accumulate(sum, broadcast(a), b); }
// The second operand where either is NaN, so that NaN goes through max(bound, x) and min(bound, x).
inline Vec max(Vec bound, Vec x) { return _mm256_max_ps(bound, x); }
inline Vec min(Vec bound, Vec x) { return _mm256_min_ps(bound, x); }
// min(bound, |x|) where bound ≥ 0, and bound where x is NaN, hence the order.
inline Vec least_absolute(Vec bound, Vec x) { return min(_mm256_andnot_ps(set1(-0.0f), x), bound); }
// The same word in every lane.
inline Vec set_word(uint32_t v) {
  return _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(v)));
}

inline Vec add_int32(Vec a, Vec b) {
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
inline Vec sub_int32(Vec a, Vec b) {
  return _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
inline Vec add_int16(Vec a, Vec b) {
  return _mm256_castsi256_ps(_mm256_add_epi16(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
inline Vec sub_int16(Vec a, Vec b) {
  return _mm256_castsi256_ps(_mm256_sub_epi16(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
inline Vec int32_to_float(Vec v) { return _mm256_cvtepi32_ps(_mm256_castps_si256(v)); }
inline __m256i to_int32(Vec v) { return _mm256_cvtps_epi32(v); }  // the nearest whole numbers
inline Vec beyond_whole(Vec v) { return sub(v, _mm256_cvtepi32_ps(to_int32(v))); }
// The nearest whole numbers, of values that 16 bits hold.
inline void store_int16(int16_t* dst, Vec v) {
  const __m128i low = _mm256_castsi256_si128(to_int32(v));
  const __m128i high = _mm256_extracti128_si256(to_int32(v), 1);
  _mm_store_si128(reinterpret_cast<__m128i*>(dst), _mm_packs_epi32(low, high));
}

#if defined(CONVMIXER_AVXVNNI)  // (name): the intrinsic of vpdpbusd or vpdpwssd
constexpr int kInt8PerWord = 4;

inline Vec dot_int8(Vec x, Vec w, Vec sum) {
  return _mm256_castsi256_ps(CONVMIXER_AVXVNNI(dpbusd)(
      _mm256_castps_si256(sum), _mm256_castps_si256(x), _mm256_castps_si256(w)));
}
inline Vec dot_int16(Vec x, Vec w, Vec sum) {
  return _mm256_castsi256_ps(CONVMIXER_AVXVNNI(dpwssd)(
      _mm256_castps_si256(sum), _mm256_castps_si256(x), _mm256_castps_si256(w)));
}
// Byte i of each word, by one shuffle: 0xFF (of − 256) in the upper bytes of `from` makes zeros.
inline Vec unpack_int8(Vec words, int i) {
  const __m128i from = _mm_setr_epi32(i - 256, i + 4 - 256, i + 8 - 256, i + 12 - 256);
  return _mm256_cvtepi32_ps(
      _mm256_shuffle_epi8(_mm256_castps_si256(words), _mm256_broadcastsi128_si256(from)));
}
// 128 bits hold four channels of each of four pixels: [pixel][4].
inline __m256i pack_int8(const Vec* v) {
  return _mm256_packus_epi16(_mm256_packs_epi32(to_int32(v[0]), to_int32(v[1])),
                             _mm256_packs_epi32(to_int32(v[2]), to_int32(v[3])));
}
// [pixel][channel]
inline void store_panel_int8(float* dst, const Vec* v) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst),
                      _mm256_permutevar8x32_epi32(pack_int8(v), order));
}
// [channel][pixel]
inline void store_plane_int8(float* dst, const Vec* v) {
  const __m256i order = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  _mm256_store_si256(reinterpret_cast<__m256i*>(dst), _mm256_shuffle_epi8(pack_int8(v), order));
}
#else
// Bytes in 16 bits. Of bytes, vpmaddubsw would cut sums of two products to 32,767, where they may
// be 2 · 255 · 127; to widen a word of four and its weights takes five instructions a vector, more
// than the four that multiply and add two words of two.
constexpr int kInt8PerWord = 2;

inline Vec dot_int16(Vec x, Vec w, Vec sum) {
  const __m256i product = _mm256_madd_epi16(_mm256_castps_si256(x), _mm256_castps_si256(w));
  __m256i s = _mm256_add_epi32(_mm256_castps_si256(sum), product);
  // Keeps GCC from regrouping sums of integers: it would add up the products of four words first,
  // for which there are no registers.
  __asm__("" : "+x"(s));
  return _mm256_castsi256_ps(s);
}
inline Vec dot_int8(Vec x, Vec w, Vec sum) { return dot_int16(x, w, sum); }
inline Vec unpack_int8(Vec words, int i) {
  const __m256i w = _mm256_castps_si256(words), low = _mm256_set1_epi32(0xffff);
  return _mm256_cvtepi32_ps(i == 0 ? _mm256_and_si256(w, low) : _mm256_srli_epi32(w, 16));
}
// [pixel][channel]
inline void store_panel_int8(float* dst, const Vec* v) {
  const __m256i packed = _mm256_packus_epi32(to_int32(v[0]), to_int32(v[1]));  // [2][pixel][4]
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst),
                      _mm256_permute4x64_epi64(packed, _MM_SHUFFLE(3, 1, 2, 0)));
}
// [channel][pixel]
inline void store_plane_int8(float* dst, const Vec* v) {
  const __m256i second = _mm256_slli_epi32(to_int32(v[1]), 16);
  _mm256_store_si256(reinterpret_cast<__m256i*>(dst), _mm256_or_si256(to_int32(v[0]), second));
}
#endif

inline Vec load_values(const float* src) { return load(src); }
inline Vec load_values(const unsigned char* src) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(src));
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
}

// Into L2, for reading or writing soon.
inline void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
