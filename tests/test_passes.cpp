// SPDX-License-Identifier: Apache-2.0
// Every pass keeps what a graph computes: unfused, fused and folded agree under the oracle.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/passes.h"
#include "tests/random_model.h"
#include "tests/reference.h"

namespace convmixer::test {
namespace {

// Of the largest: folding rounds the classifier's weights once more.
constexpr double kLimit = 1e-6;

double largest(const std::vector<double>& values) {
  double most = 0;
  for (double v : values) most = std::max(most, std::fabs(v));
  return most;
}

void expect_near(const std::string& what, const std::vector<double>& want,
                 const std::vector<double>& got, int n, std::uint64_t seed) {
  ASSERT_EQ(want.size(), got.size()) << what;
  Comparison comparison(what, seed);
  const int channels = static_cast<int>(want.size()) / n;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const int index = static_cast<int>(i);
    comparison.add(index / channels, index % channels, 0, 0, want[i], got[i],
                   kLimit * largest(want));
  }
  EXPECT_TRUE(comparison.result());
}

class Passes : public testing::TestWithParam<ModelShape> {};

TEST_P(Passes, KeepWhatTheGraphComputes) {
  const ModelShape shape = GetParam();
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Random random(seed);
    const Graph graph = random_graph(shape, random), fused = fuse(graph),
                folded = fold_batchnorm(fused);
    const Images images(shape, 2, random);
    const reference::Output want = reference::evaluate(graph, images.tensor);
    ASSERT_EQ(want.logits.size(), 20u);
    ASSERT_EQ(want.features.size(), 2u * static_cast<unsigned>(shape.dim));
    for (const auto& [name, pass] : {std::pair{"fused", &fused}, {"folded", &folded}}) {
      const reference::Output got = reference::evaluate(*pass, images.tensor);
      expect_near(std::string(name) + " logits", want.logits, got.logits, 2, seed);
      expect_near(std::string(name) + " features", want.features, got.features, 2, seed);
    }
  }
}

TEST_P(Passes, RawBytesGiveTheNormalisedLogits) {
  const ModelShape shape = GetParam();
  Random random(9);
  Graph graph = random_graph(shape, random);
  const Images images(shape, 2, random);
  const reference::Output want = reference::evaluate(graph, images.tensor);
  Graph folded = fold_batchnorm(fuse(graph));
  const auto list = [](const std::array<double, 3>& a) {
    return std::vector<double>(a.begin(), a.end());
  };
  folded.nodes[0] = fold_normalization(folded.nodes[0], list(Images::kMean), list(Images::kStd));
  reference::Tensor raw(2, 3, shape.h, shape.w);
  for (std::size_t i = 0; i < images.bytes.size(); ++i) {
    const std::size_t pixel = i / 3, pixels = images.bytes.size() / 6;
    raw.v[(pixel / pixels * 3 + i % 3) * pixels + pixel % pixels] = images.bytes[i];
  }
  const reference::Output got = reference::evaluate(folded, raw);
  expect_near("logits of raw bytes", want.logits, got.logits, 2, random.seed());
}

INSTANTIATE_TEST_SUITE_P(graph, Passes,
                         testing::Values(ModelShape{1, 1, 1, 1, 3, 2}, ModelShape{7, 0, 3, 2, 8, 8},
                                         ModelShape{8, 1, 3, 2, 8, 6},
                                         ModelShape{20, 2, 4, 3, 16, 19},
                                         ModelShape{33, 3, 9, 4, 13, 17, Activation::kRelu},
                                         ModelShape{16, 8, 5, 7, 28, 30},
                                         ModelShape{12, 2, 2, 1, 5, 5, Activation::kRelu},
                                         ModelShape{5, 4, 7, 2, 9, 9, Activation::kIdentity}),
                         [](const auto& param) { return param.param.text(); });

// BatchNorms that are all 0, all negative, or all but the identity.
TEST(PassesWithExtremeBatchNorm, KeepWhatTheGraphComputes) {
  const ModelShape shape{9, 2, 3, 2, 10, 8};
  for (const float gamma : {0.0f, -1.0f, 1e-6f, -300.0f}) {
    SCOPED_TRACE(gamma);
    for (const std::string layer :
         {"stem", "blocks.0.depthwise", "blocks.1.depthwise", "blocks.1.pointwise"}) {
      SCOPED_TRACE(layer);
      Random random(21);
      Graph graph = random_graph(shape, random);
      BatchNorm& bn = find_node(graph.nodes, layer + ".batchnorm").batchnorm;
      std::fill(bn.weight.begin(), bn.weight.end(), gamma);
      bn.running_var[0] = 0;  // leaves eps alone under the root
      const Images images(shape, 2, random);
      const reference::Output want = reference::evaluate(graph, images.tensor);
      const reference::Output got = reference::evaluate(fold_batchnorm(fuse(graph)), images.tensor);
      expect_near("logits", want.logits, got.logits, 2, random.seed());
      expect_near("features", want.features, got.features, 2, random.seed());
    }
  }
}

}  // namespace
}  // namespace convmixer::test
