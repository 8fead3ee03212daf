// SPDX-License-Identifier: Apache-2.0
#include "engine/split.h"

#include <algorithm>
#include <cstddef>

#include "engine/layout.h"
#include "engine/weight_order.h"
#include "kernels/cpu.h"

namespace convmixer {
namespace {

struct Costs {
  double fetch;  // of the weights of a strip: as much as so many pixels' products with them
  double tap;    // a depthwise multiply-add, in those of products
};
// Of tiles: rates of one core of a Granite Rapids, products 1.0 to 2.3 TFLOP/s, depthwise layers
// 0.13 to 0.27, weights from L3 some 8 bytes a cycle; of floats in pieces products 0.3, depthwise
// layers 0.12, weights some 4 bytes a cycle, since half of them come from memory.
constexpr Costs kOfVectors{16, 1}, kOfTiles{128, 20}, kOfPieces{40, 2.5};

// Whether two rows of a depthwise layer are made together. Of two that strips share Winograd's
// products for one cost 3/4 of both, tiles for one as much as for both.
bool pairs_rows(const Geometry& g, const KernelTable& table) {
  return winograd_taps(g.kernel_size, table) ||
         (taps_in_tiles(g.kernel_size, table) && tap_cell_rows(g.kernel_size) == 2);
}

// How many rows' depthwise multiply-adds a strip costs.
double tap_rows_of(int rows, const Geometry& g, const KernelTable& table) {
  if (rows % 2 == 0 || !pairs_rows(g, table)) return rows;
  return table.winograd ? rows + 0.5 : rows + 1;
}

const Costs& costs_of(const KernelTable& table) {
  if (table.pieces > 1) return kOfPieces;
  return table.panel_blocks > 1 ? kOfTiles : kOfVectors;
}

}  // namespace

int most_strip_pixels(const Geometry& g, const KernelTable& table) {
  // Matrix tiles use up weights faster, and have 16 rows of pixels to fill: as many as half of L2
  // holds, or, of values in pieces, 5/8, and no more than are summed at once: for each of these
  // weights are cut.
  constexpr int kOfVectorProducts = 96, kOfTileProducts = 512;
  const bool pieces = table.pieces > 1;
  if (table.panel_blocks == 1) return kOfVectorProducts;
  const std::size_t bytes = static_cast<std::size_t>(g.dim) * sizeof(float) *
                            static_cast<std::size_t>(table.pieces) /
                            static_cast<std::size_t>(table.panel_per_word);
  const std::size_t room = pieces ? cache_sizes().l2 / 8 * 5 : cache_sizes().l2 / 2;
  const std::size_t most = pieces ? kMostSumPixels : kOfTileProducts;
  return std::max(static_cast<int>(std::min(room / bytes, most)), kOfVectorProducts);
}

int most_strip_rows(const Geometry& g, const NativePlan& native) {
  if (native.strip_rows != 0) return native.strip_rows;
  const int rows = std::max(1, std::min(g.h, native.strip_pixels / g.w)), pixels = (rows + 1) * g.w;
  // One more, to make pairs, where that many pixels are summed at once and the panel is no larger
  // than half of L2.
  const bool odd = rows % 2 == 1 && rows < g.h && pairs_rows(g, *native.table);
  const std::size_t panel = sizeof(float) * static_cast<std::size_t>(g.dim) *
                            static_cast<std::size_t>(pixels * native.table->pieces) /
                            static_cast<std::size_t>(native.table->panel_per_word);
  return odd && pixels <= kMostSumPixels && panel <= cache_sizes().l2 / 2 ? rows + 1 : rows;
}

Split choose_split(const Geometry& g, const NativePlan& native, int n, int threads, int oc_tiles) {
  const Costs& costs = costs_of(*native.table);
  const double dim = g.dim, taps = static_cast<double>(g.kernel_size) * g.kernel_size;
  Split best{};
  double best_cost = 0;
  const int last = most_strip_rows(g, native), first = native.strip_rows != 0 ? last : 1;
  for (int rows = first; rows <= last; ++rows) {
    const int strips = ceil_div(g.h, rows);
    const int parts = std::clamp(threads / std::max(1, n * strips), 1, oc_tiles);
    const double tasks = static_cast<double>(n) * strips * parts;
    const double rounds = static_cast<double>(static_cast<long>((tasks + threads - 1) / threads));
    const auto cost_of = [&](int strip_rows) {
      const double pixels = static_cast<double>(strip_rows) * g.w;
      const double tap_pixels = tap_rows_of(strip_rows, g, *native.table) * g.w;
      return tap_pixels * taps * costs.tap + (pixels + costs.fetch) * dim / parts;
    };
    // Threads that have whole images have their last strips too, of fewer rows.
    const int last_strips = n / threads, last_rows = g.h - (strips - 1) * rows;
    const double cost = (rounds - last_strips) * cost_of(rows) + last_strips * cost_of(last_rows);
    if (best_cost == 0 || cost < best_cost) {
      best = {rows, strips, parts};
      best_cost = cost;
    }
  }
  return best;
}

int choose_chunk(const Geometry& geometry, const NativePlan& native, int threads) {
  const PlaneLayout planes(geometry, *native.table);
  const std::size_t an_image = 2 * planes.image_stride * sizeof(float);
  const int strips = choose_split(geometry, native, 1, 1, 1).strips;
  const int least = ceil_div(threads, strips);
  if (native.low_memory) return least;
  const auto in_cache =
      static_cast<int>(std::min<std::size_t>(1024, cache_sizes().l3 / 2 / an_image));
  return std::min(ceil_div(16 * threads, strips), std::max({1, in_cache, least}));
}

}  // namespace convmixer
