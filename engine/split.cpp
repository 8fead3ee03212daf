// SPDX-License-Identifier: Apache-2.0
#include "engine/split.h"

#include <algorithm>
#include <cstddef>

#include "engine/layout.h"
#include "kernels/cpu.h"

namespace convmixer {
namespace {

struct Costs {
  // The most pixels of a strip, unless a single row has more: enough to use each weight often, few
  // enough for the panel to stay in L2.
  int most_pixels;
  double fetch;  // of the weights of a strip: as much as so many pixels' products with them
  double tap;    // a depthwise multiply-add, in those of products
};
constexpr Costs kOfVectors{96, 16, 1}, kOfTiles{256, 128, 20};

const Costs& costs_of(const KernelTable& table) {
  return table.matrix_tiles ? kOfTiles : kOfVectors;
}

}  // namespace

int most_strip_rows(const Geometry& g, const KernelTable& table, int rows) {
  return rows != 0 ? rows : std::max(1, std::min(g.h, costs_of(table).most_pixels / g.w));
}

Split choose_split(const Geometry& g, const KernelTable& table, int n, int threads, int oc_tiles,
                   int given_rows) {
  const Costs& costs = costs_of(table);
  const double dim = g.dim, taps = static_cast<double>(g.kernel_size) * g.kernel_size;
  Split best{};
  double best_cost = 0;
  const int first = given_rows != 0 ? given_rows : 1, last = most_strip_rows(g, table, given_rows);
  for (int rows = first; rows <= last; ++rows) {
    const int strips = ceil_div(g.h, rows);
    const int parts = std::clamp(threads / std::max(1, n * strips), 1, oc_tiles);
    const double tasks = static_cast<double>(n) * strips * parts;
    const double rounds = static_cast<double>(static_cast<long>((tasks + threads - 1) / threads));
    const double pixels = static_cast<double>(rows) * g.w;
    const double cost = rounds * (pixels * taps * costs.tap + (pixels + costs.fetch) * dim / parts);
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
  const int strips = choose_split(geometry, *native.table, 1, 1, 1, native.strip_rows).strips;
  const auto in_cache =
      static_cast<int>(std::min<std::size_t>(1024, cache_sizes().l3 / 2 / an_image));
  return std::min(ceil_div(16 * threads, strips),
                  std::max({1, in_cache, ceil_div(threads, strips)}));
}

}  // namespace convmixer
