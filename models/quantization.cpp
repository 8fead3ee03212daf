// SPDX-License-Identifier: Apache-2.0
#include "models/quantization.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "support/error.h"

namespace convmixer {
namespace {

bool is_quant(const std::string& tensor) { return tensor.starts_with(kQuantPrefix); }

std::vector<float> values(const Checkpoint& checkpoint, const std::string& name, int dim) {
  const Weights weights = checkpoint.floats(name, {dim});
  return {weights.data, weights.data + weights.size};
}

// Metadata: what the scales depend on beside the weights.
constexpr const char* kMadeForKey = "convmixer_int8";

std::string made_for(const ModelConfig& config) {
  return fmt::format("{}, {}x{} pixels, mean {}, std {}, bn_eps {}",
                     activation_name(config.activation), config.image_height, config.image_width,
                     fmt::join(config.mean, " "), fmt::join(config.std, " "), config.bn_eps);
}

void check_made_for(const Checkpoint& checkpoint, const ModelConfig& config) {
  const auto found = checkpoint.metadata.find(kMadeForKey);
  if (found == checkpoint.metadata.end() || found->second == made_for(config)) return;
  const bool floats = std::none_of(
      checkpoint.tensors.begin(), checkpoint.tensors.end(),
      [](auto& tensor) { return tensor.second.dtype == DType::kI8 && !is_quant(tensor.first); });
  throw Error(Code::kInvalidArgument,
              fmt::format("{}: its int8 scales are for {}, but it is opened with {}: calibrate {} "
                          "again",
                          checkpoint.name, in_quotes(found->second), in_quotes(made_for(config)),
                          floats ? "it" : "the model that its weights were made from"));
}

// A view of `values`, which `owner` keeps, or else the caller.
void add_tensor(const std::string& name, const std::vector<float>& values, Checkpoint& checkpoint,
                const std::shared_ptr<const void>& owner = nullptr) {
  TensorView view;
  view.dtype = DType::kF32;
  view.dtype_name = "F32";
  view.shape = {static_cast<std::int64_t>(values.size())};
  view.data = reinterpret_cast<const std::uint8_t*>(values.data());
  view.bytes = values.size() * sizeof(float);
  view.owner = owner;
  checkpoint.tensors[name] = view;
}

// Bytes of the shape of tensor `of` as tensor `name`, which may be the same, and the scales of
// `layer`, which `owner` keeps, or else the caller.
void add_bytes(const std::string& of, const std::string& name, const std::string& layer,
               const ByteWeights& weights, const std::shared_ptr<const void>& owner,
               Checkpoint& checkpoint) {
  TensorView view = checkpoint.tensors.at(of);
  view.dtype = DType::kI8;
  view.dtype_name = "I8";
  view.data = reinterpret_cast<const std::uint8_t*>(weights.int8s.int8s);
  view.bytes = weights.int8s.size;
  view.owner = weights.int8s.owner;
  checkpoint.tensors[name] = view;
  add_tensor(kQuantPrefix + layer + kWeightScaleSuffix, weights.scale, checkpoint, owner);
}

// Of tensor i of a Quantization.
struct ScaleKeys {
  std::string scale, zero_point;
  explicit ScaleKeys(std::size_t i)
      : scale(kQuantPrefix + tensor_name(i) + ".scale"),
        zero_point(kQuantPrefix + tensor_name(i) + ".zero_point") {}
};

// The pointwise weights of a block as the calibration rounded them.
std::string rounded_key(std::size_t block) {
  return kQuantPrefix + pointwise_name(block) + kWeightSuffix;
}

std::vector<ByteWeights> read_rounded(const Checkpoint& checkpoint, const ModelConfig& config) {
  std::vector<ByteWeights> weights;
  for (std::size_t i = 0; i < static_cast<std::size_t>(config.depth); ++i) {
    const std::string own = BlockKeys(i).pointwise + "weight";
    if (checkpoint.tensors.at(own).dtype == DType::kI8) {
      throw Error(
          Code::kFormat,
          fmt::format("{}: expected the int8 weights of a layer once, found tensor {} beside "
                      "{}",
                      checkpoint.name, checkpoint.shown(rounded_key(i)), checkpoint.shown(own)));
    }
    weights.push_back(
        {checkpoint.int8s(rounded_key(i), {config.dim, config.dim, 1, 1}),
         values(checkpoint, kQuantPrefix + pointwise_name(i) + kWeightScaleSuffix, config.dim)});
  }
  return weights;
}

}  // namespace

Quantization read_quantization(const Checkpoint& checkpoint, const ModelConfig& config) {
  std::set<std::string> left;
  bool rounded = false;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    // Scales of the network's own weights are build_graph's to read, and to miss.
    if (is_quant(name) && !name.ends_with(kWeightScaleSuffix)) left.insert(name);
    rounded = rounded || (is_quant(name) && name.ends_with(kWeightSuffix));
  }
  Quantization quantization;
  if (left.empty()) {
    throw Error(Code::kUnsupported,
                fmt::format("{}: int8 needs a model with scales, which this is not: 'convmixer "
                            "calibrate' makes one",
                            checkpoint.name));
  }
  check_made_for(checkpoint, config);
  std::vector<ChannelScales> scales;
  for (std::size_t i = 0; i < 1 + 2 * static_cast<std::size_t>(config.depth); ++i) {
    const ScaleKeys keys(i);
    scales.push_back({values(checkpoint, keys.scale, config.dim),
                      values(checkpoint, keys.zero_point, config.dim)});
    left.erase(keys.scale);
    left.erase(keys.zero_point);
  }
  if (rounded) quantization.pointwise_weights = read_rounded(checkpoint, config);
  for (std::size_t i = 0; i < quantization.pointwise_weights.size(); ++i) {
    left.erase(rounded_key(i));
  }
  if (!left.empty()) {
    throw Error(Code::kFormat,
                fmt::format("{}: expected scales and weights of {} blocks, found tensor {}",
                            checkpoint.name, config.depth, in_quotes(*left.begin())));
  }
  quantization.stem = scales[0];
  for (std::size_t i = 1; i < scales.size(); i += 2) {
    quantization.depthwise.push_back(scales[i]);
    quantization.pointwise.push_back(scales[i + 1]);
  }
  try {
    check_quantization(quantization, config.dim, config.depth);
  } catch (const Error& e) {
    throw Error(e.code(), fmt::format("{}: {}{}", checkpoint.name, kQuantPrefix, e.what()));
  }
  return quantization;
}

void add_quantization(const Quantization& quantization, const ModelConfig& config,
                      Checkpoint& checkpoint) {
  std::erase_if(checkpoint.tensors, [](const auto& tensor) { return is_quant(tensor.first); });
  for (std::size_t i = 0; i < quantization.tensors(); ++i) {
    const ScaleKeys keys(i);
    add_tensor(keys.scale, quantization.tensor(i).scale, checkpoint);
    add_tensor(keys.zero_point, quantization.tensor(i).zero_point, checkpoint);
  }
  for (std::size_t i = 0; i < quantization.pointwise_weights.size(); ++i) {
    const ByteWeights& weights = quantization.pointwise_weights[i];
    add_bytes(BlockKeys(i).pointwise + "weight", rounded_key(i), pointwise_name(i), weights,
              nullptr, checkpoint);
  }
  checkpoint.metadata[kMadeForKey] = made_for(config);
}

void add_byte_weights(std::shared_ptr<const std::vector<ByteBlock>> blocks,
                      Checkpoint& checkpoint) {
  const auto zeros = std::make_shared<const std::vector<float>>(
      blocks->empty() ? 0 : blocks->front().pointwise_bias.size());
  for (std::size_t i = 0; i < blocks->size(); ++i) {
    const ByteBlock& block = (*blocks)[i];
    const BlockKeys keys(i);
    const std::string depthwise = keys.depthwise + "weight", pointwise = keys.pointwise + "weight";
    add_bytes(depthwise, depthwise, depthwise_name(i), block.depthwise, blocks, checkpoint);
    add_bytes(pointwise, pointwise, pointwise_name(i), block.pointwise, blocks, checkpoint);
    checkpoint.tensors.erase(rounded_key(i));
    add_tensor(keys.pointwise + "bias", block.pointwise_bias, checkpoint, blocks);
    add_tensor(keys.depthwise_batchnorm + "bias", *zeros, checkpoint, zeros);
    add_tensor(keys.depthwise_batchnorm + "running_mean", *zeros, checkpoint, zeros);
  }
}

}  // namespace convmixer
