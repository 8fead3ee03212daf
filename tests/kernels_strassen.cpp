// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "tests/kernel_data.h"
#include "tests/kernel_tests.h"

namespace convmixer::test {
namespace {

// The seven combinations of the quarters of n × m weights (rows of m), in the kernel's order and
// with loops of the tests' own.
std::vector<std::vector<float>> combinations(const std::vector<float>& a, int n, int m) {
  std::vector<std::vector<float>> result(7);
  for (int o = 0; o < n / 2; ++o) {
    for (int i = 0; i < m / 2; ++i) {
      const auto at = [&](int row, int column) {
        return a[static_cast<std::size_t>((row * n / 2 + o) * m + column * m / 2 + i)];
      };
      const float a11 = at(0, 0), a12 = at(0, 1), a21 = at(1, 0), a22 = at(1, 1);
      const float all[] = {a11 + a22, a21 + a22, a22, a11, a21 - a11, a11 + a12, a12 - a22};
      for (std::size_t k = 0; k < 7; ++k) result[k].push_back(all[k]);
    }
  }
  return result;
}

Framed pack(const KernelTable& table, const Layer& layer, int levels) {
  std::vector<std::vector<float>> products{layer.weights};
  int oc = layer.oc, ic = layer.ic;
  for (int level = 0; level < levels; ++level, oc /= 2, ic /= 2) {
    std::vector<std::vector<float>> next;
    for (const std::vector<float>& a : products) {
      for (std::vector<float>& m : combinations(a, oc, ic)) next.push_back(std::move(m));
    }
    products = std::move(next);
  }
  Framed packed(products.size() * static_cast<std::size_t>(oc) * static_cast<std::size_t>(ic));
  const int tile = table.oc_tile;
  float* dst = packed.data();
  for (int t = 0; t < oc; t += tile) {
    for (const std::vector<float>& a : products) {
      for (int i = 0; i < ic; ++i) {
        for (int o = t; o < t + tile; ++o) *dst++ = a[static_cast<std::size_t>(o * ic + i)];
      }
    }
  }
  return packed;
}

struct StrassenCall {
  StrassenCall(const KernelTable& table, const Layer& layer, const std::vector<float>& src,
               const std::vector<float>& unscale_values, int pixels, int levels)
      : product(table, layer, src, placement_of(table, layer.oc, pixels)),
        weights(pack(table, layer, levels)),
        unscale(pack_channels(unscale_values, table.oc_tile)),
        block_stride((pixels / (1 << levels) + 1) * static_cast<ptrdiff_t>(table.lanes)),
        panel(static_cast<std::size_t>((levels == 2 ? 49 : 7) *
                                       product_stride(table, layer.ic, levels))),
        sums(static_cast<std::size_t>((levels == 2 ? 21 : 5) * (pixels / (1 << levels)) *
                                      table.oc_tile)) {
    const int parts = 1 << levels, blocks = layer.ic / table.lanes / parts;
    params.product = product.params;
    params.product.weights = weights.data();
    params.product.tile_end = layer.oc / parts / table.oc_tile;
    params.product.unscale = unscale.data();
    params.product.panel = panel.data();
    params.product.panel_block_stride = block_stride;
    params.levels = levels;
    params.product_stride = product_stride(table, layer.ic, levels);
    params.sums = sums.data();
    const PointwiseParams& plain = product.params;
    for (int b = 0; b < blocks; ++b) {
      const StrassenPanelParams p{plain.panel + b * plain.panel_block_stride,
                                  blocks * plain.panel_block_stride,
                                  pixels,
                                  levels,
                                  panel.data() + b * block_stride,
                                  params.product_stride};
      table.strassen_panel(&p);
    }
  }
  ptrdiff_t product_stride(const KernelTable& table, int ic, int levels) const {
    return (ic / table.lanes >> levels) * block_stride;
  }
  static Placement placement_of(const KernelTable& table, int oc, int pixels) {
    Placement p = Placement::planes(table, oc, ceil_div(pixels, 5), 5, 2);
    p.offset.resize(static_cast<std::size_t>(pixels));
    return p;
  }
  PointwiseCall product;
  Framed weights, unscale;
  ptrdiff_t block_stride;
  Framed panel, sums;
  StrassenParams params{};
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
  StrassenCall call(table, scaled, src, unscale, pixels, levels);
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
  StrassenCall whole(table, layer, src, ones, pixels, levels),
      split(table, layer, src, ones, pixels, levels);
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
