// SPDX-License-Identifier: Apache-2.0
// From packed weights and layouts to the parameters of a kernel's call: for the executor, and for
// benchmarks, which must call the kernels as it does.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/layout.h"
#include "engine/packing.h"
#include "kernels/cpu.h"
#include "kernels/kernels.h"

namespace convmixer {

// The panel of so many pixels of the blocks' products, and of the patch embedding's.
PanelLayout panel_layout(const KernelTable& table, int pixels);
PanelLayout patch_panel_layout(const KernelTable& table, int pixels);

// Words of a panel that has room for so many pixels of any of the plan's products.
std::size_t panel_words(const Plan& plan, int pixels);

// The patches of rows y_begin … y_end − 1 of one image, bytes or floats.
PatchParams patch_params(const Plan& plan, const void* image, int y_begin, int y_end, float* panel);

// Rows y_begin … y_end − 1 of channel block c, into a block of a panel; `image` is pixel (0, 0) of
// the first channel block. Fetches what block `next` reads, if there is one.
DepthwiseParams depthwise_params(const KernelTable& table, const PlaneLayout& layout,
                                 const PackedDepthwise& w, const float* image, int c, int next,
                                 int y_begin, int y_end, float* dst);

// How many rows above and below y_begin … y_end − 1 it reads something of.
int rows_reached(int kernel_size, const KernelTable& table);

// What the weights tell, and the range of all tiles; panel and dst are left to the caller.
PointwiseParams pointwise_params(const PackedPointwise& w);

// The same of rows y_begin … y_end − 1, from a panel into one image's planes; `offset` are
// PlaneLayout::pixel of every pixel.
PointwiseParams product_params(const PackedPointwise& w, const PlaneLayout& layout,
                               const std::int32_t* offset, int y_begin, int y_end,
                               const float* panel, std::ptrdiff_t panel_block_stride,
                               float* planes);

// The mean of channel block c of one image's planes.
MeanParams mean_params(const Plan& plan, const PlaneLayout& layout, const float* planes, int c,
                       float* dst);

// What Strassen products of `pixels` pixels, a multiple of 2^levels, need: strides and sizes in
// words.
struct StrassenLayout {
  StrassenLayout(const KernelTable& table, int dim, int pixels, int levels,
                 std::size_t l2_bytes = cache_sizes().l2);
  int pixels, levels;
  int parts;                     // 2^levels
  int blocks;                    // of a part of the channels, hence of a product's operand
  std::ptrdiff_t staged_stride;  // of `parts` plain blocks, one of each part
  std::ptrdiff_t block_stride, product_stride;  // of the panel
  std::size_t staged_words, panel_words, sum_words;
  // Where half of L2 cannot hold the panel and a tile's weights, groups of nearly equal size, each
  // of at most as many tiles as it holds sums of. Fewer pixels never need more words.
  int tiles_at_once = 1;
};

// Block `block` of each product, of plain blocks `src_stride` words apart.
StrassenPanelParams strassen_panel_params(const StrassenLayout& layout, int block, const float* src,
                                          std::ptrdiff_t src_stride, float* panel);

// The product, which is told no panel yet.
StrassenParams strassen_params(const StrassenLayout& layout, PointwiseParams product,
                               const float* panel, float* sums);

}  // namespace convmixer
