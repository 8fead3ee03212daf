// SPDX-License-Identifier: Apache-2.0
// Bytes for floats: weights and epilogues that go with the scales of the activations.
#pragma once

#include "engine/graph.h"
#include "engine/packing.h"
#include "engine/scales.h"

namespace convmixer {

// The fused, folded nodes for a table of kInt8. (See kernels/kernels.h for what each vector holds.)
// The patch embedding's weights stay floats; results become bytes of `dst`.
PackedPointwise quantize_patch_embed(const Node& node, const ChannelScales& dst,
                                     const KernelTable& table, PatchOrder order);
PackedDepthwise quantize_depthwise(const Node& node, const ChannelScales& src,
                                   const ChannelScales& dst, const KernelTable& table);
PackedPointwise quantize_pointwise(const Node& node, const ChannelScales& src,
                                   const ChannelScales& dst, const KernelTable& table);

}  // namespace convmixer
