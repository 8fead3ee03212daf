// SPDX-License-Identifier: Apache-2.0
#include "engine/calls.h"

#include <algorithm>
#include <cassert>

namespace convmixer {

PanelLayout panel_layout(const KernelTable& table, int pixels) {
  return {table.lanes, table.panel_per_word, table.panel_blocks, table.pieces, pixels};
}

PanelLayout patch_panel_layout(const KernelTable& table, int pixels) {
  if (table.precision != kInt8) return panel_layout(table, pixels);
  return {table.lanes, patch_per_word(table), 1, 1, pixels};
}

std::size_t panel_words(const Plan& plan, int pixels) {
  const KernelTable& table = *plan.native->table;
  const int blocks = ceil_div(plan.geometry.dim, table.lanes),
            patch_blocks = ceil_div(plan.native->patch_embed.ic, table.lanes);
  return std::max(panel_layout(table, pixels).words(blocks),
                  patch_panel_layout(table, pixels).words(patch_blocks));
}

PatchParams patch_params(const Plan& plan, const void* image, int y_begin, int y_end,
                         float* panel) {
  const Geometry& g = plan.geometry;
  PatchParams p{};
  p.src = image;
  p.h = g.image_h;
  p.w = g.image_w;
  p.patch_size = g.patch_size;
  p.w_out = g.w;
  p.first = y_begin * g.w;
  p.count = (y_end - y_begin) * g.w;
  p.scale = plan.patch_scale();
  p.panel = panel;
  p.panel_block_stride = patch_panel_layout(*plan.native->table, p.count).stride;
  return p;
}

DepthwiseParams depthwise_params(const KernelTable& table, const PlaneLayout& layout,
                                 const PackedDepthwise& w, const float* image, int c, int next,
                                 int y_begin, int y_end, float* dst) {
  const int k = w.kernel_size, pad = (k - 1) / 2;
  const auto taps = static_cast<std::ptrdiff_t>(depthwise_words(k, table));
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
  p.dst = dst;
  if (next < layout.blocks) {
    const int first = std::max(0, y_begin - pad), end = std::min(layout.h, y_end + k - 1 - pad);
    p.next = image + static_cast<std::size_t>(next) * layout.block_stride +
             static_cast<std::size_t>(first) * layout.row_stride;
    p.next_lines = static_cast<int>(static_cast<std::size_t>(end - first) * layout.row_stride *
                                    sizeof(float) / 64);
  }
  return p;
}

int rows_reached(int kernel_size, const KernelTable& table) {
  assert(table.precision != kInt8 || !table.taps_in_tiles);
  const int taps = kernel_size / 2;
  // What stands left of a row's first pixel is the end of the row above, whose strip writes it.
  if (table.precision == kInt8) return taps + 1;
  // Cells of two rows begin at even ones, and their windows, of two rows too, may end behind those
  // that taps reach, of even kernels another row (kernels/depthwise_tiles.inl.h).
  return taps_in_tiles(kernel_size, table) ? taps + 2 : taps;
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

PointwiseParams product_params(const PackedPointwise& w, const PlaneLayout& layout,
                               const std::int32_t* offset, int y_begin, int y_end,
                               const float* panel, std::ptrdiff_t panel_block_stride,
                               float* planes) {
  PointwiseParams p = pointwise_params(w);
  p.panel = panel;
  p.panel_block_stride = panel_block_stride;
  p.pixels = (y_end - y_begin) * layout.w;
  p.dst = planes + layout.first_pixel();
  p.dst_offset = offset + y_begin * layout.w;
  p.dst_block_stride = static_cast<std::ptrdiff_t>(layout.block_stride);
  p.row_pixels = layout.w;
  p.gap = static_cast<int>(layout.gap);
  p.gap_before = y_begin == 0;
  return p;
}

MeanParams mean_params(const Plan& plan, const PlaneLayout& layout, const float* planes, int c,
                       float* dst) {
  const KernelTable& table = *plan.native->table;
  MeanParams p{};
  p.src = planes + static_cast<std::size_t>(c) * layout.block_stride + layout.first_pixel();
  p.h = layout.h;
  p.w = layout.w;
  p.row_stride = static_cast<int>(layout.row_stride);
  p.dst = dst;
  if (table.precision == kInt8) {
    p.scale = plan.native->mean_scale.data() + c * table.lanes;
    p.shift = plan.native->mean_shift.data() + c * table.lanes;
  }
  return p;
}

StrassenLayout::StrassenLayout(const KernelTable& table, int dim, int pixel_count, int level_count,
                               std::size_t l2_bytes)
    : pixels(pixel_count),
      levels(level_count),
      parts(1 << levels),
      blocks(ceil_div(dim, table.lanes) / parts),
      staged_stride(panel_layout(table, pixels).stride),
      block_stride(panel_layout(table, pixels / parts).stride),
      product_stride(static_cast<std::ptrdiff_t>(
          spread_stride(static_cast<std::size_t>(blocks * block_stride)))),
      staged_words(static_cast<std::size_t>(parts * staged_stride)) {
  const auto products = static_cast<std::size_t>(strassen_products(levels));
  panel_words = products * static_cast<std::size_t>(product_stride);
  const auto tile_sums =
      static_cast<std::size_t>(strassen_sum_parts(levels) * (pixels / parts) * table.oc_tile);
  sum_words = tile_sums;
  // What a tile reads; the next one must find the panel again.
  const auto tile_weights =
      products * static_cast<std::size_t>(blocks * table.lanes / table.per_word * table.oc_tile);
  const std::size_t room = l2_bytes / 2 / sizeof(float);
  if (panel_words + tile_weights <= room) return;
  const int tiles = blocks * table.lanes / table.oc_tile;
  sum_words = std::max(tile_sums, std::min(room, static_cast<std::size_t>(tiles) * tile_sums));
  const int groups = ceil_div(tiles, static_cast<int>(sum_words / tile_sums));
  tiles_at_once = ceil_div(tiles, groups);
}

StrassenPanelParams strassen_panel_params(const StrassenLayout& layout, int block, const float* src,
                                          std::ptrdiff_t src_stride, float* panel) {
  return {src,
          src_stride,
          layout.pixels,
          layout.levels,
          panel + block * layout.block_stride,
          layout.product_stride};
}

StrassenParams strassen_params(const StrassenLayout& layout, PointwiseParams product,
                               const float* panel, float* sums) {
  product.panel = panel;
  product.panel_block_stride = layout.block_stride;
  return {product, layout.levels, layout.product_stride, layout.tiles_at_once, sums};
}

}  // namespace convmixer
