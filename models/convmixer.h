// SPDX-License-Identifier: Apache-2.0
// ConvMixer: configuration and checkpoint → Graph.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "engine/graph.h"
#include "models/checkpoint.h"

namespace convmixer {

// Larger is refused with Error(kLimit). Besides, no weight tensor and no layer's output for one
// image has more than 2^31 − 1 values. Products of other sizes still need 64 bits.
constexpr int kMaxDim = 65536, kMaxDepth = 4096, kMaxKernelSize = 255, kMaxPatchSize = 1024;
constexpr int kMaxImageSize = 16384, kMaxClasses = 1'000'000;

// The key of safetensors' __metadata__ that holds a model's configuration as a JSON text.
constexpr const char* kMetadataKey = "convmixer";

struct ModelConfig {
  int dim = 0, depth = 0, kernel_size = 0, patch_size = 0, num_classes = 0;
  Activation activation = Activation::kGelu;
  int image_height = 224, image_width = 224;
  double bn_eps = 1e-5;
  std::array<double, 3> mean{0.485, 0.456, 0.406};  // ImageNet's
  std::array<double, 3> std{0.229, 0.224, 0.225};
  double crop_pct = 0.96;
  std::string interpolation = "bicubic";  // or "bilinear"
  std::vector<std::string> labels;        // empty, or num_classes names
  bool stated_labels = false;             // false: nobody stated any, they are ImageNet's or none

  // Of one image: 3 · image_height · image_width.
  std::size_t image_values() const {
    return 3 * static_cast<std::size_t>(image_height) * static_cast<std::size_t>(image_width);
  }
};

// What the caller states; it wins over a config.json beside the weights, which wins over the
// metadata, which wins over the defaults. (The braces let a caller name some of the members only.)
struct ConfigOverrides {
  std::optional<Activation> activation{};
  std::optional<int> image_height{}, image_width{};
  std::optional<std::array<double, 3>> mean{}, std{};
  std::optional<double> crop_pct{}, bn_eps{};
  std::optional<std::string> interpolation{};
  std::optional<std::vector<std::string>> labels{};
};

// timm's names of a block's tensors, up to and with their last dot.
struct BlockKeys {
  explicit BlockKeys(std::size_t block);
  std::string depthwise, depthwise_batchnorm, pointwise, pointwise_batchnorm;
};

// Sizes come from the tensors' shapes; the rest from overrides, else from the config.json, else
// from the JSON under `convmixer` in the metadata, else: ReLU for 768/32 kernel 7 patch 7, GELU
// otherwise, 224 pixels, crop 0.96, bicubic, ImageNet's mean, std and, of 1,000 classes, labels.
// Metadata sizes that disagree with the shapes, values
// of the wrong type or out of range, labels of the wrong number and a file that is no ConvMixer are
// Error(kFormat); another architecture, activation or interpolation kUnsupported; a bad override
// kInvalidArgument. Unknown metadata keys are ignored.
ModelConfig read_config(const Checkpoint& checkpoint, const ConfigOverrides& overrides);

// The whole network, layers in order, nothing fused. Weights are views into the checkpoint. Checks
// every tensor's presence, dtype and shape, and that no running variance is negative; tensors
// that ConvMixer does not have (num_batches_tracked and what only read_quantization reads apart)
// are refused by name. The weights of blocks may be I8, with quant.LAYER.weight_scale
// (models/quantization.h).
Graph build_graph(const Checkpoint& checkpoint, const ModelConfig& config);

}  // namespace convmixer
