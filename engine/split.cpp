// SPDX-License-Identifier: Apache-2.0
#include "engine/split.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

#include "engine/layout.h"
#include "engine/weight_order.h"
#include "kernels/cpu.h"

namespace convmixer {
namespace {

struct Costs {
  double fetch;      // of the weights of a strip, in pixels: as much as their products with them
  double tap;        // of a depthwise multiply-add, in those of products
  double pass_rows;  // of each pass over a panel's rows, in rows of a depthwise layer,
  double pass_taps;  // and for each 32 pixels of a row in pixels
  double moved;      // of a value of a panel that another thread has filled, in multiply-adds
  double wait;       // of threads for a panel that all of them fill, in multiply-adds
};
// Of tiles: rates of one core of a Granite Rapids, products 1.0 to 2.3 TFLOP/s, depthwise layers
// 0.15 to 0.29; of floats in pieces products 0.3, depthwise layers 0.12. The others by layers and
// whole models in strips and panels of 4 to 32 rows, and with shared panels (docs/performance.md).
// A pass of bf16's depthwise layers by tiles gathers windows above and below, and lays out the
// matrices of taps for each 32 pixels of a row.
constexpr Costs kOfVectors{16, 1, 0, 0, 64, 3e5}, kOfTiles{24, 8, 1, 0, 100, 3e6},
    kOfTapsInTiles{24, 4.3, 6, 128, 100, 3e6}, kOfPieces{40, 2.5, 0.5, 0, 64, 3e5};

// Whether two rows of a depthwise layer are made together. Of two that strips share Winograd's
// products for one cost 3/4 of both, tiles for one as much as for both.
bool pairs_rows(const Geometry& g, const KernelTable& table) {
  return winograd_taps(g.kernel_size, table) ||
         (taps_in_tiles(g.kernel_size, table) && tap_cell_rows(g.kernel_size) == 2);
}

const Costs& costs_of(const Geometry& g, const KernelTable& table) {
  if (table.pieces > 1) return kOfPieces;
  if (taps_in_tiles(g.kernel_size, table)) return kOfTapsInTiles;
  return table.panel_blocks > 1 ? kOfTiles : kOfVectors;
}

std::size_t panel_bytes(const Geometry& g, const KernelTable& table, int pixels) {
  const int row = table.lanes * table.panel_blocks;  // of the panel, in channels
  return sizeof(float) * static_cast<std::size_t>(ceil_div(g.dim, row) * row) *
         static_cast<std::size_t>(pixels * table.pieces) /
         static_cast<std::size_t>(table.panel_per_word);
}

// What the busiest thread has to do, divided by dim.
struct Cost {
  const Geometry& g;
  const KernelTable& table;
  const std::size_t l2_bytes;
  const Costs& costs;
  int n, threads;

  Cost(const Geometry& geometry, const NativePlan& native, int images, int team)
      : g(geometry),
        table(*native.table),
        l2_bytes(native.l2_bytes),
        costs(costs_of(g, table)),
        n(images),
        threads(team) {}

  double depthwise(int rows) const {
    const int passes = costs.pass_taps > 0 ? ceil_div(rows, tap_pass_rows(g.kernel_size)) : 1;
    double tap_rows = rows + costs.pass_rows * passes;
    if (rows % 2 != 0 && pairs_rows(g, table)) tap_rows += table.winograd ? 0.5 : 1;
    const double pixels = tap_rows * g.w + costs.pass_taps * passes * ceil_div(g.w, 32);
    return pixels * g.kernel_size * g.kernel_size * costs.tap;
  }
  double product(int rows, int strips) const {
    return (static_cast<double>(rows) * g.w + costs.fetch * strips) * g.dim;
  }

  double depth_first(const Split& s) const {
    const int panels = s.panels(), whole = s.panel_rows(g.h);
    // Of several strips: what half of L2 cannot hold comes back from L3.
    const bool spills = s.panel_strips > 1 && panel_bytes(g, table, whole * g.w) > l2_bytes / 2;
    const auto panel = [&](int rows, int strips) {
      return depthwise(rows) + product(rows, strips) + (spills ? rows * g.w * costs.moved / 2 : 0);
    };
    // Threads that have whole images have their last panels too, of fewer rows.
    const double last = n < threads ? 0 : 1.0 * n / threads;
    return (rounds(1.0 * n * panels) - last) * panel(whole, s.panel_strips) +
           last * panel(g.h - (panels - 1) * whole, s.strips - (panels - 1) * s.panel_strips);
  }
  double shared(const Split& s) const {
    const double steps = ceil_div(g.dim, table.lanes * table.panel_blocks);
    return rounds(n * steps * s.panels()) / steps * depthwise(s.panel_rows(g.h)) +
           rounds(1.0 * n * s.strips * s.parts) / s.parts * product(s.rows, 1) +
           rounds(1.0 * n * s.strips) * s.rows * g.w * costs.moved + costs.wait / g.dim;
  }
  // Of a task of the patch embedding where panels are shared: at most `most`.
  int patch_rows(int most) const {
    int best = most;
    const auto cost = [&](int rows) {
      return rounds(1.0 * n * ceil_div(g.h, rows)) * product(rows, 1);
    };
    for (int rows = most - 1; rows >= 1; --rows) {
      if (cost(rows) < cost(best)) best = rows;
    }
    return best;
  }
  // With an image for each thread or more none is bound to wait: who has made less of a layer goes
  // on with the next one of other images.
  double rounds(double tasks) const {
    return n < threads ? std::ceil(tasks / threads) : tasks / threads;
  }
};

// The most strips of a panel: 64 rows make passes and what a panel costs besides few. More than
// twice L2 is slower (256 channels, 224×224 pixels: 145 ms for 116), and takes memory.
int most_panel_strips(const Geometry& g, const NativePlan& native, int rows) {
  constexpr int kMostRows = 64;
  // Strassen's panels are of one strip.
  if (native.strip_rows != 0 || costs_of(g, *native.table).pass_rows == 0) return 1;
  const std::size_t room = native.low_memory ? native.l2_bytes / 2 : native.l2_bytes * 2;
  const std::size_t in_cache = room / panel_bytes(g, *native.table, rows * g.w);
  const int most = std::min(ceil_div(kMostRows, rows), ceil_div(g.h, rows));
  return std::max(
      1, static_cast<int>(std::min<std::size_t>(in_cache, static_cast<std::size_t>(most))));
}

}  // namespace

int most_strip_pixels(const Geometry& g, const KernelTable& table, std::size_t l2_bytes) {
  // Matrix tiles use up weights faster, and have 16 rows of pixels to fill: as many as half of L2
  // holds, or, of values in pieces, 5/8, and no more than are summed at once: for each of these
  // weights are cut.
  constexpr int kOfVectorProducts = 96, kOfTileProducts = 512;
  const bool pieces = table.pieces > 1;
  if (table.panel_blocks == 1) return kOfVectorProducts;
  const std::size_t bytes = panel_bytes(g, table, 1);
  const std::size_t room = pieces ? l2_bytes / 8 * 5 : l2_bytes / 2;
  const std::size_t most = pieces ? kMostSumPixels : kOfTileProducts;
  return std::max(static_cast<int>(std::min(room / bytes, most)), kOfVectorProducts);
}

int most_strip_rows(const Geometry& g, const NativePlan& native) {
  if (native.strip_rows != 0) return native.strip_rows;
  const int rows = std::max(1, std::min(g.h, native.strip_pixels / g.w)), pixels = (rows + 1) * g.w;
  // One more, to make pairs, where that many pixels are summed at once and the panel is no larger
  // than half of L2.
  const bool odd = rows % 2 == 1 && rows < g.h && pairs_rows(g, *native.table);
  return odd && pixels <= kMostSumPixels &&
                 panel_bytes(g, *native.table, pixels) <= native.l2_bytes / 2
             ? rows + 1
             : rows;
}

Split choose_split(const Geometry& g, const NativePlan& native, int n, int threads) {
  const Cost cost_of(g, native, n, threads);
  const int oc_tiles = ceil_div(g.dim, native.table->oc_tile);
  Split best{};
  double best_cost = 0;
  const auto consider = [&](const Split& s, double cost) {
    constexpr double kMore = 1 + 1e-9;  // of two that cost the same the first, whatever is rounded
    if (best_cost != 0 && cost * kMore >= best_cost) return;
    best = s;
    best_cost = cost;
  };
  const int last = most_strip_rows(g, native), first = native.strip_rows != 0 ? last : 1;
  for (int rows = first; rows <= last; ++rows) {
    const int strips = ceil_div(g.h, rows), most = most_panel_strips(g, native, rows);
    for (int panel_strips = 1; panel_strips <= most; ++panel_strips) {
      Split s{rows, strips, panel_strips};
      consider(s, cost_of.depth_first(s));
      const int tasks = n * strips;
      // With half as many strips as threads shared panels take no more memory than each thread's
      // own.
      if (n >= threads || (native.low_memory && 2 * tasks > threads)) continue;
      s.shared = true;
      s.patch_rows = cost_of.patch_rows(rows);
      // Of parts two for each thread, so that it can take some of what others have left.
      const int fair = 2 * threads / std::gcd(threads, tasks);
      for (const int parts : {1, ceil_div(2 * threads, tasks), fair}) {
        s.parts = std::min(parts, oc_tiles);
        consider(s, cost_of.shared(s));
      }
    }
  }
  return best;
}

int choose_chunk(const Geometry& geometry, const NativePlan& native, int threads) {
  const PlaneLayout planes(geometry, *native.table);
  const std::size_t an_image = 2 * planes.image_stride * sizeof(float);
  const int strips = choose_split(geometry, native, 1, 1).strips;
  const int least = ceil_div(threads, strips);
  if (native.low_memory) return least;
  const auto in_cache =
      static_cast<int>(std::min<std::size_t>(1024, cache_sizes().l3 / 2 / an_image));
  return std::min(ceil_div(16 * threads, strips), std::max({1, in_cache, least}));
}

}  // namespace convmixer
