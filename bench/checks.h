// SPDX-License-Identifier: Apache-2.0
// Results of layers against the oracle. Each returns "" or what is wrong.
#pragma once

#include <functional>
#include <string>

#include "bench/random_layers.h"
#include "engine/graph.h"
#include "kernels/kernels.h"

namespace convmixer::bench {

// The value of a channel's pixel as a real, whatever the precision and the layout.
using Value = std::function<float(int c, int pixel)>;

// The limit is the kernel tests' (tests/check.h). Strassen products, whose bound is one of norms,
// are held to `factor` times as much; bf16 and int8 to that of their weights' rounding, which the
// oracle does not do, and the result's.
struct Accuracy {
  Precision precision = kFp32;
  double factor = 1;
};

// All channels of the first few pixels.
std::string check_pointwise(const Node& node, const Value& src, const Value& dst,
                            Accuracy accuracy);
// `count` channels from `first` on, every pixel.
std::string check_depthwise(const Node& node, int first, int count, int h, int w, const Value& src,
                            const Value& dst, Accuracy accuracy);
// The first channels of every pixel, of the image's floats or bytes.
std::string check_patch_embed(const Node& node, const Image& image, bool u8, const Value& dst,
                              Accuracy accuracy);
// Every logit, in floats.
std::string check_head(const Node& node, int h, int w, const Value& src, const Value& dst);

}  // namespace convmixer::bench
