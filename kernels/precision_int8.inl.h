// SPDX-License-Identifier: Apache-2.0
// Four bytes a word, or two in 16 bits each: kInt8PerWord of the vector functions, of which it
// needs dot_int8 (unsigned times signed), dot_int16 (two signed), add_int32, sub_int32, add_int16,
// sub_int16, int32_to_float, beyond_whole (v − the nearest whole number, ties to even, of 0 … 255),
// store_int16, unpack_int8, store_panel_int8 (of values up to 255; negative ones and NaN become 0)
// and store_plane_int8 (of 0 … 255). See precision_fp32.inl.h.
//
// Rounding to bytes: 0 … 255, NaN becomes 0; then the nearest whole number, ties to even.
//
// In a plane errors are diffused: half of what rounding a pixel left over is added to the next one
// of the same four (R. W. Floyd and L. Steinberg, "An Adaptive Algorithm for Spatial Greyscale",
// 1976, with one neighbour). What is cut off at 0 or 255 is not handed on. The layers that follow
// average over pixels, so that much of the error cancels (docs/performance.md has numbers).
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

struct Int16;

struct Int8 {
  static constexpr Precision kPrecision = kInt8;
  static constexpr int kPerWord = kInt8PerWord;
  static constexpr bool kUnscale = true, kBorder = true;
  // Sums of values leave a byte, and are exact in 16 bits: those of two levels are 0 … ±1,020, and
  // ±508 of weights.
  static constexpr bool kStrassen = kPerWord == 2;
  using Strassen = Int16;
  static constexpr bool kMatrixTiles = false;
  static constexpr int kDiffusedPixels = 4, kPanelBlocks = 1, kPieces = 1;
  using Products = Int8;
  using Patches = Int16;

  static Vec dot(Vec x, Vec w, Vec sum) { return dot_int8(x, w, sum); }
  static void accumulate(Vec& sum, Vec x, Vec w) { sum = dot_int8(x, w, sum); }
  static Vec to_float(Vec sum) { return int32_to_float(sum); }
  static Vec add_sums(Vec a, Vec b) { return add_int32(a, b); }
  static Vec subtract_sums(Vec a, Vec b) { return sub_int32(a, b); }
  // 1 in the first n values.
  static Vec ones(int n) {
    constexpr uint32_t kOnes = kPerWord == 4 ? 0x01010101u : 0x00010001u;
    return set_word(kOnes >> (32 / kPerWord * (kPerWord - n)));
  }
  static Vec chain(Vec v, Vec, Vec w) { return dot(v, w, v); }
  static Vec unpack(Vec words, int i) { return unpack_int8(words, i); }
  static void store_panel(float* dst, const Vec* v) {
    Vec bytes[kPerWord];
#pragma GCC unroll 4
    for (int i = 0; i < kPerWord; ++i) bytes[i] = min(set1(255.0f), v[i]);
    store_panel_int8(dst, bytes);
  }
  // Of what diffuse() returned.
  static void store_plane(float* dst, const Vec* v) { store_plane_int8(dst, v); }
  // The value to round for a pixel: v with its share of `left_over`, the error of the one before.
  static Vec diffuse(Vec v, Vec& left_over) {
    const Vec share = fma(left_over, set1(0.5f), v);
    const Vec byte = min(max(share, set1(0.0f)), set1(255.0f));  // NaN becomes 0
    left_over = beyond_whole(byte);
    return byte;
  }
  // The zero point as a float, from a word of it.
  static Vec border_value(Vec border) { return unpack_int8(border, 0); }
};

// The operands of int8's patch embedding, whose input has more to say than a byte can hold unless
// it is bytes, and of its Strassen products: two products an instruction, as bf16.
struct Int16 {
  static constexpr int kPerWord = 2, kPanelBlocks = 1, kPieces = 1;
  static constexpr bool kUnscale = true, kMatrixTiles = false;
  using Element = int16_t;

  static void accumulate(Vec& sum, Vec x, Vec w) { sum = dot_int16(x, w, sum); }
  static Vec to_float(Vec sum) { return int32_to_float(sum); }
  static Vec add_sums(Vec a, Vec b) { return add_int32(a, b); }
  static Vec subtract_sums(Vec a, Vec b) { return sub_int32(a, b); }
  static Vec add_values(Vec a, Vec b) { return add_int16(a, b); }
  static Vec subtract_values(Vec a, Vec b) { return sub_int16(a, b); }
  template <typename T>
  static void store_patch(int16_t* dst, Vec v, float scale) {
    if constexpr (sizeof(T) > 1) {  // NaN becomes the least
      v = min(max(mul(v, set1(scale)), set1(-kMostPatchValue)), set1(kMostPatchValue));
    }
    store_int16(dst, v);
  }
};

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
