// SPDX-License-Identifier: Apache-2.0
// Depthwise layers by matrix tiles: where a NaN spreads to. What they compute:
// kernels_precision.cpp.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/tap_layout.h"
#include "tests/kernel_data.h"
#include "tests/kernel_tests.h"
#include "tests/precision_data.h"

namespace convmixer::test {
namespace {

int round_down(int a, int b) { return (a >= 0 ? a : a - b + 1) / b * b; }

// Weights and biases are zero, so results are, but for a NaN's cells, in any strips.
void check_nan(const KernelTable& table, int k, int nan_y, int nan_x) {
  constexpr int kChannel = 5, kH = 13, kW = 41;
  const int lanes = table.lanes, pad = (k - 1) / 2, gap = k / 4 + 1;
  const int cell_h = k <= 9 ? 2 : 1, cell_w = 16 / cell_h;
  const int left = round_up(pad, 8 / cell_h), rows = k <= 9 ? round_up(k + 1, 2) : k;
  Words src = Words::planes(table, lanes, kH, kW, gap);
  for (int c = 0; c < lanes; ++c) {
    src.fill_border(c, 0);
    for (int i = 0; i < kH * kW; ++i) src.set(c, i / kW, i % kW, 0);
  }
  src.set(kChannel, nan_y, nan_x, std::numeric_limits<double>::quiet_NaN());
  const std::vector<float> none(static_cast<std::size_t>(lanes * k * k));
  const Framed weights = pack_taps(table, lanes, k, none), zeros = pack_channels(none, lanes);
  for (const int strip : {1, 3, kH}) {
    Words dst = Words::panel(table, lanes, kH, kW, table.per_word);
    for (int y = 0; y < kH; y += strip) {
      DepthwiseParams p{};
      p.src = src.pixel(0, 0);
      p.h = kH;
      p.w = kW;
      p.kernel_size = k;
      p.row_stride = static_cast<int>(src.row_stride);
      p.y_begin = y;
      p.y_end = std::min(y + strip, kH);
      p.weights = weights.data();
      p.bias = p.src_scale = p.scale = p.shift = p.unscale = zeros.data();
      p.dst = dst.pixel(y, 0);
      table.depthwise[kActIdentity](&p);
    }
    for (int c = 0; c < lanes; ++c) {
      for (int y = 0; y < kH; ++y) {
        for (int x = 0; x < kW; ++x) {
          const int above = nan_y - (round_down(y, cell_h) - pad);
          const int before = nan_x - (round_down(x, cell_w) - left);
          const bool reached =
              c == kChannel && above >= 0 && above < rows && before >= 0 && before < 2 * cell_w;
          const double got = dst.get(c, y, x);
          ASSERT_TRUE(reached ? std::isnan(got) : got == 0)
              << got << " at " << c << ", " << y << ", " << x << ", strips of " << strip;
        }
      }
    }
  }
}

}  // namespace

KernelTests depthwise_tile_tests() {
  KernelTests tests;
  for (const auto& [k, y, x] : {std::tuple{9, 6, 20},
                                {9, 0, 0},
                                {7, 12, 40},
                                {4, 5, 15},
                                {1, 3, 31},
                                {11, 6, 16},
                                {17, 1, 23}}) {
    const std::string shape =
        "nan_k" + std::to_string(k) + "_" + std::to_string(y) + "_" + std::to_string(x);
    tests.push_back({"depthwise", shape,
                     [k = k, y = y, x = x](const KernelTable& t) { check_nan(t, k, y, x); }});
  }
  return tests;
}

}  // namespace convmixer::test
