// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tests/kernel_data.h"
#include "tests/kernel_tests.h"
#include "tests/strassen_data.h"

namespace convmixer::test {
namespace {

struct StrassenCall {
  StrassenCall(const KernelTable& table, const Layer& layer, const std::vector<float>& src,
               const std::vector<float>& unscale_values, int pixels, int levels, int tiles_at_once)
      : product(table, layer, src, Placement::operands(table, layer.ic, pixels),
                placement_of(table, layer.oc, pixels)),
        unscale(pack_channels(unscale_values, table.oc_tile)),
        operands(table, layer.weights, levels, tiles_at_once, product.params) {
    operands.params.product.unscale = unscale.data();
  }
  static Placement placement_of(const KernelTable& table, int oc, int pixels) {
    Placement p = Placement::planes(table, oc, ceil_div(pixels, 5), 5, 2);
    p.offset.resize(static_cast<std::size_t>(pixels));
    return p;
  }
  PointwiseCall product;
  Framed unscale;
  StrassenOperands operands;
};

std::vector<float> values(Random& random, int c, int pixels, bool integers) {
  const std::size_t count = static_cast<std::size_t>(c) * static_cast<std::size_t>(pixels);
  return integers ? random.integers(count) : random.uniforms(count, -2.0f, 2.0f);
}

// Integers are exact: sums of at most 4·32·2·32 · ic. Reals are held to a bound of norms: ε·K
// times the largest weight and input of all, besides what a plain product is held to.
void check_against_oracle(const KernelTable& table, int ic, int oc, int pixels, int levels,
                          bool integers, KernelActivation activation) {
  Random random(static_cast<std::uint64_t>(ic * 1000 + oc * 100 + pixels));
  const Layer layer = Layer::pointwise(ic, oc, random, integers);
  const std::vector<float> src = values(random, ic, pixels, integers);
  std::vector<float> unscale;
  for (int o = 0; o < oc; ++o) unscale.push_back(std::ldexp(1.0f, random.integer(-3, 3)));
  Layer scaled = layer;  // what the kernel gets: undone by `unscale`
  for (std::size_t i = 0; i < layer.weights.size(); ++i) {
    scaled.weights[i] /= unscale[i / static_cast<std::size_t>(ic)];
  }
  StrassenCall call(table, scaled, src, unscale, pixels, levels, 2);
  table.strassen[activation](&call.operands.params);

  const reference::Result want =
      reference::pointwise(reference::Tensor(1, ic, 1, pixels, src.data()), oc,
                           layer.weights.data(), layer.epilogue(activation));
  const auto largest = [](const std::vector<float>& v) {
    return double{std::fabs(*std::max_element(
        v.begin(), v.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); }))};
  };
  const double norm = 0x1p-24 * ic * largest(scaled.weights) * largest(src);
  Comparison comparison("strassen", random.seed());
  for (int c = 0; c < oc; ++c) {
    const auto at = static_cast<std::size_t>(c);
    const double factor = std::fabs(double{layer.scale[at]}) * double{unscale[at]};
    for (int p = 0; p < pixels; ++p) {
      const std::size_t i = want.y.index(0, c, 0, p);
      const double limit = integers ? 0 : limit_of(want, i, ic, false) + norm * factor;
      comparison.add(0, c, 0, p, want.y.v[i],
                     placed(call.product.placement, call.product.dst, c, p), limit);
    }
  }
  EXPECT_TRUE(comparison.result());
  EXPECT_TRUE(padding_intact(call.product.placement, call.product.dst, oc));
  EXPECT_TRUE(call.operands.intact());
  record_worst(comparison, activation);
}

void check_accuracy(const KernelTable& table, int ic, int oc, int pixels, int levels) {
  for (const KernelActivation activation : {kActIdentity, kActRelu}) {
    check_against_oracle(table, ic, oc, pixels, levels, true, activation);
  }
  for (const KernelActivation activation : {kActIdentity, kActRelu, kActGelu}) {
    check_against_oracle(table, ic, oc, pixels, levels, false, activation);
  }
}

void check_tile_ranges(const KernelTable& table, int levels) {
  Random random(17);
  const int parts = 1 << levels, tiles = 3, pixels = 12;
  const int ic = parts * table.oc_tile, oc = parts * tiles * table.oc_tile;
  const Layer layer = Layer::pointwise(ic, oc, random, false);
  const std::vector<float> src = values(random, ic, pixels, false),
                           ones(static_cast<std::size_t>(oc), 1.0f);
  StrassenCall whole(table, layer, src, ones, pixels, levels, 1),
      split(table, layer, src, ones, pixels, levels, 1);
  table.strassen[kActGelu](&whole.operands.params);
  for (int tile = tiles - 1; tile >= 0; --tile) {
    StrassenParams part = split.operands.params;
    part.product.tile_begin = tile;
    part.product.tile_end = tile + 1;
    table.strassen[kActGelu](&part);
  }
  EXPECT_TRUE(
      same_bits(whole.product.dst.data(), split.product.dst.data(), whole.product.dst.size()));
  for (const int tiles_at_once : {2, 3, 5}) {
    StrassenCall group(table, layer, src, ones, pixels, levels, tiles_at_once);
    table.strassen[kActGelu](&group.operands.params);
    EXPECT_TRUE(group.operands.intact());
    EXPECT_TRUE(
        same_bits(whole.product.dst.data(), group.product.dst.data(), whole.product.dst.size()));
  }
}

}  // namespace

KernelTests strassen_tests(const KernelTable& table) {
  KernelTests tests;
  const int p = table.pixel_tile;
  struct Shape {
    int ic, oc, pixels;
  };
  for (const int levels : {1, 2}) {
    const int n = 1 << levels, t = n * table.oc_tile;
    for (const Shape& s : {Shape{t, t, n}, Shape{t, t, n * p}, Shape{t, 2 * t, n * p + n},
                           Shape{3 * t, t, 64}, Shape{t, 3 * t, 3 * n * p - n},
                           Shape{2 * t, t, 256}, Shape{n * table.sum_words + t, t, 20}}) {
      tests.push_back(
          {"strassen", fmt::format("{}_levels_{}x{}_{}", levels, s.ic, s.oc, s.pixels),
           [=](const KernelTable& k) { check_accuracy(k, s.ic, s.oc, s.pixels, levels); }});
    }
    tests.push_back({"strassen", fmt::format("{}_levels_tile_ranges", levels),
                     [=](const KernelTable& k) { check_tile_ranges(k, levels); }});
  }
  return tests;
}

}  // namespace convmixer::test
