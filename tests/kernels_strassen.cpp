// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "tests/kernel_data.h"
#include "tests/kernel_tests.h"

namespace convmixer::test {
namespace {

// The seven combinations of the weights' quarters, by Strassen's definition and with loops of the
// tests' own.
Framed pack(const KernelTable& table, const Layer& layer) {
  const int ic = layer.ic / 2, oc = layer.oc / 2, tile = table.oc_tile;
  Framed packed(static_cast<std::size_t>(7) * ic * oc);
  const auto a = [&](int row, int column, int o, int i) {
    return layer.weights[static_cast<std::size_t>((row * oc + o) * layer.ic + column * ic + i)];
  };
  for (int o = 0; o < oc; ++o) {
    for (int i = 0; i < ic; ++i) {
      const float a11 = a(0, 0, o, i), a12 = a(0, 1, o, i), a21 = a(1, 0, o, i),
                  a22 = a(1, 1, o, i);
      const float m[] = {a11 + a22, a21 + a22, a11, a22, a11 + a12, a21 - a11, a12 - a22};
      for (int k = 0; k < 7; ++k) {
        packed.data()[((k * (oc / tile) + o / tile) * ic + i) * tile + o % tile] = m[k];
      }
    }
  }
  return packed;
}

struct StrassenCall {
  StrassenCall(const KernelTable& table, const Layer& layer, const std::vector<float>& src,
               const std::vector<float>& unscale_values, int pixels)
      : product(table, layer, src, placement_of(table, layer.oc, pixels)),
        weights(pack(table, layer)),
        unscale(pack_channels(unscale_values, table.oc_tile)),
        scratch(static_cast<std::size_t>(layer.ic / 2) *
                (static_cast<std::size_t>(pixels) / 2 + 1)) {
    params.product = product.params;
    params.product.weights = weights.data();
    params.product.tile_end = layer.oc / 2 / table.oc_tile;
    params.unscale = unscale.data();
    params.scratch = scratch.data();
    params.scratch_block_stride = (pixels / 2 + 1) * static_cast<ptrdiff_t>(table.lanes);
  }
  static Placement placement_of(const KernelTable& table, int oc, int pixels) {
    Placement p = Placement::planes(table, oc, ceil_div(pixels, 5), 5, 2);
    p.offset.resize(static_cast<std::size_t>(pixels));
    return p;
  }
  PointwiseCall product;
  Framed weights, unscale, scratch;
  StrassenParams params{};
};

std::vector<float> values(Random& random, int c, int pixels, bool integers) {
  const std::size_t count = static_cast<std::size_t>(c) * static_cast<std::size_t>(pixels);
  return integers ? random.integers(count) : random.uniforms(count, -2.0f, 2.0f);
}

// Integers are exact: sums of at most 4·32·2·32 · ic. Reals are held to a bound of norms: ε·K
// times the largest weight and input of all, besides what a plain product is held to.
void check_against_oracle(const KernelTable& table, int ic, int oc, int pixels, bool integers,
                          KernelActivation activation) {
  Random random(static_cast<std::uint64_t>(ic * 1000 + oc * 100 + pixels));
  const Layer layer = Layer::pointwise(ic, oc, random, integers);
  const std::vector<float> src = values(random, ic, pixels, integers);
  std::vector<float> unscale;
  for (int o = 0; o < oc; ++o) unscale.push_back(std::ldexp(1.0f, random.integer(-3, 3)));
  Layer scaled = layer;  // what the kernel gets: undone by `unscale`
  for (std::size_t i = 0; i < layer.weights.size(); ++i) {
    scaled.weights[i] /= unscale[i / static_cast<std::size_t>(ic)];
  }
  StrassenCall call(table, scaled, src, unscale, pixels);
  table.strassen[activation](&call.params);

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
                     placed(table, call.product.placement, call.product.dst, c, p), limit);
    }
  }
  EXPECT_TRUE(comparison.result());
  EXPECT_TRUE(padding_intact(table, call.product.placement, call.product.dst, oc));
  record_worst(comparison, activation);
}

void check_accuracy(const KernelTable& table, int ic, int oc, int pixels) {
  for (const KernelActivation activation : {kActIdentity, kActRelu}) {
    check_against_oracle(table, ic, oc, pixels, true, activation);
  }
  for (const KernelActivation activation : {kActIdentity, kActRelu, kActGelu}) {
    check_against_oracle(table, ic, oc, pixels, false, activation);
  }
}

void check_tile_ranges(const KernelTable& table) {
  Random random(17);
  const int ic = 2 * table.oc_tile, tiles = 3, oc = 2 * tiles * table.oc_tile, pixels = 10;
  const Layer layer = Layer::pointwise(ic, oc, random, false);
  const std::vector<float> src = values(random, ic, pixels, false),
                           ones(static_cast<std::size_t>(oc), 1.0f);
  StrassenCall whole(table, layer, src, ones, pixels), split(table, layer, src, ones, pixels);
  table.strassen[kActGelu](&whole.params);
  for (int tile = tiles - 1; tile >= 0; --tile) {
    StrassenParams part = split.params;
    part.product.tile_begin = tile;
    part.product.tile_end = tile + 1;
    table.strassen[kActGelu](&part);
  }
  EXPECT_TRUE(
      same_bits(whole.product.dst.data(), split.product.dst.data(), whole.product.dst.size()));
}

}  // namespace

KernelTests strassen_tests(const KernelTable& table) {
  KernelTests tests;
  const int t = 2 * table.oc_tile, p = table.pixel_tile;
  struct Shape {
    int ic, oc, pixels;
  };
  for (const Shape& s :
       {Shape{t, t, 2}, Shape{t, t, 2 * p}, Shape{t, 2 * t, 2 * p + 2}, Shape{3 * t, t, 64},
        Shape{t, 3 * t, 6 * p + 4}, Shape{2 * t, t, 256}, Shape{2 * kSumChannels + t, t, 22}}) {
    tests.push_back({"strassen", fmt::format("{}x{}_{}", s.ic, s.oc, s.pixels),
                     [=](const KernelTable& k) { check_accuracy(k, s.ic, s.oc, s.pixels); }});
  }
  tests.push_back({"strassen", "tile_ranges", check_tile_ranges});
  return tests;
}

}  // namespace convmixer::test
