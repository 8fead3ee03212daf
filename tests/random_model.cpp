// SPDX-License-Identifier: Apache-2.0
#include "tests/random_model.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

namespace convmixer::test {
namespace {

struct Builder {
  const ModelShape& shape;
  Random& random;

  Node node(Op op, const std::string& name, int ic, int oc) {
    Node n;
    n.op = op;
    n.name = name;
    n.ic = ic;
    n.oc = oc;
    return n;
  }

  Node product(Op op, const std::string& name, int ic, int oc, int kernel_size, int k) {
    Node n = node(op, name, ic, oc);
    n.kernel_size = kernel_size;
    const float size = std::sqrt(3.0f / static_cast<float>(k));
    n.weights = Weights::own(random.uniforms(static_cast<std::size_t>(oc) * k, -size, size));
    for (int o = 0; o < oc; ++o) n.bias.push_back(random.uniform(-0.3f, 0.3f));
    return n;
  }

  Node batchnorm(const std::string& name) {
    Node n = node(Op::kBatchNorm, name + ".batchnorm", shape.dim, shape.dim);
    const auto channels = static_cast<std::size_t>(shape.dim);
    n.batchnorm.weight = random.uniforms(channels, -1.5f, 1.5f);
    for (float& gamma : n.batchnorm.weight) {
      if (random.integer(0, 7) == 0) gamma = 0;
    }
    n.batchnorm.bias = random.uniforms(channels, -0.5f, 0.5f);
    n.batchnorm.running_mean = random.uniforms(channels, -0.2f, 0.6f);
    n.batchnorm.running_var = random.uniforms(channels, 0.2f, 1.5f);
    return n;
  }

  void with_activation(std::vector<Node>& nodes, Node convolution) {
    const std::string name = convolution.name;
    nodes.push_back(std::move(convolution));
    nodes.push_back(node(Op::kActivation, name + ".activation", shape.dim, shape.dim));
    nodes.back().activation = shape.activation;
    nodes.push_back(batchnorm(name));
  }
};

}  // namespace

std::string ModelShape::text() const {
  return fmt::format("d{}_x{}_k{}_p{}_{}x{}_{}_{}", dim, depth, kernel_size, patch_size, h, w,
                     activation_name(activation), num_classes);
}

Graph random_graph(const ModelShape& shape, Random& random) {
  Builder b{shape, random};
  Graph graph;
  graph.h = shape.h;
  graph.w = shape.w;
  const int dim = shape.dim, k = shape.kernel_size, p = shape.patch_size;
  b.with_activation(graph.nodes, b.product(Op::kPatchEmbed, "stem", 3, dim, p, 3 * p * p));
  for (int i = 0; i < shape.depth; ++i) {
    const std::string name = fmt::format("blocks.{}", i);
    Node block = b.node(Op::kBlock, name, dim, dim);
    b.with_activation(block.body,
                      b.product(Op::kDepthwise, name + ".depthwise", dim, dim, k, k * k));
    block.body.push_back(b.node(Op::kAdd, name + ".add", dim, dim));
    b.with_activation(block.body, b.product(Op::kPointwise, name + ".pointwise", dim, dim, 1, dim));
    graph.nodes.push_back(std::move(block));
  }
  graph.nodes.push_back(b.node(Op::kMean, "mean", dim, dim));
  graph.nodes.push_back(b.product(Op::kLinear, "head", dim, shape.num_classes, 1, dim));
  return graph;
}

Images::Images(const ModelShape& shape, int count, Random& random) : n(count) {
  const auto pixels = static_cast<std::size_t>(shape.h) * static_cast<std::size_t>(shape.w);
  bytes.resize(static_cast<std::size_t>(n) * pixels * 3);
  floats.resize(bytes.size());
  for (std::uint8_t& v : bytes) v = static_cast<std::uint8_t>(random.integer(0, 255));
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    for (std::size_t p = 0; p < pixels; ++p) {
      for (std::size_t c = 0; c < 3; ++c) {
        floats[(i * 3 + c) * pixels + p] =
            static_cast<float>((bytes[(i * pixels + p) * 3 + c] / 255.0 - kMean[c]) / kStd[c]);
      }
    }
  }
  tensor = reference::Tensor(n, 3, shape.h, shape.w, floats.data());
}

Node& find_node(std::vector<Node>& nodes, const std::string& name) {
  for (Node& node : nodes) {
    if (node.name == name) return node;
    if (node.op != Op::kBlock || name.rfind(node.name + ".", 0) != 0) continue;
    return find_node(node.body, name);
  }
  throw std::out_of_range("no node " + name);
}

}  // namespace convmixer::test
