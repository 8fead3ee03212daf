// SPDX-License-Identifier: Apache-2.0
#include "engine/onednn_layers.h"

#include <vector>

#include "engine/packing.h"
#include "engine/quantize.h"

namespace convmixer {
namespace {

std::vector<float> floats(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

const float* pointer(const std::vector<float>& v) { return v.empty() ? nullptr : v.data(); }

// `epilogue` is the node's, or leads to bytes.
void add(onednn::Program& program, const Node& node, onednn::Convolution c,
         const Epilogue& epilogue, const Node* raw = nullptr) {
  const std::vector<float> bias = floats(epilogue.bias), scale = floats(epilogue.scale),
                           shift = floats(epilogue.shift), src_scale = floats(epilogue.src_scale),
                           raw_bias = floats(raw ? raw->bias : node.bias);
  c.name = node.name;
  c.ic = node.ic;
  c.oc = node.oc;
  c.activation = kernel_activation(node.activation);
  if (c.int8_weights == nullptr) c.weights = node.weights.data;
  c.bias = pointer(bias);
  c.scale = pointer(scale);
  c.shift = pointer(shift);
  c.src_scale = pointer(src_scale);
  program.add_convolution(c, raw ? raw->weights.data : nullptr, raw ? pointer(raw_bias) : nullptr);
  node.weights.let_go();
}

// A layer of bytes, whose weights they are.
void add(onednn::Program& program, const Node& node, onednn::Convolution c, const ByteLayer& layer,
         const ChannelScales& src) {
  c.int8_weights = layer.weights.int8s.int8s;
  c.unscale = layer.weights.scale.data();
  c.src_zero_point = src.zero_point.data();
  add(program, node, c, layer.epilogue);
  layer.weights.int8s.let_go();
}

}  // namespace

void add_patch_embed(onednn::Program& program, const Node& node, const Node& raw, const Geometry& g,
                     const Quantization& q) {
  onednn::Convolution c{};
  c.h = g.image_h;
  c.w = g.image_w;
  c.kernel_size = c.stride = g.patch_size;
  c.src_plain = true;
  const bool bytes = program.precision() == kInt8;
  add(program, node, c, bytes ? patch_embed_epilogue(node, q.stem) : epilogue_of(node), &raw);
}

void add_depthwise(onednn::Program& program, const Node& node, const Geometry& g,
                   const Quantization& q, std::size_t i) {
  onednn::Convolution c{};
  c.h = g.h;
  c.w = g.w;
  c.kernel_size = g.kernel_size;
  c.stride = 1;
  c.pad_begin = (g.kernel_size - 1) / 2;
  c.pad_end = g.kernel_size / 2;
  c.depthwise = c.residual = true;
  if (program.precision() != kInt8) return add(program, node, c, epilogue_of(node));
  const ChannelScales& src = q.src(i);
  add(program, node, c, bordered_depthwise_layer(node, src, q.depthwise[i]), src);
}

void add_pointwise(onednn::Program& program, const Node& node, const Geometry& g,
                   const Quantization& q, std::size_t i) {
  onednn::Convolution c{};
  c.h = g.h;
  c.w = g.w;
  c.kernel_size = c.stride = 1;
  if (program.precision() != kInt8) return add(program, node, c, epilogue_of(node));
  const ChannelScales& src = q.depthwise[i];
  add(program, node, c, pointwise_layer(node, q, i), src);
}

void add_head(onednn::Program& program, const Node& node, const Geometry& g,
              const Quantization& q) {
  MeanScales of_mean;
  if (program.precision() == kInt8) of_mean = mean_scales(q);
  const std::vector<float> scale = floats(of_mean.scale), shift = floats(of_mean.shift);
  program.add_mean(g.dim, g.h, g.w, pointer(scale), pointer(shift));
  onednn::Convolution c{};
  c.h = c.w = c.kernel_size = c.stride = 1;
  c.src_plain = c.dst_plain = true;
  add(program, node, c, epilogue_of(node));
}

void unpack_image(const std::uint8_t* src, const Geometry& g, float* dst) {
  const std::size_t pixels = g.image_values() / 3;
  for (std::size_t i = 0; i < pixels; ++i) {
    for (std::size_t c = 0; c < 3; ++c) dst[c * pixels + i] = src[i * 3 + c];
  }
}

}  // namespace convmixer
