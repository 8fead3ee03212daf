// SPDX-License-Identifier: Apache-2.0
#include "engine/graph.h"

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

}  // namespace convmixer
