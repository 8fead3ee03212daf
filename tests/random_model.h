// SPDX-License-Identifier: Apache-2.0
// Models of any shape with random weights, as models/ would build them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/graph.h"
#include "tests/check.h"
#include "tests/reference.h"

namespace convmixer::test {

struct ModelShape {
  int dim, depth, kernel_size, patch_size, h, w;
  Activation activation = Activation::kGelu;
  int num_classes = 10;

  std::string text() const;  // "d33_x2_k4_p3_31x17_gelu_10"
  std::size_t image_floats() const {
    return 3 * static_cast<std::size_t>(h) * static_cast<std::size_t>(w);
  }
};

// Unfused. BatchNorm's γ is negative in about half of the channels and 0 in some.
Graph random_graph(const ModelShape& shape, Random& random);

// n images of bytes (n, h, w, 3), and the same as normalised floats (n, 3, h, w).
struct Images {
  static constexpr std::array<double, 3> kMean{0.485, 0.456, 0.406}, kStd{0.229, 0.224, 0.225};
  Images(const ModelShape& shape, int count, Random& random);
  int n;
  std::vector<std::uint8_t> bytes;
  std::vector<float> floats;
  reference::Tensor tensor;  // of `floats`
};

// The node of a name, at any depth. Throws std::out_of_range.
Node& find_node(std::vector<Node>& nodes, const std::string& name);

}  // namespace convmixer::test
