// SPDX-License-Identifier: Apache-2.0
// Operands of kernels in any precision, laid out as kernels/kernels.h says by code of the tests'
// own: one value of a word at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"
#include "tests/check.h"
#include "tests/kernel_data.h"

namespace convmixer::test {

// The value that comes nearest to `value` and is exact in bf16 (the low half of its bits cut off).
float cut_to_bf16(float value);

// An array of words, and where channel c of pixel (y, x) lies in it.
class Words {
 public:
  // [c_blk] planes of h rows of w pixels with `gap` groups beside them, one line more a plane.
  static Words planes(const KernelTable& table, int c, int h, int w, int gap);
  // A panel of h rows of w pixels, room for a group more than there are, or for the 15 that matrix
  // tiles read; `per_word` values a word.
  static Words panel(const KernelTable& table, int c, int h, int w, int per_word);

  // Values of a float, a bf16, an unsigned byte or a signed 16 bits (bytes, or patches).
  double get(int channel, int y, int x) const { return value(index(channel, y, x)); }
  void set(int channel, int y, int x, double v) { put(index(channel, y, x), v); }
  double value(std::size_t index) const;
  void put(std::size_t index, double value);

  // Every place of a plane's gaps, and of the rests of rows' last groups, of channels below c.
  void fill_border(int channel, double value);
  testing::AssertionResult border_is(int channel, double value) const;

  // Of a channel block: its group, or its place in the panel.
  float* pixel(int y, int x, int block = 0);
  std::vector<std::int32_t> offsets() const;  // of each pixel's group from pixel(0, 0)

  Framed words;
  Precision precision;  // kFp32 where per_word is 1
  int per_word, lanes, c, h, w, gap;
  std::ptrdiff_t block_stride, row_stride;

 private:
  Words(Precision precision, int per_word, int lanes, int c, int h, int w, int gap,
        std::ptrdiff_t block_stride, std::ptrdiff_t row_stride, int beside);
  std::size_t index(int channel, int y, int x) const;
  template <typename Body>
  void each_border(int channel, Body body) const;
  int beside_;  // channel blocks side by side in a panel; 0: planes
};

// Weights of a product with words of per_word input channels: floats, bf16, signed bytes or 16
// bits, as weights[o][i] holds them.
Framed pack_words(const KernelTable& table, int per_word, int ic, int oc,
                  const std::vector<float>& weights);
// Of a depthwise layer, weights[c][k][k].
Framed pack_taps(const KernelTable& table, int c, int k, const std::vector<float>& weights);

}  // namespace convmixer::test
