// SPDX-License-Identifier: Apache-2.0
// Operands of one kernel call: as the oracle takes them (NCHW) and as kernels/kernels.h lays them
// out, packed by code of the tests' own. For the kernel tests and benchmarks.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"
#include "tests/check.h"
#include "tests/reference.h"

namespace convmixer::test {

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }
inline int round_up(int a, int multiple) { return ceil_div(a, multiple) * multiple; }
Activation activation_of(KernelActivation activation);

// Where the pixels of an image lie, in planes or in a panel.
struct Placement {
  std::vector<std::int32_t> offset;  // of each pixel, in words
  std::int64_t first = 0, block_stride = 0, size = 0;
  std::int64_t zeros = 0;  // words of a block that are zero where no pixel is
  int lanes = 0;
  // Of KernelTable; with more than one of each, values are sums of bf16.
  int blocks_beside = 1, pieces = 1;

  // [c_blk] planes of h rows of w pixels; see "planes" in kernels/kernels.h. One line more a plane,
  // which no kernel may touch.
  static Placement planes(const KernelTable& table, int c, int h, int w, int gap);
  // Of floats. `room` pixels more in each block than there are.
  static Placement panel(const KernelTable& table, int c, int pixels, int room);
  // What depthwise layers and patches write and pointwise products read.
  static Placement operands(const KernelTable& table, int c, int pixels);

  std::int64_t block(int b) const;  // its first pixel
  // The word that holds a piece of a value; of bf16, beside a neighbouring channel's.
  std::int64_t word(int channel, int pixel, int piece) const;
};

// (c, pixels) values → where `to` says, zeros in the other lanes and in planes' gaps.
Framed place(const Placement& to, int c, const std::vector<float>& values);
// The value of a channel's pixel in dst.
float placed(const Placement& at, const Framed& dst, int c, int pixel);
// Frame and gaps untouched, all lanes beyond c zero. Those of `non_finite_pixel` may be NaN: an
// operand of it is no finite number, and 0 · ∞ is none either.
testing::AssertionResult padding_intact(const Placement& at, const Framed& dst, int c,
                                        int non_finite_pixel = -1);

// A vector a channel, zeros behind it up to a multiple of `block`.
Framed pack_channels(const std::vector<float>& values, int block);

// What a pointwise or depthwise layer multiplies and adds. Reals of about 1, or small integers.
struct Layer {
  int ic = 0, oc = 0, kernel_size = 1;
  std::vector<float> weights, bias, scale, shift;

  static Layer pointwise(int ic, int oc, Random& random, bool integers);
  static Layer depthwise(int c, int kernel_size, Random& random, bool integers);
  static Layer patch_embed(int oc, int patch_size, Random& random, bool integers);
  reference::Epilogue epilogue(KernelActivation activation) const;
};

// The limit that a kernel's result is held to; 0 (equality) for integers.
double limit_of(const reference::Result& want, std::size_t i, int k, bool integers);

// Notes the worst error of a test, as a share of its limit, in the report (--gtest_output).
void record_worst(const Comparison& comparison, KernelActivation activation);

// A pointwise product: operands in kernel layout and the parameters that point to them.
struct PointwiseCall {
  // src holds (ic, pixels) values, in the panel as `operands` tells; dst has `placement` and is all
  // marker.
  PointwiseCall(const KernelTable& table, const Layer& layer, const std::vector<float>& src,
                const Placement& operands, const Placement& placement);
  PointwiseCall(const PointwiseCall&) = delete;
  Placement operands, placement;
  Framed panel, weights, bias, scale, shift, dst;
  PointwiseParams params;
};

// Whether a depthwise layer's sums are Winograd's products.
bool in_winograd_products(const KernelTable& table, int kernel_size);

struct DepthwiseCall {
  // src holds (c, h, w) values.
  DepthwiseCall(const KernelTable& table, const Layer& layer, const std::vector<float>& src, int h,
                int w, int gap);
  DepthwiseCall(const DepthwiseCall&) = delete;
  // Rows y_begin … y_end − 1 of every channel block.
  void run(KernelActivation activation, int y_begin, int y_end);
  const KernelTable& table;
  int c;
  Placement src_placement, dst_placement;
  Framed src, weights, bias, src_scale, scale, dst;
  DepthwiseParams params;  // of the first block
};

}  // namespace convmixer::test
