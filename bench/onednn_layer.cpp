// SPDX-License-Identifier: Apache-2.0
#include "bench/onednn_layer.h"

#include "bench/checks.h"
#include "engine/onednn_layers.h"

namespace convmixer::bench {
namespace {

const Node& node_of(const Graph& graph, Op op) {
  if (op == Op::kPatchEmbed) return graph.nodes.front();
  return op == Op::kHead ? graph.nodes.back() : graph.nodes[1].body[op == Op::kDepthwise ? 0 : 1];
}

}  // namespace

OneDnnLayer::OneDnnLayer(const Preset& preset, Op op, Precision precision, bool u8)
    : graph_(folded_graph(preset)),
      geometry_(geometry_of(graph_)),
      op_(op),
      precision_(precision),
      u8_(u8),
      program_(precision, onednn::Implementations::kAny) {
  const Geometry& g = geometry_;
  const Node& node = node_of(graph_, op);
  const Quantization q = quantization_of(preset);
  if (op == Op::kPatchEmbed) add_patch_embed(program_, node, raw_patch_embed(node), g, q);
  if (op == Op::kDepthwise) add_depthwise(program_, node, g, q, 0);
  if (op == Op::kPointwise) add_pointwise(program_, node, g, q, 0);
  if (op == Op::kHead) add_head(program_, node, g, q);
  instance_ = std::make_unique<onednn::Instance>(program_);
  const std::string& layout = program_.layout();
  lanes_ = layout == "nChw16c" ? 16 : layout == "nChw8c" ? 8 : g.dim;
  const std::size_t count = index(g.dim - 1, g.h * g.w - 1) + 1;
  Random random;
  image_ = random_image(g.image_h, g.image_w, random);
  src_ = Buffer<float>(op == Op::kPatchEmbed ? g.image_values() : count);
  dst_ = Buffer<float>(op == Op::kHead ? static_cast<std::size_t>(g.num_classes) : count);
  if (op != Op::kPatchEmbed) fill_values(precision, value_size(), src_.data(), count, random);
}

std::size_t OneDnnLayer::index(int c, int pixel) const {
  return static_cast<std::size_t>((c / lanes_ * geometry_.h * geometry_.w + pixel) * lanes_ +
                                  c % lanes_);
}

void OneDnnLayer::run() {
  const bool floats = op_ == Op::kPatchEmbed && !u8_;
  if (u8_) unpack_image(image_.bytes.data(), geometry_, src_.data());
  instance_->run(floats ? image_.floats.data() : src_.data(), u8_, dst_.data(), nullptr);
}

std::string OneDnnLayer::check() {
  run();
  const Geometry& g = geometry_;
  const Node& node = node_of(graph_, op_);
  const auto read = [this](const Buffer<float>& values) {
    return [&](int c, int i) {
      return read_value(precision_, value_size(), values.data(), index(c, i));
    };
  };
  const auto src = read(src_), dst = read(dst_);
  // oneDNN states no limit for its GELU: its error is within ours.
  if (op_ == Op::kPatchEmbed) return check_patch_embed(node, image_, u8_, dst, {precision_});
  if (op_ == Op::kDepthwise) return check_depthwise(node, 0, 8, g.h, g.w, src, dst, {precision_});
  if (op_ == Op::kPointwise) return check_pointwise(node, src, dst, {precision_});
  const auto logit = [this](int c, int) { return dst_[static_cast<std::size_t>(c)]; };
  return check_head(node, g.h, g.w, src, logit);
}

Work OneDnnLayer::work() const {
  if (op_ == Op::kPatchEmbed) return patch_embed_work(geometry_, u8_ ? 1 : 4, value_size());
  if (op_ == Op::kDepthwise) return depthwise_work(geometry_, value_size());
  if (op_ == Op::kPointwise) return pointwise_work(geometry_, value_size());
  return head_work(geometry_);
}

}  // namespace convmixer::bench
