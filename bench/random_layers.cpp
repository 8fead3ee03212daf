// SPDX-License-Identifier: Apache-2.0
#include "bench/random_layers.h"

#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "engine/passes.h"
#include "kernels/rounding.h"

namespace convmixer::bench {
namespace {

Node random_node(Op op, const char* name, int ic, int oc, int kernel_size, int k, Random& random) {
  Node node;
  node.op = op;
  node.name = name;
  node.ic = ic;
  node.oc = oc;
  node.kernel_size = kernel_size;
  std::vector<float> weights(static_cast<std::size_t>(oc) * static_cast<std::size_t>(k));
  for (float& v : weights) v = random.next() * std::sqrt(3.0f / static_cast<float>(k));
  node.weights = Weights::own(std::move(weights));
  for (int i = 0; i < oc; ++i) {
    node.bias.push_back(random.next() * 0.1);
    if (op == Op::kLinear) continue;
    node.affine.scale.push_back(1 + random.next() * 0.5);
    node.affine.shift.push_back(op == Op::kDepthwise ? 0.0 : random.next());
  }
  return node;
}

}  // namespace

Graph random_graph(const Preset& preset) {
  Random random;
  Graph graph;
  graph.h = graph.w = Preset::kImageSize;
  const int dim = preset.dim, k = preset.kernel_size, p = preset.patch_size;
  const Activation activation = preset.relu ? Activation::kRelu : Activation::kGelu;
  graph.nodes.push_back(random_node(Op::kPatchEmbed, "stem", 3, dim, p, 3 * p * p, random));
  graph.nodes.back().activation = activation;
  for (int i = 0; i < 2; ++i) {  // the last one's BatchNorm is folded away
    Node block;
    block.op = Op::kBlock;
    block.name = "block";
    block.body.push_back(random_node(Op::kDepthwise, "depthwise", dim, dim, k, k * k, random));
    block.body.push_back(random_node(Op::kPointwise, "pointwise", dim, dim, 1, dim, random));
    block.body[0].residual = true;
    for (Node& node : block.body) node.activation = activation;
    graph.nodes.push_back(std::move(block));
  }
  Node mean;
  mean.op = Op::kMean;
  mean.ic = mean.oc = dim;
  graph.nodes.push_back(mean);
  graph.nodes.push_back(random_node(Op::kLinear, "head", dim, Preset::kClasses, 1, dim, random));
  return graph;
}

Graph folded_graph(const Preset& preset) { return fold_batchnorm(fuse(random_graph(preset))); }

Node raw_patch_embed(const Node& patch_embed) {
  return fold_normalization(patch_embed, {kMean.begin(), kMean.end()}, {kStd.begin(), kStd.end()});
}

Quantization quantization_of(const Preset& preset) {
  ChannelScales scales;
  scales.scale.assign(static_cast<std::size_t>(preset.dim), kByteScale);
  scales.zero_point.assign(static_cast<std::size_t>(preset.dim), kZeroPoint);
  Quantization q;
  q.stem = scales;
  q.depthwise = q.pointwise = {scales, scales};
  return q;
}

Image random_image(int h, int w, Random& random) {
  Image image{h, w, Buffer<float>(3 * static_cast<std::size_t>(h * w)), {}};
  for (std::size_t i = 0; i < image.floats.size(); ++i) {
    image.floats[i] = random.next() * 2;
    image.bytes.push_back(static_cast<std::uint8_t>(127 + 127 * random.next()));
  }
  return image;
}

float read_value(Precision precision, int size, const float* values, std::size_t i) {
  const auto* const halves = reinterpret_cast<const std::uint16_t*>(values);
  if (precision == kFp32) return values[i];
  if (precision == kBf16) return std::bit_cast<float>(std::uint32_t{halves[i]} << 16);
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(values);
  return (static_cast<float>(size == 1 ? bytes[i] : halves[i]) - kZeroPoint) * kByteScale;
}

void fill_values(Precision precision, int size, float* values, std::size_t count, Random& random) {
  auto* const halves = reinterpret_cast<std::uint16_t*>(values);
  auto* const bytes = reinterpret_cast<std::uint8_t*>(values);
  for (std::size_t i = 0; i < count; ++i) {
    const float v = random.next();
    const auto byte = static_cast<std::uint8_t>(kZeroPoint + v / kByteScale);
    if (precision == kFp32) values[i] = v;
    if (precision == kBf16) halves[i] = to_bf16(v);
    if (precision == kInt8 && size == 1) bytes[i] = byte;
    if (precision == kInt8 && size == 2) halves[i] = byte;
  }
}

}  // namespace convmixer::bench
