// SPDX-License-Identifier: Apache-2.0
#include "engine/passes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

#include "support/error.h"

namespace convmixer {
namespace {

[[noreturn]] void unexpected(const Node& node, const char* what) {
  throw Error(Code::kInternal, fmt::format("graph node '{}': {}", node.name, what));
}

void require(bool ok, const Node& node, const char* what) {
  if (!ok) unexpected(node, what);
}

std::size_t channels(const Node& node) { return static_cast<std::size_t>(node.oc); }

void check_matrix(const Node& node) {
  require(node.ic > 0 && node.oc > 0, node, "expected positive channel counts");
  require(node.weights.size == channels(node) * static_cast<std::size_t>(node.ic), node,
          "expected oc × ic weights");
  require(node.bias.empty() || node.bias.size() == channels(node), node, "expected oc biases");
}

// Σ row[i]·vec[i]. Eight independent sums hide the latency of the addition (4 cycles, two a cycle),
// so that the loop keeps up with memory, and map onto vector lanes without reordering a sum.
double dot(const float* row, const double* vec, std::size_t n) {
  constexpr std::size_t kSums = 8;
  double sums[kSums] = {};
  std::size_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (std::size_t j = 0; j < kSums; ++j) sums[j] += double{row[i + j]} * vec[i + j];
  }
  double rest = 0;
  for (; i < n; ++i) rest += double{row[i]} * vec[i];
  for (double sum : sums) rest += sum;
  return rest;
}

// bias += weights · vec, for a node whose weights are a matrix [oc][ic].
void add_product(Node& node, const std::vector<double>& vec) {
  const auto ic = static_cast<std::size_t>(node.ic);
  node.bias.resize(channels(node), 0.0);
  for (std::size_t o = 0; o < channels(node); ++o) {
    node.bias[o] += dot(node.weights.data + o * ic, vec.data(), ic);
  }
}

Affine to_affine(const Node& batchnorm, const Node& convolution) {
  const BatchNorm& bn = batchnorm.batchnorm;
  const std::size_t n = channels(convolution);
  require(bn.weight.size() == n && bn.bias.size() == n && bn.running_mean.size() == n &&
              bn.running_var.size() == n,
          batchnorm, "expected as many values in BatchNorm as the convolution has channels");
  Affine affine;
  affine.scale.resize(n);
  affine.shift.resize(n);
  for (std::size_t c = 0; c < n; ++c) {
    affine.scale[c] = bn.weight[c] / std::sqrt(bn.running_var[c] + bn.eps);
    affine.shift[c] = bn.bias[c] - bn.running_mean[c] * affine.scale[c];
  }
  return affine;
}

// The convolution at nodes[i] with the operators behind it; moves i past them.
Node fuse_convolution(const std::vector<Node>& nodes, std::size_t& i, bool in_block) {
  const std::size_t first = i;
  const auto next_is = [&](Op op) { return i < nodes.size() && nodes[i].op == op; };
  Node fused = nodes[i++];
  if (next_is(Op::kActivation)) fused.activation = nodes[i++].activation;
  if (next_is(Op::kBatchNorm)) {
    const BatchNorm& bn = nodes[i].batchnorm;
    fused.affine = to_affine(nodes[i++], fused);
    fused.mean.assign(bn.running_mean.begin(), bn.running_mean.end());
    fused.variance.assign(bn.running_var.begin(), bn.running_var.end());
  }
  if (next_is(Op::kAdd)) {
    // kAdd adds the block's input, `residual` the node's: the same only at the block's start.
    require(in_block && first == 0 && fused.ic == fused.oc, nodes[i],
            "expected an addition only behind the first layer of a block, of equal channels");
    fused.residual = true;
    ++i;
  }
  return fused;
}

Node fuse_head(const std::vector<Node>& nodes, std::size_t& i) {
  require(i + 1 < nodes.size() && nodes[i + 1].op == Op::kLinear, nodes[i],
          "expected a linear layer behind the mean");
  Node head = nodes[i + 1];
  head.op = Op::kHead;
  i += 2;
  return head;
}

std::vector<Node> fuse_nodes(const std::vector<Node>& nodes, bool in_block) {
  std::vector<Node> fused;
  for (std::size_t i = 0; i < nodes.size();) {
    switch (nodes[i].op) {
      case Op::kPatchEmbed:
      case Op::kDepthwise:
      case Op::kPointwise:
        fused.push_back(fuse_convolution(nodes, i, in_block));
        break;
      case Op::kMean:
        require(!in_block, nodes[i], "expected no mean inside a block");
        fused.push_back(fuse_head(nodes, i));
        break;
      case Op::kBlock:
        require(!in_block, nodes[i], "expected no block inside a block");
        fused.push_back(nodes[i]);
        fused.back().body = fuse_nodes(nodes[i].body, true);
        ++i;
        break;
      default:
        unexpected(nodes[i], "expected this operator only behind a convolution or a mean");
    }
  }
  return fused;
}

void check_fused(const std::vector<Node>& nodes) {
  for (const Node& node : nodes) {
    switch (node.op) {
      case Op::kPatchEmbed:
      case Op::kDepthwise:
      case Op::kPointwise:
      case Op::kHead:
        require(node.affine.scale.size() == node.affine.shift.size() &&
                    (node.affine.empty() || node.affine.scale.size() == channels(node) ||
                     node.op == Op::kHead),
                node, "expected a scale and a shift a channel");
        break;
      case Op::kBlock:
        check_fused(node.body);
        break;
      default:
        unexpected(node, "expected a fused graph");
    }
  }
}

void fold_into_pointwise(Node& depthwise, Node& pointwise) {
  std::vector<double>& shift = depthwise.affine.shift;
  if (std::all_of(shift.begin(), shift.end(), [](double d) { return d == 0; })) return;
  if (pointwise.weights.int8s != nullptr) {
    throw Error(
        Code::kFormat,
        fmt::format("{}: its int8 weights go with a BatchNorm of {} that is folded into its "
                    "bias: expected no shift there, found one",
                    pointwise.name, depthwise.name));
  }
  check_matrix(pointwise);
  require(pointwise.ic == depthwise.oc && !pointwise.residual, pointwise,
          "expected the depthwise layer's channels and no residual");
  add_product(pointwise, shift);
  pointwise.weights.let_go();
  std::fill(shift.begin(), shift.end(), 0.0);
}

// With v the pointwise activation: W·mean(s·v + t) + b = (W·diag(s))·mean(v) + (W·t + b).
void fold_into_head(Node& pointwise, Node& head) {
  check_matrix(head);
  require(head.ic == pointwise.oc && head.affine.empty(), head,
          "expected the channels of the last layer, and no BatchNorm folded yet");
  head.affine = std::exchange(pointwise.affine, Affine{});
  add_product(head, head.affine.shift);
  const std::vector<double>& scale = head.affine.scale;
  std::vector<float> scaled(head.weights.size);
  for (std::size_t i = 0; i < scaled.size();) {
    for (std::size_t c = 0; c < scale.size(); ++c, ++i) {
      scaled[i] = static_cast<float>(head.weights.data[i] * scale[c]);
    }
  }
  head.weights.let_go();
  head.weights = Weights::own(std::move(scaled));
}

}  // namespace

Graph fuse(const Graph& graph) {
  Graph fused = graph;
  fused.nodes = fuse_nodes(graph.nodes, false);
  return fused;
}

Graph fold_batchnorm(const Graph& graph) {
  check_fused(graph.nodes);
  Graph folded = graph;
  for (std::size_t i = 0; i < folded.nodes.size(); ++i) {
    std::vector<Node>& body = folded.nodes[i].body;
    for (std::size_t j = 0; j + 1 < body.size(); ++j) {
      if (body[j].op == Op::kDepthwise && body[j + 1].op == Op::kPointwise) {
        fold_into_pointwise(body[j], body[j + 1]);
      }
    }
    if (folded.nodes[i].op != Op::kHead || i == 0) continue;
    std::vector<Node>& before = folded.nodes[i - 1].body;
    if (before.empty()) continue;
    Node& last = before.back();
    if (last.op == Op::kPointwise && !last.residual && !last.affine.empty()) {
      fold_into_head(last, folded.nodes[i]);
    }
  }
  return folded;
}

Node fold_normalization(const Node& patch_embed, const std::vector<double>& mean,
                        const std::vector<double>& std) {
  const auto ic = static_cast<std::size_t>(patch_embed.ic);
  const auto k = static_cast<std::size_t>(patch_embed.kernel_size);
  require(patch_embed.op == Op::kPatchEmbed && patch_embed.ic > 0 && patch_embed.oc > 0 &&
              patch_embed.kernel_size > 0 &&
              patch_embed.weights.size == channels(patch_embed) * ic * k * k &&
              (patch_embed.bias.empty() || patch_embed.bias.size() == channels(patch_embed)),
          patch_embed, "expected a patch embedding with oc × ic × k × k weights");
  require(mean.size() == ic && std.size() == ic, patch_embed,
          "expected a mean and a standard deviation for each input channel");
  Node folded = patch_embed;
  folded.bias.resize(channels(folded), 0.0);
  std::vector<float> scaled(folded.weights.size);
  const float* src = folded.weights.data;
  for (std::size_t o = 0, i = 0; o < channels(folded); ++o) {
    for (std::size_t c = 0; c < ic; ++c) {
      const double divisor = 255 * std[c];
      double sum = 0;
      for (std::size_t end = i + k * k; i < end; ++i) {
        scaled[i] = static_cast<float>(src[i] / divisor);
        sum += src[i];
      }
      folded.bias[o] -= sum * mean[c] / std[c];
    }
  }
  folded.weights.let_go();
  folded.weights = Weights::own(std::move(scaled));
  return folded;
}

}  // namespace convmixer
