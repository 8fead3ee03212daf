// SPDX-License-Identifier: Apache-2.0
#include "engine/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace convmixer {

const char* activation_name(Activation activation) {
  switch (activation) {
    case Activation::kIdentity:
      return "identity";
    case Activation::kRelu:
      return "relu";
    case Activation::kGelu:
      return "gelu";
  }
  return "unknown";
}

Weights Weights::own(std::vector<float> values) {
  auto array = std::make_shared<const std::vector<float>>(std::move(values));
  Weights weights;
  weights.data = array->data();
  weights.size = array->size();
  weights.owner = std::move(array);
  return weights;
}

Weights Weights::own_int8s(std::vector<std::int8_t> values) {
  auto array = std::make_shared<const std::vector<std::int8_t>>(std::move(values));
  Weights weights;
  weights.int8s = array->data();
  weights.size = array->size();
  weights.owner = std::move(array);
  return weights;
}

std::string depthwise_name(std::size_t block) { return fmt::format("blocks.{}.depthwise", block); }
std::string pointwise_name(std::size_t block) { return fmt::format("blocks.{}.pointwise", block); }

bool has_int8_weights(const Graph& graph) {
  const auto is_int8 = [](const Node& node) { return node.weights.int8s != nullptr; };
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) {
    return std::any_of(node.body.begin(), node.body.end(), is_int8);
  });
}

}  // namespace convmixer
