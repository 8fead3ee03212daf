// SPDX-License-Identifier: Apache-2.0
// Fused, folded nodes → operators of oneDNN in the program's precision: for plans, and for
// benchmarks, which must measure what plans run. They throw what onednn::Program does.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/graph.h"
#include "engine/plan.h"
#include "engine/scales.h"
#include "kernels/onednn.h"

namespace convmixer {

// `raw`: the same for images that are not normalised. `q` is read where the program's precision is
// int8; a layer of a block belongs to the i-th.
void add_patch_embed(onednn::Program& program, const Node& node, const Node& raw, const Geometry& g,
                     const Quantization& q);
void add_depthwise(onednn::Program& program, const Node& node, const Geometry& g,
                   const Quantization& q, std::size_t i);
void add_pointwise(onednn::Program& program, const Node& node, const Geometry& g,
                   const Quantization& q, std::size_t i);
// Mean over pixels and classifier.
void add_head(onednn::Program& program, const Node& node, const Geometry& g, const Quantization& q);

// One image's raw bytes, (h, w, 3), as the floats that `raw` weights read: (3, h, w).
void unpack_image(const std::uint8_t* src, const Geometry& g, float* dst);

}  // namespace convmixer
