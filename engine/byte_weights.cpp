// SPDX-License-Identifier: Apache-2.0
#include "engine/byte_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "support/error.h"

namespace convmixer {
namespace {

// Row o of the weights times src_scale(o, i), and the scale in whose steps they are whole numbers
// of which the largest is `most` and the sum of magnitudes at most most_sum. NaN and infinities
// become 0: such a model is warned of when it is described.
struct Reals {
  std::vector<double> values;
  float scale = 1;
};
template <typename Scale>
Reals reals_of(const Node& node, std::size_t o, double most, double most_sum, Scale src_scale) {
  const std::size_t columns = node.weights.size / static_cast<std::size_t>(node.oc);
  const float* const row = node.weights.data + o * columns;
  Reals reals{std::vector<double>(columns)};
  double largest = 0, sum = 0;
  for (std::size_t i = 0; i < columns; ++i) {
    const double real = static_cast<double>(row[i]) * src_scale(o, i);
    reals.values[i] = std::isfinite(real) ? real : 0;
    largest = std::max(largest, std::abs(reals.values[i]));
    sum += std::abs(reals.values[i]);
  }
  // A row of zeros takes any, and so does one for which a float's scale would have few bits.
  const auto fitting = static_cast<float>(std::max(largest / most, sum / most_sum));
  if (fitting >= std::numeric_limits<float>::min()) reals.scale = fitting;
  return reals;
}

// All rows as whole numbers of Int, each weight rounded for itself. Returns the rows' scales.
template <typename Int, typename Scale>
std::vector<float> to_integers(const Node& node, double most_sum, Scale src_scale,
                               std::vector<Int>& integers) {
  constexpr double kMost = std::numeric_limits<Int>::max();
  std::vector<float> scales;
  integers.clear();
  for (std::size_t o = 0; o < static_cast<std::size_t>(node.oc); ++o) {
    const auto [reals, scale] = reals_of(node, o, kMost, most_sum, src_scale);
    scales.push_back(scale);
    for (const double real : reals) {
      integers.push_back(static_cast<Int>(std::clamp(std::nearbyint(real / scale), -kMost, kMost)));
    }
  }
  return scales;
}

constexpr int kMostInt8 = std::numeric_limits<std::int8_t>::max();
constexpr double kAnySum = std::numeric_limits<double>::infinity();

// The scale of a pointwise weight's input channel.
auto of_columns(const ChannelScales& src) {
  return [&src](std::size_t, std::size_t i) { return src.scale[i]; };
}

template <typename Scale>
ByteWeights to_int8s(const Node& node, Scale src_scale) {
  if (node.weights.int8s != nullptr) return {node.weights, node.weight_scale};
  std::vector<std::int8_t> int8s;
  std::vector<float> scales = to_integers(node, kAnySum, src_scale, int8s);
  return {Weights::own_int8s(std::move(int8s)), std::move(scales)};
}

}  // namespace

ByteWeights depthwise_bytes(const Node& node, const ChannelScales& src) {
  return to_int8s(node, [&](std::size_t o, std::size_t) { return src.scale[o]; });
}

ByteWeights pointwise_bytes(const Node& node, const Quantization& quantization, std::size_t block) {
  const auto src_scale = of_columns(quantization.depthwise.at(block));
  if (node.weights.int8s != nullptr || quantization.pointwise_weights.empty()) {
    return to_int8s(node, src_scale);
  }
  const ByteWeights& weights = quantization.pointwise_weights.at(block);
  for (std::size_t o = 0; o < weights.scale.size(); ++o) {
    const float scale = reals_of(node, o, kMostInt8, kAnySum, src_scale).scale;
    if (std::abs(weights.scale[o] - scale) <= 1e-6f * scale) continue;
    throw Error(Code::kFormat,
                fmt::format("{}: its int8 weights were made from other weights than those beside "
                            "them: expected scale {} of channel {}, found {}: calibrate it again",
                            node.name, scale, o, weights.scale[o]));
  }
  return weights;
}

ByteWeights pointwise_bytes(const Node& node, const ChannelScales& src,
                            const JointRounding& rounding) {
  std::vector<float> scales, steps;
  for (std::size_t o = 0; o < static_cast<std::size_t>(node.oc); ++o) {
    const auto [reals, scale] = reals_of(node, o, kMostInt8, kAnySum, of_columns(src));
    scales.push_back(scale);
    for (const double real : reals) steps.push_back(static_cast<float>(real / scale));
  }
  std::vector<std::int8_t> int8s;
  rounding.round(steps, kMostInt8, int8s);
  return {Weights::own_int8s(std::move(int8s)), std::move(scales)};
}

PatchWeights patch_weights(const Node& node, int most_value) {
  // Rounding adds up to a half to each weight, and the scale's own rounding less than 1 in all.
  const std::size_t columns = node.weights.size / static_cast<std::size_t>(node.oc);
  const double most_sum =
      std::numeric_limits<std::int32_t>::max() / most_value - static_cast<double>(columns) / 2 - 1;
  PatchWeights weights;
  weights.scale = to_integers(
      node, most_sum, [](std::size_t, std::size_t) { return 1.0; }, weights.int16s);
  return weights;
}

std::vector<float> float_bias(const Node& node) {
  if (node.bias.empty()) return std::vector<float>(static_cast<std::size_t>(node.oc));
  return {node.bias.begin(), node.bias.end()};
}

std::vector<ByteBlock> quantize_blocks(const Graph& graph, const Quantization& quantization) {
  std::vector<ByteBlock> blocks;
  for (const Node& node : graph.nodes) {
    if (node.op != Op::kBlock) continue;
    const std::size_t i = blocks.size();
    const Node &depthwise = node.body.at(0), &pointwise = node.body.at(1);
    blocks.push_back({depthwise_bytes(depthwise, quantization.src(i)),
                      pointwise_bytes(pointwise, quantization, i), float_bias(pointwise)});
    depthwise.weights.let_go();
    pointwise.weights.let_go();
  }
  return blocks;
}

}  // namespace convmixer
