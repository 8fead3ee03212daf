// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "tests/kernel_data.h"
#include "tests/kernel_tests.h"

namespace convmixer::test {
namespace {

// dst as planes of 5 pixels a row with gaps, of which the first `pixels` are used.
Placement gappy(const KernelTable& table, int oc, int pixels) {
  Placement p = Placement::planes(table, oc, ceil_div(pixels, 5), 5, 2);
  p.offset.resize(static_cast<std::size_t>(pixels));
  return p;
}

std::vector<float> values(Random& random, int c, int pixels, bool integers) {
  const std::size_t count = static_cast<std::size_t>(c) * static_cast<std::size_t>(pixels);
  return integers ? random.integers(count) : random.uniforms(count, -2.0f, 2.0f);
}

// src holds (ic, pixels) values. `exact`: their sums are exact in floats.
void compare(const KernelTable& table, const Layer& layer, const std::vector<float>& src,
             int pixels, bool exact, KernelActivation activation, std::uint64_t seed) {
  const int ic = layer.ic, oc = layer.oc;
  PointwiseCall call(table, layer, src, Placement::operands(table, ic, pixels),
                     gappy(table, oc, pixels));
  table.pointwise[activation](&call.params);

  const reference::Result want =
      reference::pointwise(reference::Tensor(1, ic, 1, pixels, src.data()), oc,
                           layer.weights.data(), layer.epilogue(activation));
  Comparison comparison("pointwise", seed);
  for (int c = 0; c < oc; ++c) {
    for (int p = 0; p < pixels; ++p) {
      const std::size_t i = want.y.index(0, c, 0, p);
      comparison.add(0, c, 0, p, want.y.v[i], placed(call.placement, call.dst, c, p),
                     limit_of(want, i, ic, exact));
    }
  }
  EXPECT_TRUE(comparison.result());
  EXPECT_TRUE(padding_intact(call.placement, call.dst, oc));
  record_worst(comparison, activation);
}

void check_against_oracle(const KernelTable& table, int ic, int oc, int pixels, bool integers,
                          KernelActivation activation) {
  Random random(static_cast<std::uint64_t>(ic * 1000 + oc * 100 + pixels));
  const Layer layer = Layer::pointwise(ic, oc, random, integers);
  const std::vector<float> src = values(random, ic, pixels, integers);
  compare(table, layer, src, pixels, integers, activation, random.seed());
}

// Whole numbers of so many bits, whose sums are exact in floats, not in bf16: all pieces of values
// and weights matter.
void check_exact(const KernelTable& table, int value_bits, int weight_bits, int ic) {
  const int oc = table.oc_tile + 1, pixels = table.pixel_tile + 1;
  Random random(static_cast<std::uint64_t>(value_bits * 100 + weight_bits));
  const auto whole = [&](std::vector<float>& numbers, int bits) {
    const int most = (1 << bits) - 1;
    for (float& v : numbers) v = static_cast<float>(random.integer(-most, most));
  };
  Layer layer = Layer::pointwise(ic, oc, random, true);
  std::vector<float> src = values(random, ic, pixels, true);
  whole(layer.weights, weight_bits);
  whole(src, value_bits);
  std::fill(layer.bias.begin(), layer.bias.end(), 0.0f);
  std::fill(layer.shift.begin(), layer.shift.end(), 0.0f);
  compare(table, layer, src, pixels, true, kActIdentity, random.seed());
}

void check_accuracy(const KernelTable& table, int ic, int oc, int pixels) {
  for (const KernelActivation activation : {kActIdentity, kActRelu}) {
    check_against_oracle(table, ic, oc, pixels, true, activation);
  }
  for (const KernelActivation activation : {kActIdentity, kActRelu, kActGelu}) {
    check_against_oracle(table, ic, oc, pixels, false, activation);
  }
}

// Runs the product in pieces and expects the bits of the whole.
template <typename Pieces>
void expect_same(const KernelTable& table, int ic, int oc, int pixels, Pieces pieces) {
  Random random(7);
  const Layer layer = Layer::pointwise(ic, oc, random, false);
  const std::vector<float> src = values(random, ic, pixels, false);
  const Placement operands = Placement::operands(table, ic, pixels), to = gappy(table, oc, pixels);
  PointwiseCall whole(table, layer, src, operands, to);
  table.pointwise[kActGelu](&whole.params);
  PointwiseCall split(table, layer, src, operands, to);
  pieces(split);
  EXPECT_TRUE(same_bits(whole.dst.data(), split.dst.data(), whole.dst.size()));
  EXPECT_TRUE(padding_intact(split.placement, split.dst, oc));
}

void check_pixel_ranges(const KernelTable& table) {
  const int pixels = 3 * table.pixel_tile + 1;
  for (int step = 1; step < pixels; ++step) {
    SCOPED_TRACE(fmt::format("{} pixels at a time", step));
    expect_same(table, table.sum_words + 1, table.oc_tile + 1, pixels,
                [&](const PointwiseCall& call) {
                  for (int first = 0; first < pixels; first += step) {
                    PointwiseParams part = call.params;
                    part.panel += call.operands.offset[static_cast<std::size_t>(first)];
                    part.dst_offset += first;
                    part.pixels = std::min(step, pixels - first);
                    table.pointwise[kActGelu](&part);
                  }
                });
  }
}

void check_tile_ranges(const KernelTable& table) {
  for (int step = 1; step < 5; ++step) {
    SCOPED_TRACE(fmt::format("{} tiles at a time", step));
    expect_same(table, table.lanes + 1, 4 * table.oc_tile + 1, 5, [&](const PointwiseCall& call) {
      for (int tile = 4; tile >= 0; --tile) {  // in any order
        if (tile % step != 0) continue;
        PointwiseParams part = call.params;
        part.tile_begin = tile;
        part.tile_end = std::min(tile + step, 5);
        table.pointwise[kActGelu](&part);
      }
    });
  }
}

// A range of tiles leaves the channels of the others alone.
void check_other_tiles_untouched(const KernelTable& table) {
  Random random(11);
  const int oc = 3 * table.oc_tile, pixels = 4, lanes = table.lanes;
  const Layer layer = Layer::pointwise(lanes, oc, random, false);
  PointwiseCall call(table, layer, values(random, lanes, pixels, false),
                     Placement::operands(table, lanes, pixels), gappy(table, oc, pixels));
  call.params.tile_begin = 1;
  call.params.tile_end = 2;
  table.pointwise[kActIdentity](&call.params);
  for (std::int64_t f = 0; f < call.placement.size; ++f) {
    const std::int64_t channel = f / call.placement.block_stride * lanes;
    if (channel / table.oc_tile != 1) {
      ASSERT_TRUE(call.dst.untouched(static_cast<std::size_t>(f))) << "float " << f;
    }
  }
}

// A NaN or an infinity in a pixel reaches every channel of that pixel and nothing else; one in the
// weights of an output channel, every pixel of that channel: as NaN where values are in pieces.
void check_non_finite(const KernelTable& table, KernelActivation activation, float value) {
  Random random(13);
  const int ic = table.lanes + 3, oc = table.oc_tile + 1, pixels = table.pixel_tile + 2;
  const int bad_pixel = table.pixel_tile, bad_channel = table.lanes;
  Layer layer = Layer::pointwise(ic, oc, random, false);
  std::vector<float> src = values(random, ic, pixels, false);
  src[static_cast<std::size_t>(2 * pixels + bad_pixel)] = value;
  layer.weights[static_cast<std::size_t>(bad_channel * ic + 1)] = value;
  PointwiseCall call(table, layer, src, Placement::operands(table, ic, pixels),
                     gappy(table, oc, pixels));
  table.pointwise[activation](&call.params);
  const reference::Result want =
      reference::pointwise(reference::Tensor(1, ic, 1, pixels, src.data()), oc,
                           layer.weights.data(), layer.epilogue(activation));
  Comparison comparison(fmt::format("pointwise with {}", value), random.seed());
  int non_finite = 0;
  for (int c = 0; c < oc; ++c) {
    for (int p = 0; p < pixels; ++p) {
      const std::size_t i = want.y.index(0, c, 0, p);
      non_finite += std::isfinite(want.y.v[i]) ? 0 : 1;
      // GELU of −∞ is "about 0": scale · −2e-7 + shift at most.
      const bool infinite_sum = !std::isfinite(want.sum.v[i]);
      const bool is_nan = infinite_sum && table.pieces > 1;
      comparison.add(0, c, 0, p, is_nan ? std::numeric_limits<double>::quiet_NaN() : want.y.v[i],
                     placed(call.placement, call.dst, c, p),
                     infinite_sum ? 2e-6 : limit_of(want, i, ic, false));
    }
  }
  EXPECT_GT(non_finite, 0);
  EXPECT_TRUE(comparison.result());
  EXPECT_TRUE(padding_intact(call.placement, call.dst, oc, bad_pixel));
}

}  // namespace

KernelTests pointwise_tests(const KernelTable& table) {
  KernelTests tests;
  const auto add = [&](const std::string& shape, std::function<void(const KernelTable&)> body) {
    tests.push_back({"pointwise", shape, std::move(body)});
  };
  const auto accuracy = [&](int ic, int oc, int pixels) {
    add(fmt::format("ic{}_oc{}_px{}", ic, oc, pixels),
        [=](const KernelTable& t) { check_accuracy(t, ic, oc, pixels); });
  };
  const int lanes = table.lanes, tile = table.oc_tile, px = table.pixel_tile;
  const int ics[] = {1, lanes - 1, lanes, lanes + 1, 2 * lanes + 3, 5 * lanes, 53};
  // Around the parts that a long sum is cut into.
  const int part = table.sum_words;
  for (const int ic : {part - 1, part, part + 1, 2 * part + 3}) {
    accuracy(ic, tile + 1, px + 1);
  }
  std::size_t next = 0;
  for (const int oc : {1, lanes - 1, lanes, lanes + 1, tile - 1, tile, tile + 1, 2 * tile + 3,
                       3 * tile - lanes, 97}) {
    for (const int pixels : {1, px - 1, px, px + 1, 2 * px - 1, 2 * px + 3, 5 * px, 31}) {
      accuracy(ics[next++ % std::size(ics)], oc, pixels);
    }
  }
  accuracy(1536, tile + lanes, 2 * px + 3);  // the longest sum of the published models
  accuracy(768, 3 * tile, 64);
  // Rows of a panel of pieces: an odd number, and a half. More pixels than are summed at once.
  accuracy(6 * lanes, tile, px);
  accuracy(7 * lanes, tile, px);
  accuracy(5 * lanes, tile + 1, kMostSumPixels + 5);
  for (const auto& [value_bits, weight_bits, ic] :
       {std::array{10, 10, 16}, std::array{19, 4, 2}, std::array{4, 19, 2}, std::array{23, 1, 1},
        std::array{1, 23, 1}}) {
    add(fmt::format("exact_{}_by_{}_bits", value_bits, weight_bits),
        [=, v = value_bits, w = weight_bits, n = ic](const KernelTable& t) {
          check_exact(t, v, w, n);
        });
  }
  add("any_pixel_range", check_pixel_ranges);
  add("any_tile_range", check_tile_ranges);
  add("other_tiles_untouched", check_other_tiles_untouched);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const auto& [name, value] :
       {std::pair{"nan", kNan}, {"inf", kInfinity}, {"minus_inf", -kInfinity}}) {
    for (const KernelActivation activation : {kActIdentity, kActRelu, kActGelu}) {
      add(fmt::format("{}_{}", name, activation_name(activation_of(activation))),
          [=, value = value](const KernelTable& t) { check_non_finite(t, activation, value); });
    }
  }
  return tests;
}

}  // namespace convmixer::test
