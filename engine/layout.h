// SPDX-License-Identifier: Apache-2.0
// Where a pixel of an activation lies in memory: the planes and panels of kernels/kernels.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "engine/plan.h"

namespace convmixer {

// A block stride in words, from a least one: whole cache lines, and an odd number of them. An even
// one, above all a power of two, would put the same pixel of every channel block into a few cache
// sets.
inline std::size_t spread_stride(std::size_t words) {
  constexpr std::size_t kLine = 64 / sizeof(float);
  return ((words + kLine - 1) / kLine | 1) * kLine;
}

// Where a pixel of a channel block lies in a panel of so many pixels: words.
struct PanelLayout {
  int lanes, per_word, blocks_beside, pieces;  // the last two: KernelTable::panel_blocks, pieces
  std::ptrdiff_t stride;                       // from row of blocks to row of blocks

  // With room for what whole groups write behind the last pixel, or matrix tiles read.
  PanelLayout(int lanes_, int per_word_, int panel_blocks, int pieces_, int pixels)
      : lanes(lanes_), per_word(per_word_), blocks_beside(panel_blocks), pieces(pieces_) {
    const int room = panel_blocks > 1 ? pixels + 15 : pixels;
    stride = static_cast<std::ptrdiff_t>(spread_stride(static_cast<std::size_t>(
        ceil_div(room * panel_blocks + per_word - 1, per_word) * lanes * pieces)));
  }
  std::ptrdiff_t block(int c) const {
    return c / blocks_beside * stride + c % blocks_beside * (lanes / per_word);
  }
  std::ptrdiff_t pixel(int i) const {
    return static_cast<std::ptrdiff_t>(i) * (lanes / per_word * blocks_beside * pieces);
  }
  std::size_t words(int blocks) const {
    return static_cast<std::size_t>(ceil_div(blocks, blocks_beside) * stride);
  }
};

struct PlaneLayout {
  std::size_t gap, row_stride, block_stride, image_stride;  // gap in groups, strides in words
  std::size_t lanes;
  int per_word, blocks, h, w;

  PlaneLayout(const Geometry& g, const KernelTable& table)
      : gap(static_cast<std::size_t>(tap_groups_behind(g.kernel_size, table.per_word))),
        row_stride((static_cast<std::size_t>(ceil_div(g.w, table.per_word)) + gap) *
                   static_cast<std::size_t>(table.lanes)),
        block_stride(spread_stride(gap * static_cast<std::size_t>(table.lanes) +
                                   static_cast<std::size_t>(g.h) * row_stride)),
        lanes(static_cast<std::size_t>(table.lanes)),
        per_word(table.per_word),
        blocks(ceil_div(g.dim, table.lanes)),
        h(g.h),
        w(g.w) {
    image_stride = block_stride * static_cast<std::size_t>(blocks);
  }

  std::size_t first_pixel() const { return gap * lanes; }  // within a block
  std::size_t pixel(int i) const {  // its group's words, from the first; row-major
    return static_cast<std::size_t>(i / w) * row_stride +
           static_cast<std::size_t>(i % w / per_word) * lanes;
  }
  // Kernels take int32 offsets within a block.
  bool fits() const {
    return block_stride <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  }
};

}  // namespace convmixer
