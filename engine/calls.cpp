// SPDX-License-Identifier: Apache-2.0
#include "engine/calls.h"

#include <algorithm>

namespace convmixer {
namespace {

// The sums of Strassen's second level stand behind those of the first.
std::ptrdiff_t second_level(const KernelTable& table, int channels, int pixels) {
  return ceil_div(channels, table.lanes) / 2 * panel_stride(table, pixels / 2);
}

}  // namespace

std::ptrdiff_t panel_stride(const KernelTable& table, int pixels) {
  return panel_stride(table.lanes, table.per_word, pixels);
}

std::ptrdiff_t patch_panel_stride(const KernelTable& table, int pixels) {
  return panel_stride(table.lanes, patch_per_word(table), pixels);
}

DepthwiseParams depthwise_params(const KernelTable& table, const PlaneLayout& layout,
                                 const PackedDepthwise& w, const float* image, int c, int y_begin,
                                 int y_end, float* panel) {
  const int k = w.kernel_size, pad = (k - 1) / 2;
  const auto taps = static_cast<std::ptrdiff_t>(depthwise_words(k, table.per_word));
  const std::ptrdiff_t lane = static_cast<std::ptrdiff_t>(c) * table.lanes;
  DepthwiseParams p{};
  p.src = image + static_cast<std::size_t>(c) * layout.block_stride;
  p.h = layout.h;
  p.w = layout.w;
  p.kernel_size = k;
  p.row_stride = static_cast<int>(layout.row_stride);
  p.y_begin = y_begin;
  p.y_end = y_end;
  p.weights = w.weights.data() + lane * taps;
  p.bias = w.bias.data() + lane;
  p.src_scale = w.src_scale.data() + lane;
  p.scale = w.scale.data() + lane;
  if (table.precision == kInt8) {
    p.shift = w.shift.data() + lane;
    p.unscale = w.unscale.data() + lane;
    p.row_zero = w.row_zero.data() + lane * k;
  }
  p.dst = panel + c * panel_stride(table, (y_end - y_begin) * layout.w);
  if (c + 1 < layout.blocks) {
    const int first = std::max(0, y_begin - pad), end = std::min(layout.h, y_end + k - 1 - pad);
    p.next = p.src + layout.block_stride + static_cast<std::size_t>(first) * layout.row_stride;
    p.next_lines = static_cast<int>(static_cast<std::size_t>(end - first) * layout.row_stride *
                                    sizeof(float) / 64);
  }
  return p;
}

PointwiseParams pointwise_params(const PackedPointwise& w) {
  PointwiseParams p{};
  p.ic = w.ic;
  p.oc_blk = w.oc_blk;
  p.weights = w.weights.data();
  p.bias = w.bias.data();
  p.scale = w.scale.data();
  p.shift = w.shift.data();
  p.unscale = w.unscale.data();
  p.border = w.border.data();
  p.tile_end = w.tiles;
  return p;
}

void multiply(const KernelTable& table, const PackedPointwise& w, const PointwiseParams& p,
              float* scratch) {
  if (w.strassen == 0) return table.pointwise[w.activation](&p);
  const StrassenParams s{p,
                         w.strassen,
                         {scratch, scratch + second_level(table, w.ic, p.pixels)},
                         {panel_stride(table, p.pixels / 2), panel_stride(table, p.pixels / 4)}};
  table.strassen[w.activation](&s);
}

std::size_t strassen_floats(const KernelTable& table, int channels, int pixels) {
  const int quarter = ceil_div(ceil_div(channels, table.lanes), 4);
  return static_cast<std::size_t>(second_level(table, channels, pixels) +
                                  quarter * panel_stride(table, pixels / 4));
}

}  // namespace convmixer
