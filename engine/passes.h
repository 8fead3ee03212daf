// SPDX-License-Identifier: Apache-2.0
// One function a pass, Graph in → Graph out; what each keeps equal is stated and tested. They throw
// Error(kInternal) for a graph of unexpected structure, and give back the pages of mapped weights
// that they have read (Weights::let_go). fold_batchnorm throws Error(kFormat) where a shift would
// have to go into int8 weights.
#pragma once

#include <vector>

#include "engine/graph.h"

namespace convmixer {

// convolution + activation + BatchNorm (+ add) → one fused node; mean + linear → kHead. BatchNorm
// becomes scale = weight / √(running_var + eps), shift = bias − running_mean · scale.
Graph fuse(const Graph& graph);

// On a fused graph, moves what is left of each BatchNorm forward where that is exact:
// - the shift d of a depthwise node, through the residual, into the next pointwise bias: c + P·d
//   (exact because nothing else reads the depthwise result); its scale stays, its shift becomes 0;
// - the scale and shift of the last pointwise node, through the mean, into the classifier, whose
//   weights become a rescaled copy; they remain known as the kHead node's affine.
// The scale and shift of the other nodes stay: an activation follows, and the zero padding of a
// depthwise layer would not see the shift.
Graph fold_batchnorm(const Graph& graph);

// For a graph fed (x/255 − mean)/std, the same graph fed the raw bytes x: patch-embed weights
// w/(255·std), bias − Σ w·mean/std.
Node fold_normalization(const Node& patch_embed, const std::vector<double>& mean,
                        const std::vector<double>& std);

}  // namespace convmixer
