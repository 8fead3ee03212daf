// SPDX-License-Identifier: Apache-2.0
#include "tests/strassen_data.h"

#include <algorithm>
#include <utility>

#include "tests/precision_data.h"

namespace convmixer::test {
namespace {

// The seven combinations of the quarters of n × m weights (rows of m), in the kernel's order.
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

Framed pack(const KernelTable& table, const std::vector<float>& weights, int levels, int oc,
            int ic) {
  std::vector<std::vector<float>> products{weights};
  for (int level = 0; level < levels; ++level, oc /= 2, ic /= 2) {
    std::vector<std::vector<float>> next;
    for (const std::vector<float>& a : products) {
      for (std::vector<float>& m : combinations(a, oc, ic)) next.push_back(std::move(m));
    }
    products = std::move(next);
  }
  const int tile = table.oc_tile;
  Framed packed(products.size() * static_cast<std::size_t>(oc) *
                static_cast<std::size_t>(ic / table.per_word));
  float* dst = packed.data();
  for (int t = 0; t < oc; t += tile) {
    for (const std::vector<float>& a : products) {
      const auto row = a.begin() + static_cast<std::ptrdiff_t>(t) * ic;
      const Framed part = pack_words(table, table.per_word, ic, tile, {row, row + tile * ic});
      dst = std::copy(part.data(), part.data() + part.size(), dst);
    }
  }
  return packed;
}

}  // namespace

StrassenOperands::StrassenOperands(const KernelTable& table,
                                   const std::vector<float>& plain_weights, int levels,
                                   int tiles_at_once, const PointwiseParams& plain)
    : block_words((plain.pixels >> levels) * table.lanes / table.per_word),
      block_stride(block_words + 16),
      product_stride((plain.ic / table.lanes >> levels) * block_stride),
      weights(pack(table, plain_weights, levels, plain.oc_blk * table.lanes, plain.ic)),
      panel(static_cast<std::size_t>(strassen_products(levels) * product_stride)),
      sums(static_cast<std::size_t>(tiles_at_once * (levels == 2 ? 21 : 5) *
                                    (plain.pixels >> levels) * table.oc_tile)),
      params{plain, levels, product_stride, tiles_at_once, sums.data()} {
  const int blocks = plain.ic / table.lanes >> levels;
  for (int b = 0; b < blocks; ++b) {
    const StrassenPanelParams p{plain.panel + b * plain.panel_block_stride,
                                blocks * plain.panel_block_stride,
                                plain.pixels,
                                levels,
                                panel.data() + b * block_stride,
                                product_stride};
    table.strassen_panel(&p);
  }
  params.product.weights = weights.data();
  params.product.panel = panel.data();
  params.product.panel_block_stride = block_stride;
  params.product.tile_end = plain.oc_blk * table.lanes / table.oc_tile >> levels;
}

testing::AssertionResult StrassenOperands::intact() const {
  if (!sums.frame_intact()) return testing::AssertionFailure() << "written around the sums";
  if (!panel.frame_intact()) return testing::AssertionFailure() << "written around the panel";
  for (std::size_t i = 0; i < panel.size(); ++i) {
    if (static_cast<std::ptrdiff_t>(i) % block_stride < block_words || panel.untouched(i)) continue;
    return testing::AssertionFailure() << "written between the panel's blocks, word " << i;
  }
  return testing::AssertionSuccess();
}

void run_strassen(const KernelTable& table, KernelActivation activation,
                  const std::vector<float>& weights, int levels, const PointwiseParams& plain,
                  bool tile_by_tile) {
  StrassenOperands operands(table, weights, levels, 2, plain);
  PointwiseParams& p = operands.params.product;
  const int tiles = p.tile_end;
  for (int tile = 0; tile < tiles; tile += tile_by_tile ? 1 : tiles) {
    p.tile_begin = tile;
    p.tile_end = tile_by_tile ? tile + 1 : tiles;
    table.strassen[activation](&operands.params);
  }
  EXPECT_TRUE(operands.intact());
}

}  // namespace convmixer::test
