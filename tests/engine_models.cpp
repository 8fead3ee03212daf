// SPDX-License-Identifier: Apache-2.0
// Logits and features of tiny stored models and of random ones, against PyTorch's and the oracle's.
#include <algorithm>
#include <cmath>
#include <limits>

#include "models/convmixer.h"
#include "tests/engine_tests.h"
#include "tests/register_test.h"

namespace convmixer::test {
namespace {

void expect_near(const std::string& what, const std::vector<double>& want,
                 const std::vector<float>& got, int n, double limit, std::uint64_t seed) {
  ASSERT_EQ(want.size(), got.size());
  Comparison comparison(what, seed);
  const int channels = static_cast<int>(want.size()) / n;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const int index = static_cast<int>(i);
    comparison.add(index / channels, index % channels, 0, 0, want[i], got[i], limit);
  }
  EXPECT_TRUE(comparison.result());
  std::string key = "share_of_limit_" + what;
  std::replace(key.begin(), key.end(), ' ', '_');
  testing::Test::RecordProperty(key, std::to_string(comparison.worst()));
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (double v : values) most = std::max(most, std::fabs(v));
  return most;
}

void check_random_model(const EngineVariant& variant, const ModelShape& shape, int n, int threads,
                        int chunk_size) {
  Random random(static_cast<std::uint64_t>(shape.dim * 100 + shape.h + n));
  const Graph graph = random_graph(shape, random);
  const Images images(shape, n, random);
  const reference::Output want = reference::evaluate(graph, images.tensor);
  const auto plan = plan_for(variant, graph);
  const Run floats = run(plan, threads, chunk_size, images.floats.data(), n);
  const double features = kModelLimit * largest(want.features);
  expect_near("logits", want.logits, floats.logits, n, kModelLimit * want.size, random.seed());
  expect_near("features", want.features, floats.features, n, features, random.seed());
  const Run bytes = run(plan, threads, chunk_size, images.bytes.data(), n);
  expect_near("logits of bytes", want.logits, bytes.logits, n, kModelLimit * want.size,
              random.seed());
  expect_near("features of bytes", want.features, bytes.features, n, features, random.seed());
}

void check_tiny(const EngineVariant& variant, const std::string& name) {
  const std::string folder = std::string(CONVMIXER_TEST_DATA) + "/tiny/" + name;
  const Npy input = read_npy(folder + "/input.npy"), logits = read_npy(folder + "/logits.npy");
  ConfigOverrides overrides;  // what timm's files do not say
  overrides.activation = name == "relu_48" ? Activation::kRelu : Activation::kGelu;
  overrides.image_height = input.shape.at(2);
  overrides.image_width = input.shape.at(3);
  const Checkpoint checkpoint = open_checkpoint(folder + "/timm.safetensors");
  const Graph graph = build_graph(checkpoint, read_config(checkpoint, overrides));
  const int n = input.shape.at(0);
  const std::vector<double> want(logits.values.begin(), logits.values.end());
  const Run got = run(plan_for(variant, graph), 2, 0, input.values.data(), n);
  expect_near("logits", want, got.logits, n, kModelLimit * largest(want), 0);
  // The stored logits hold the oracle to account, too.
  const reference::Output oracle =
      reference::evaluate(graph, reference::Tensor(n, 3, graph.h, graph.w, input.values.data()));
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(oracle.logits[i], want[i], 2e-7 * largest(want));
  }
  expect_near("features", oracle.features, got.features, n, kModelLimit * largest(oracle.features),
              0);
}

// A NaN in the weights of `layer` gives NaN where the oracle has it, and is mentioned.
void check_nan(const EngineVariant& variant, const std::string& layer) {
  const ModelShape shape{20, 2, 3, 4, 16, 20};
  Random random(5);
  Graph graph = random_graph(shape, random);
  Node& node = find_node(graph.nodes, layer);
  std::vector<float> weights(node.weights.data, node.weights.data + node.weights.size);
  weights[3] = std::numeric_limits<float>::quiet_NaN();
  node.weights = Weights::own(weights);
  const Images images(shape, 2, random);
  const reference::Output want = reference::evaluate(graph, images.tensor);
  const auto plan = plan_for(variant, graph);
  const Run got = run(plan, 2, 0, images.floats.data(), 2);
  ASSERT_TRUE(std::any_of(want.logits.begin(), want.logits.end(), [](double v) { return v != v; }));
  const double limit = std::isnan(want.size) ? 1e-4 : kModelLimit * want.size;
  expect_near("logits", want.logits, got.logits, 2, limit, random.seed());
  const std::string text = describe_plan(*plan);
  EXPECT_NE(text.find(layer + " holds NaN"), std::string::npos) << text;
}

}  // namespace

void add_model_tests(const EngineVariant& variant) {
  constexpr Activation kRelu = Activation::kRelu;
  // dim below, at and above a block and a tile; even kernels; kernels larger than the image; patch
  // 1; sides that are no multiple of the patch, also of one pixel.
  const ModelShape shapes[] = {{1, 1, 3, 2, 8, 8},
                               {3, 2, 5, 3, 16, 13},
                               {8, 3, 3, 1, 6, 9},
                               {16, 2, 4, 2, 17, 12, kRelu},
                               {20, 3, 2, 4, 22, 31},
                               {33, 2, 7, 3, 14, 25},
                               {33, 1, 9, 5, 17, 18, kRelu},
                               {8, 2, 11, 4, 9, 12},
                               {16, 1, 6, 3, 5, 40},
                               {24, 1, 8, 2, 4, 4},
                               {48, 2, 1, 7, 31, 20},
                               {64, 4, 5, 4, 32, 32, kRelu},
                               {40, 1, 10, 1, 3, 2},
                               {17, 8, 9, 2, 21, 21},
                               {130, 2, 3, 2, 12, 70},
                               {5, 2, 3, 16, 16, 100},
                               {33, 0, 3, 4, 12, 12},
                               {9, 2, 3, 2, 8, 8, kRelu, 1},
                               {12, 1, 5, 2, 10, 10, Activation::kGelu, 1000},
                               {33, 1, 3, 1, 2, 130},
                               {96, 2, 9, 7, 50, 64}};
  int n = 0;
  for (const ModelShape& shape : shapes) {
    n = n % 9 + 1;
    const int threads = 1 + n % 3, chunk_size = n % 4;
    register_test("model/" + variant.name, shape.text(), "",
                  [=] { check_random_model(variant, shape, n, threads, chunk_size); });
  }
  for (const char* name : {"gelu_32", "relu_48", "odd_20"}) {
    register_test("tiny/" + variant.name, name, "", [=] { check_tiny(variant, name); });
  }
  for (const char* layer : {"stem", "blocks.0.depthwise", "blocks.1.pointwise", "head"}) {
    register_test("nan/" + variant.name, layer, "", [=] { check_nan(variant, layer); });
  }
}

}  // namespace convmixer::test
