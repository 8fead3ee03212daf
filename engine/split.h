// SPDX-License-Identifier: Apache-2.0
// How a run of ours is cut: batches into chunks, layers into strips of pixel rows and their panels.
#pragma once

#include <algorithm>

#include "engine/plan.h"

namespace convmixer {

// The most pixels of a strip, unless a single row has more or most_strip_rows adds one to make a
// pair: enough to use each weight often, few enough for the panel to stay in L2.
int most_strip_pixels(const Geometry& geometry, const KernelTable& table, std::size_t l2_bytes);

// How a block is cut over n images. Each image's rows of pixels are cut into strips of `rows`, of
// which products are made, and `panel_strips` of them, one below the other, have a panel in common,
// whose depthwise layer runs in one go. A task fills a panel and multiplies it; or, where the
// panels are `shared`, all threads fill them, each some channels, and then multiply, each some
// strips or some of the `parts` of their output channels. A task of the patch embedding is of
// `patch_rows`: a strip, or where panels are shared what gives each thread as much.
struct Split {
  int rows, strips;
  int panel_strips = 1;
  bool shared = false;
  int parts = 1;
  int patch_rows = rows;

  // Of an image of h rows.
  int panels() const { return ceil_div(strips, panel_strips); }
  int panel_rows(int h) const { return std::min(h, rows * panel_strips); }

  // A part's first tile of so many tiles of output channels, and the part that a tile is in.
  int part_begin(int tiles, int part) const {
    return static_cast<int>(static_cast<long>(tiles) * part / parts);
  }
  int part_of(int tiles, int tile) const {
    return static_cast<int>((static_cast<long>(tile + 1) * parts - 1) / tiles);
  }
};
Split choose_split(const Geometry& geometry, const NativePlan& native, int n, int threads);

// The most rows of a strip that choose_split gives for any n and threads.
int most_strip_rows(const Geometry& geometry, const NativePlan& native);

// Images of a chunk: enough for 16 strips a thread in every layer, so that threads wait little for
// each other, as long as the activations of all of them leave half of the L3 cache to
// the weights; but in any case a strip for each thread, and with low_memory no more.
int choose_chunk(const Geometry& geometry, const NativePlan& native, int threads);

}  // namespace convmixer
