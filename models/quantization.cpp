// SPDX-License-Identifier: Apache-2.0
#include "models/quantization.h"

#include <fmt/format.h>

#include <set>

#include "support/error.h"

namespace convmixer {
namespace {

std::vector<float> values(const Checkpoint& checkpoint, const std::string& name, int dim) {
  const Weights weights = checkpoint.floats(name, {dim});
  return {weights.data, weights.data + weights.size};
}

bool is_scale(const std::string& tensor) { return tensor.starts_with(kQuantPrefix); }

}  // namespace

std::vector<std::string> quantized_layers(int depth) {
  std::vector<std::string> layers{"stem"};
  for (int i = 0; i < depth; ++i) {
    layers.push_back(fmt::format("blocks.{}.depthwise", i));
    layers.push_back(fmt::format("blocks.{}.pointwise", i));
  }
  return layers;
}

Quantization read_quantization(const Checkpoint& checkpoint, const ModelConfig& config) {
  std::set<std::string> left;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (is_scale(name)) left.insert(name);
  }
  Quantization quantization;
  if (left.empty()) return quantization;
  std::vector<ChannelScales> scales;
  for (const std::string& layer : quantized_layers(config.depth)) {
    const std::string key = kQuantPrefix + layer;
    scales.push_back({values(checkpoint, key + ".scale", config.dim),
                      values(checkpoint, key + ".zero_point", config.dim)});
    left.erase(key + ".scale");
    left.erase(key + ".zero_point");
  }
  if (!left.empty()) {
    throw Error(Code::kFormat,
                fmt::format("{}: expected scales of {} blocks, found tensor {}", checkpoint.name,
                            config.depth, in_quotes(*left.begin())));
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

}  // namespace convmixer
