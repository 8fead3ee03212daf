// SPDX-License-Identifier: Apache-2.0
#include "engine/byte_weights.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "engine/passes.h"

namespace convmixer {
namespace {

constexpr double kLargest = 127;  // int8

std::int8_t to_int8(double value) {
  // NaN and infinities become 0: such a model is warned of when it is described.
  if (!std::isfinite(value)) return 0;
  return static_cast<std::int8_t>(std::clamp(std::nearbyint(value), -kLargest, kLargest));
}

// Rows of output channels; src_scale(o, i) goes with the row's weight i.
template <typename Scale>
ByteWeights to_int8s(const Node& node, Scale src_scale) {
  if (node.weights.int8s != nullptr) return {node.weights, node.weight_scale};
  const auto rows = static_cast<std::size_t>(node.oc), columns = node.weights.size / rows;
  std::vector<std::int8_t> int8s(node.weights.size);
  std::vector<float> scales(rows);
  std::vector<double> reals(columns);
  for (std::size_t o = 0; o < rows; ++o) {
    const float* const row = node.weights.data + o * columns;
    double largest = 0;
    for (std::size_t i = 0; i < columns; ++i) {
      reals[i] = static_cast<double>(row[i]) * src_scale(o, i);
      largest = std::max(largest, std::abs(reals[i]));
    }
    // Infinities have no scale, and a row of zeros, or of nothing that a float's scale could tell
    // from zeros, takes any.
    const auto fitting = static_cast<float>(largest / kLargest);
    const float scale = fitting > 0 && std::isfinite(largest) ? fitting : 1;
    scales[o] = scale;
    for (std::size_t i = 0; i < columns; ++i) {
      int8s[o * columns + i] = to_int8(reals[i] / scale);
    }
  }
  return {Weights::own_int8s(std::move(int8s)), std::move(scales)};
}

}  // namespace

ByteWeights depthwise_bytes(const Node& node, const ChannelScales& src) {
  return to_int8s(node, [&](std::size_t o, std::size_t) { return src.scale[o]; });
}

ByteWeights pointwise_bytes(const Node& node, const ChannelScales& src) {
  return to_int8s(node, [&](std::size_t, std::size_t i) { return src.scale[i]; });
}

std::vector<float> float_bias(const Node& node) {
  if (node.bias.empty()) return std::vector<float>(static_cast<std::size_t>(node.oc));
  return {node.bias.begin(), node.bias.end()};
}

std::vector<ByteBlock> quantize_blocks(const Graph& graph, const Quantization& quantization) {
  const Graph folded = fold_batchnorm(fuse(graph));
  std::vector<ByteBlock> blocks;
  const ChannelScales* src = &quantization.stem;
  for (const Node& node : folded.nodes) {
    if (node.op != Op::kBlock) continue;
    const std::size_t i = blocks.size();
    const Node &depthwise = node.body.at(0), &pointwise = node.body.at(1);
    blocks.push_back({depthwise_bytes(depthwise, *src),
                      pointwise_bytes(pointwise, quantization.depthwise.at(i)),
                      float_bias(pointwise)});
    depthwise.weights.let_go();
    pointwise.weights.let_go();
    src = &quantization.pointwise.at(i);
  }
  return blocks;
}

}  // namespace convmixer
