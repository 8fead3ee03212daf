// SPDX-License-Identifier: Apache-2.0
// Where a pixel of an activation lies in memory: the planes and panels of kernels/kernels.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "engine/plan.h"

namespace convmixer {

// A block stride in floats, from a least one: whole cache lines, and an odd number of them. An even
// one, above all a power of two, would put the same pixel of every channel block into a few cache
// sets.
inline std::size_t spread_stride(std::size_t floats) {
  constexpr std::size_t kLine = 64 / sizeof(float);
  return ((floats + kLine - 1) / kLine | 1) * kLine;
}

struct PlaneLayout {
  std::size_t gap, row_stride, block_stride, image_stride;  // gap in pixels, strides in floats
  std::size_t lanes;
  int blocks, h, w;

  PlaneLayout(const Geometry& g, int vector_lanes)
      : gap(static_cast<std::size_t>(g.kernel_size / 2)),
        row_stride((static_cast<std::size_t>(g.w) + gap) * static_cast<std::size_t>(vector_lanes)),
        block_stride(spread_stride(gap * static_cast<std::size_t>(vector_lanes) +
                                   static_cast<std::size_t>(g.h) * row_stride)),
        lanes(static_cast<std::size_t>(vector_lanes)),
        blocks(ceil_div(g.dim, vector_lanes)),
        h(g.h),
        w(g.w) {
    image_stride = block_stride * static_cast<std::size_t>(blocks);
  }

  std::size_t first_pixel() const { return gap * lanes; }  // within a block
  std::size_t pixel(int i) const {                         // from the first; row-major
    return static_cast<std::size_t>(i / w) * row_stride + static_cast<std::size_t>(i % w) * lanes;
  }
  // Kernels take int32 offsets within a block.
  bool fits() const {
    return block_stride <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  }
};

}  // namespace convmixer
