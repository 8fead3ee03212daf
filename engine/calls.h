// SPDX-License-Identifier: Apache-2.0
// From packed weights and layouts to the parameters of a kernel's call: for the executor, and for
// benchmarks, which must call the kernels as it does.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/layout.h"
#include "engine/packing.h"
#include "kernels/kernels.h"

namespace convmixer {

// Words from block to block of a panel of so many pixels: of the blocks' products, and of the patch
// embedding's.
std::ptrdiff_t panel_stride(const KernelTable& table, int pixels);
std::ptrdiff_t patch_panel_stride(const KernelTable& table, int pixels);

// Words of a panel that has room for so many pixels of any of the plan's products.
std::size_t panel_words(const Plan& plan, int pixels);

// The patches of rows y_begin … y_end − 1 of one image, bytes or floats.
PatchParams patch_params(const Plan& plan, const void* image, int y_begin, int y_end, float* panel);

// Rows y_begin … y_end − 1 of channel block c, straight into the panel; `image` is pixel (0, 0) of
// the first channel block. Fetches what the next block reads.
DepthwiseParams depthwise_params(const KernelTable& table, const PlaneLayout& layout,
                                 const PackedDepthwise& w, const float* image, int c, int y_begin,
                                 int y_end, float* panel);

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

// Runs the product, by Strassen's algorithm where `w` is packed for it. `scratch` holds
// strassen_floats for the panel's pixels, and is not used otherwise.
void multiply(const KernelTable& table, const PackedPointwise& w, const PointwiseParams& p,
              float* scratch);
std::size_t strassen_floats(const KernelTable& table, int channels, int pixels);

}  // namespace convmixer
