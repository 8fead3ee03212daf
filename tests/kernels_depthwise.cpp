// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "tests/kernel_data.h"
#include "tests/kernel_tests.h"

namespace convmixer::test {
namespace {

struct Shape {
  int c, k, h, w;
};

std::string text(const Shape& s) { return fmt::format("c{}_k{}_{}x{}", s.c, s.k, s.h, s.w); }

std::vector<float> values(Random& random, const Shape& s, bool integers) {
  const auto count = static_cast<std::size_t>(s.c * s.h * s.w);
  return integers ? random.integers(count) : random.uniforms(count, -2.0f, 2.0f);
}

void compare(const DepthwiseCall& call, const Shape& s, const reference::Result& want,
             bool integers, KernelActivation activation, std::uint64_t seed) {
  Comparison comparison("depthwise", seed);
  for (int c = 0; c < s.c; ++c) {
    for (int p = 0; p < s.h * s.w; ++p) {
      const std::size_t i = want.y.index(0, c, p / s.w, p % s.w);
      comparison.add(0, c, p / s.w, p % s.w, want.y.v[i],
                     placed(call.dst_placement, call.dst, c, p),
                     limit_of(want, i, s.k * s.k, integers));
    }
  }
  EXPECT_TRUE(comparison.result());
  EXPECT_TRUE(padding_intact(call.dst_placement, call.dst, s.c));
  EXPECT_TRUE(call.src.frame_intact());
  record_worst(comparison, activation);
}

void check_against_oracle(const KernelTable& table, const Shape& s, int gap, bool integers,
                          KernelActivation activation) {
  Random random(static_cast<std::uint64_t>(s.c * 1000000 + s.k * 10000 + s.h * 100 + s.w));
  const Layer layer = Layer::depthwise(s.c, s.k, random, integers);
  Layer no_shift = layer;  // the kernel has none: it is folded into the next layer
  no_shift.shift.clear();
  const std::vector<float> src = values(random, s, integers);
  DepthwiseCall call(table, layer, src, s.h, s.w, gap);
  call.run(activation, 0, s.h);
  const reference::Result want =
      reference::depthwise(reference::Tensor(1, s.c, s.h, s.w, src.data()), s.k,
                           layer.weights.data(), no_shift.epilogue(activation), true);
  compare(call, s, want, integers, activation, random.seed());
}

void check_accuracy(const KernelTable& table, const Shape& s) {
  const int gap = s.k / 2;
  for (const KernelActivation activation : {kActIdentity, kActRelu}) {
    check_against_oracle(table, s, gap, true, activation);
  }
  for (const KernelActivation activation : {kActIdentity, kActRelu, kActGelu}) {
    check_against_oracle(table, s, gap + (activation == kActGelu ? 2 : 0), false, activation);
  }
}

// Rows in any ranges, in any order: the bits of the whole.
void check_row_ranges(const KernelTable& table) {
  for (const int k : {1, 4, 5, 7, 9}) {
    const Shape s{table.lanes + 1, k, 7, 11};
    Random random(17);
    const Layer layer = Layer::depthwise(s.c, k, random, false);
    const std::vector<float> src = values(random, s, false);
    DepthwiseCall whole(table, layer, src, s.h, s.w, k / 2);
    whole.run(kActGelu, 0, s.h);
    for (int step = 1; step < s.h; ++step) {
      SCOPED_TRACE(fmt::format("kernel {}, {} rows at a time", k, step));
      DepthwiseCall split(table, layer, src, s.h, s.w, k / 2);
      for (int y = (s.h - 1) / step * step; y >= 0; y -= step) {
        split.run(kActGelu, y, std::min(y + step, s.h));
      }
      EXPECT_TRUE(same_bits(whole.dst.data(), split.dst.data(), whole.dst.size()));
      EXPECT_TRUE(padding_intact(split.dst_placement, split.dst, s.c));
    }
  }
}

// Rows outside the range stay as they were.
void check_other_rows_untouched(const KernelTable& table, int k, int begin, int end) {
  const Shape s{table.lanes, k, 5, 6};
  Random random(19);
  DepthwiseCall call(table, Layer::depthwise(s.c, s.k, random, false), values(random, s, false),
                     s.h, s.w, k / 2);
  call.run(kActRelu, begin, end);
  for (int p = 0; p < s.h * s.w; ++p) {
    const int y = p / s.w;
    for (int c = 0; c < s.c; ++c) {  // all lanes of the block
      for (int piece = 0; piece < table.pieces; ++piece) {
        const auto word = static_cast<std::size_t>(call.dst_placement.word(c, p, piece));
        ASSERT_EQ(call.dst.untouched(word), y < begin || y >= end)
            << "channel " << c << ", row " << y;
      }
    }
  }
}

// A bad pixel spreads over the kernel's reach in its own channel and no further, not into other
// lanes and not over a row's end into the next row: as NaN where values are in pieces. Infinities
// in Winograd's products are themselves or NaN.
void check_non_finite(const KernelTable& table, int k, KernelActivation activation, float value) {
  for (const int x : {0, 5, 12}) {
    const Shape s{table.lanes + 2, k, k + 3, 13};
    Random random(23);
    Layer layer = Layer::depthwise(s.c, s.k, random, false);
    layer.shift.clear();
    std::vector<float> src = values(random, s, false);
    src[static_cast<std::size_t>((1 * s.h + k / 2 + 1) * s.w + x)] = value;
    DepthwiseCall call(table, layer, src, s.h, s.w, k / 2);
    call.run(activation, 0, s.h);
    const reference::Result want =
        reference::depthwise(reference::Tensor(1, s.c, s.h, s.w, src.data()), s.k,
                             layer.weights.data(), layer.epilogue(activation), true);
    Comparison comparison(fmt::format("depthwise with {}", value), random.seed());
    for (int c = 0; c < s.c; ++c) {
      for (int p = 0; p < s.h * s.w; ++p) {
        const std::size_t i = want.y.index(0, c, p / s.w, p % s.w);
        const float got = placed(call.dst_placement, call.dst, c, p);
        const bool infinite_sum = !std::isfinite(want.sum.v[i]);
        const bool is_nan = (!std::isfinite(want.y.v[i]) && table.pieces > 1) ||
                            (infinite_sum && std::isnan(got) && in_winograd_products(table, k));
        comparison.add(0, c, p / s.w, p % s.w,
                       is_nan ? std::numeric_limits<double>::quiet_NaN() : want.y.v[i], got,
                       infinite_sum ? 2e-6 : limit_of(want, i, s.k * s.k, false));
      }
    }
    EXPECT_TRUE(comparison.result());
    EXPECT_TRUE(padding_intact(call.dst_placement, call.dst, s.c));
  }
}

}  // namespace

KernelTests depthwise_tests(const KernelTable& table) {
  KernelTests tests;
  const auto add = [&](const std::string& shape, std::function<void(const KernelTable&)> body) {
    tests.push_back({"depthwise", shape, std::move(body)});
  };
  // Widths around every variant's row tile (5, 8, 16); images smaller than the kernel.
  const int sizes[][2] = {{1, 1},  {2, 3},  {5, 4},  {3, 5},  {4, 6},  {7, 7},   {8, 8},
                          {6, 9},  {3, 13}, {2, 15}, {9, 16}, {4, 17}, {13, 19}, {2, 31},
                          {3, 35}, {16, 2}, {31, 1}, {1, 37}, {10, 10}};
  const int lanes = table.lanes;
  const int channels[] = {lanes, 1, lanes + 1, 2 * lanes + 3, lanes - 1};
  std::size_t next = 0;
  for (int k = 1; k <= 11; ++k) {
    for (const auto& size : sizes) {
      const Shape s{channels[next++ % std::size(channels)], k, size[0], size[1]};
      add(text(s), [=](const KernelTable& t) { check_accuracy(t, s); });
    }
  }
  for (const Shape s :
       {Shape{2 * lanes, 9, 32, 32}, Shape{lanes, 7, 32, 32}, Shape{lanes, 9, 16, 16}}) {
    add(text(s), [=](const KernelTable& t) { check_accuracy(t, s); });
  }
  add("any_row_range", check_row_ranges);
  add("other_rows_untouched", [](const KernelTable& t) {
    for (const int k : {3, 7, 9}) {
      for (const auto& [begin, end] : {std::pair{2, 4}, {1, 4}, {3, 4}, {2, 3}, {0, 5}}) {
        SCOPED_TRACE(fmt::format("kernel {}, rows {} to {}", k, begin, end));
        check_other_rows_untouched(t, k, begin, end);
      }
    }
  });
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const float nan_of_ones = std::bit_cast<float>(0x7fffffffu);  // which rounding up overflows
  for (const auto& [name, value] : {std::pair{"nan", kNan},
                                    {"nan_of_ones", nan_of_ones},
                                    {"inf", kInfinity},
                                    {"minus_inf", -kInfinity}}) {
    for (const KernelActivation activation : {kActIdentity, kActRelu, kActGelu}) {
      for (const int k : {5, 7, 9}) {
        add(fmt::format("{}_{}_k{}", name, activation_name(activation_of(activation)), k),
            [=, value = value](const KernelTable& t) {
              check_non_finite(t, k, activation, value);
            });
      }
    }
  }
  return tests;
}

}  // namespace convmixer::test
