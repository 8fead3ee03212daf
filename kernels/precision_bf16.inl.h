// SPDX-License-Identifier: Apache-2.0
// Two bf16 a word; see precision_fp32.inl.h. Of the vector functions it needs dot_bf16,
// unpack_bf16, store_half_bf16, store_panel_bf16 and store_plane_bf16.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

struct Bf16 {
  static constexpr Precision kPrecision = kBf16;
  static constexpr int kPerWord = 2;
  static constexpr bool kUnscale = false, kBorder = false, kStrassen = false;
  static constexpr bool kMatrixTiles = false;
  static constexpr int kDiffusedPixels = 0, kPanelBlocks = 1, kPieces = 1;
  using Element = uint16_t;
  using Products = Bf16;
  using Patches = Bf16;

  static Vec dot(Vec x, Vec w, Vec sum) { return dot_bf16(x, w, sum); }
  static void accumulate(Vec& sum, Vec x, Vec w) { sum = dot_bf16(x, w, sum); }
  static Vec to_float(Vec sum) { return sum; }
  static Vec add_sums(Vec a, Vec b) { return add(a, b); }
  // 1 in the first n values.
  static Vec ones(int n) { return set_word(n == 1 ? 0x3f80u : 0x3f803f80u); }
  static Vec chain(Vec sum, Vec x, Vec w) { return dot(x, w, sum); }
  static Vec unpack(Vec words, int i) { return unpack_bf16(words, i); }
  static void store_panel(float* dst, const Vec* v) { store_panel_bf16(dst, v); }
  static void store_plane(float* dst, const Vec* v) { store_plane_bf16(dst, v); }
  static Vec border_value(Vec zero) { return zero; }
  template <typename T>
  static void store_patch(uint16_t* dst, Vec v, float) {
    store_half_bf16(reinterpret_cast<float*>(dst), v);
  }
};

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
