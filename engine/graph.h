// SPDX-License-Identifier: Apache-2.0
// What a model computes, as data: nodes and weights. Knows no instruction set, layout or thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "support/file_map.h"

namespace convmixer {

enum class Activation { kIdentity, kRelu, kGelu };  // kGelu is the exact erf form

const char* activation_name(Activation activation);  // "identity", "relu", "gelu"

// A constant array that somebody else may own: a view into a mapped checkpoint, or an array kept
// alive by `owner`. Copies share the memory. Floats, or signed bytes −127 … 127: at most one of the
// first two pointers is set.
struct Weights {
  const float* data = nullptr;
  const std::int8_t* int8s = nullptr;
  std::size_t size = 0;
  std::shared_ptr<const void> owner;   // keeps the values valid; may hold the array itself
  std::shared_ptr<const FileMap> map;  // set where they lie in a mapped file

  // Pages of a mapped file are given back once they have been read (see FileMap::let_go).
  void let_go() const {
    if (map == nullptr) return;
    if (int8s != nullptr) {
      map->let_go(int8s, size);
    } else {
      map->let_go(data, size * sizeof(float));
    }
  }
  static Weights own(std::vector<float> values);
  static Weights own_int8s(std::vector<std::int8_t> values);
};

// y = scale·x + shift, a channel at a time; both empty is the identity. Doubles, so that folding
// rounds once, when the weights are packed.
struct Affine {
  std::vector<double> scale, shift;
  bool empty() const { return scale.empty() && shift.empty(); }
};

struct BatchNorm {
  std::vector<float> weight, bias, running_mean, running_var;
  double eps = 1e-5;
};

enum class Op {
  kPatchEmbed,  // convolution, kernel and stride `kernel_size`, no padding; weights [oc][ic][k][k]
  kDepthwise,   // k×k, "same" zero padding: (k−1)/2 before, k/2 after; weights [oc][k][k]
  kPointwise,   // 1×1; weights [oc][ic]
  kActivation,
  kBatchNorm,
  kAdd,     // adds the input of the block it stands in
  kMean,    // over pixels
  kLinear,  // weights [oc][ic]
  kHead,    // made by fusion: mean over pixels, then linear
  kBlock,   // `body` in sequence
};

// The fused operators compute, with x the node's input (and, for kHead, its mean):
//   y = affine(activation(op(x) + bias)); if (residual) y += x
// For kHead, `affine` is what turns the mean into the pooled features people expect (the last
// BatchNorm, once it is folded into the classifier); it does not apply to the logits.
struct Node {
  Op op{};
  std::string name;  // "stem", "blocks.3.depthwise", "head"
  int ic = 0, oc = 0, kernel_size = 1;
  Weights weights;
  // Of depthwise and pointwise weights that are int8s: one times this, of its output channel, is
  // the weight times the scale of its input channel (engine/scales.h). Else empty.
  std::vector<float> weight_scale;
  std::vector<double> bias;  // oc values, or empty for none
  Activation activation = Activation::kIdentity;
  BatchNorm batchnorm;  // kBatchNorm only
  Affine affine;        // fused operators only
  // Of what `affine` is applied to, by BatchNorm's running statistics; empty where unknown.
  std::vector<double> mean, variance;
  bool residual = false;
  std::vector<Node> body;  // kBlock only
};

// The names of a model's nodes, and of what int8 knows about them: "blocks.3.depthwise".
constexpr const char* kStemName = "stem";
std::string depthwise_name(std::size_t block);
std::string pointwise_name(std::size_t block);

struct Graph {
  int ic = 3, h = 0, w = 0;  // the input: (n, ic, h, w), normalised
  std::vector<Node> nodes;   // in the order they run
};

// Whether weights of any block are int8s: only an int8 plan can be made of it then.
bool has_int8_weights(const Graph& graph);

}  // namespace convmixer
