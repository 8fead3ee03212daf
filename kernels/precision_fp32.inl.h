// SPDX-License-Identifier: Apache-2.0
// What a kernel text takes as its parameter P: how words of a precision are multiplied, unpacked
// and packed. Here of floats, one a word.
//   dot(x, w, sum)          sum + Σ of a word's products
//   accumulate(sum, x, w)   the same, in the register that holds sum
//   accumulate_word(sum, x, w)  the same, of a word in memory that stands for all lanes, where
//                           kPerWord is 1
//   to_float, add_sums      of sums
//   subtract_sums           where kUnscale, and for Strassen products
//   add_values, subtract_values  of words, value by value, for Strassen products
//   ones(n)                 a word of n ones and then zeros
//   unpack(words, i)        value i of each word as float
//   store_panel(dst, v)     kPerWord pixels of the panel, one behind the other (unaligned)
//   store_plane(dst, v)     kPerWord pixels of a plane's group, where they are more than one
//   store_patch<T>(dst, v, scale)  kLanes values of an image of T, rounded; see PatchParams
//   diffuse(v, left_over)   v as it is to be rounded for a plane, where kDiffusedPixels is not 0
//   border_value(border)    what pixels beyond a row hold, as float, where kPerWord is more than 1
//   chain(v, a, b)          the multiply-add that fma_peak counts, of v
//   Element                 of the patch embedding's panel
//   Products                the P of the panel and of the pointwise products: P itself, but in
//                           precision_bf16x3.inl.h
//   Patches                 the P of the patch embedding's operands, which needs of all this only
//                           accumulate, to_float, add_sums, store_patch, Element and the constants
//                           but kDiffusedPixels
//   Strassen                the P of Strassen products, where kStrassen: there are such. It needs
//                           accumulate, to_float, the sums' and the values' functions, kPerWord
//                           and kUnscale
// kUnscale: scales (of int32, zero points too) lead from sums to reals. kBorder: the border's value
// is the layer's, and is written with its pixels.
// kMatrixTiles, kPanelBlocks, kPieces (whose sum is a value of the panel or a weight):
// precision_tiles.inl.h; else false, 1 and 1.
// kDiffusedPixels, where kPerWord is more than 1: so many pixels of a row, from a multiple of it
// on, share the errors of rounding them; 0: none do.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

struct Balanced;

struct Fp32 {
  static constexpr Precision kPrecision = kFp32;
  static constexpr int kPerWord = 1;
  static constexpr bool kUnscale = false, kBorder = false;
  static constexpr bool kStrassen = true, kMatrixTiles = false;
  static constexpr int kPanelBlocks = 1, kPieces = 1;
  using Strassen = Balanced;
  using Element = float;
  using Products = Fp32;
  using Patches = Fp32;

  static Vec dot(Vec x, Vec w, Vec sum) { return fma(x, w, sum); }
  static void accumulate(Vec& sum, Vec x, Vec w) { CONVMIXER_ISA::accumulate(sum, x, w); }
  static void accumulate_word(Vec& sum, const float* x, Vec w) {
    CONVMIXER_ISA::accumulate_word(sum, x, w);
  }
  static Vec to_float(Vec sum) { return sum; }
  static Vec add_sums(Vec a, Vec b) { return add(a, b); }
  static Vec subtract_sums(Vec a, Vec b) { return sub(a, b); }
  static Vec add_values(Vec a, Vec b) { return add(a, b); }
  static Vec subtract_values(Vec a, Vec b) { return sub(a, b); }
  static Vec ones(int) { return set1(1.0f); }
  static Vec unpack(Vec words, int) { return words; }
  static void store_panel(float* dst, const Vec* v) { store(dst, v[0]); }
  template <typename T>
  static void store_patch(float* dst, Vec v, float) {
    store(dst, v);
  }
  static Vec chain(Vec v, Vec factor, Vec term) { return fma(v, factor, term); }
};

// Of Strassen products, whose rows are scaled.
struct Balanced : Fp32 {
  static constexpr bool kUnscale = true;
};

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
