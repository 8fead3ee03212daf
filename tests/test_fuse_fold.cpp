// SPDX-License-Identifier: Apache-2.0
// The structure that fuse, fold_batchnorm and fold_normalization give, one test a rule. The values
// are computed here by hand or by the rule's formula; whole networks are compared elsewhere.
#include <gtest/gtest.h>

#include <cmath>

#include "checkpoint_file.h"
#include "engine/passes.h"
#include "models/convmixer.h"

namespace convmixer {
namespace {

constexpr int kDim = 19;  // no multiple of the eight partial sums

Graph build(const CheckpointFile& file) {
  const Checkpoint checkpoint = open_bytes(file.bytes());
  return build_graph(checkpoint, read_config(checkpoint, {.image_height = 8, .image_width = 8}));
}

Graph random_graph() { return build(random_convmixer(kDim, 2, 3, 2, 4)); }

std::vector<float> values(const Weights& weights) {
  return {weights.data, weights.data + weights.size};
}

double product(const Node& matrix, int row, const std::vector<double>& vec) {
  double sum = 0;
  for (int i = 0; i < matrix.ic; ++i) {
    sum += double{matrix.weights.data[row * matrix.ic + i]} * vec[static_cast<std::size_t>(i)];
  }
  return sum;
}

TEST(Graph, ActivationNames) {
  EXPECT_STREQ(activation_name(Activation::kIdentity), "identity");
  EXPECT_STREQ(activation_name(Activation::kRelu), "relu");
  EXPECT_STREQ(activation_name(Activation::kGelu), "gelu");
}

TEST(Graph, OwnedWeightsLiveAsLongAsACopy) {
  Weights copy;
  {
    const Weights weights = Weights::own({1, 2, 3});
    copy = weights;
  }
  EXPECT_EQ(values(copy), (std::vector<float>{1, 2, 3}));
  copy.let_go();  // nothing is mapped
  EXPECT_EQ(Weights::own({}).size, 0u);
}

TEST(Fuse, AConvolutionTakesItsActivationBatchNormAndAddition) {
  const Graph graph = random_graph();
  const Graph fused = fuse(graph);
  EXPECT_EQ(fused.h, 8);
  ASSERT_EQ(fused.nodes.size(), 4u);
  EXPECT_EQ(fused.nodes[0].op, Op::kPatchEmbed);
  EXPECT_EQ(fused.nodes[0].name, "stem");
  EXPECT_EQ(fused.nodes[0].activation, Activation::kGelu);
  EXPECT_FALSE(fused.nodes[0].residual);
  for (std::size_t i : {1u, 2u}) {
    const Node& block = fused.nodes[i];
    EXPECT_EQ(block.op, Op::kBlock);
    ASSERT_EQ(block.body.size(), 2u);
    EXPECT_EQ(block.body[0].op, Op::kDepthwise);
    EXPECT_TRUE(block.body[0].residual);
    EXPECT_EQ(block.body[1].op, Op::kPointwise);
    EXPECT_FALSE(block.body[1].residual);
    EXPECT_EQ(block.body[1].activation, Activation::kGelu);
    EXPECT_EQ(block.body[0].weights.data, graph.nodes[i + 2].body[0].weights.data);
  }
  EXPECT_EQ(fused.nodes[3].op, Op::kHead);
  EXPECT_EQ(fused.nodes[3].name, "head");
  EXPECT_EQ(fused.nodes[3].oc, 4);
  EXPECT_TRUE(fused.nodes[3].affine.empty());
}

TEST(Fuse, BatchNormBecomesScaleAndShift) {
  Graph graph = random_graph();
  BatchNorm& bn = graph.nodes[2].batchnorm;
  bn.weight[0] = 3, bn.bias[0] = 5, bn.running_mean[0] = 7, bn.running_var[0] = 3;
  bn.weight[1] = 0, bn.bias[1] = 5;
  bn.weight[2] = -3, bn.bias[2] = 5, bn.running_mean[2] = 7, bn.running_var[2] = 0;
  bn.running_var[3] = std::nanf("");
  bn.eps = 1;
  const Affine affine = fuse(graph).nodes[0].affine;
  ASSERT_EQ(affine.scale.size(), std::size_t{kDim});
  ASSERT_EQ(affine.shift.size(), std::size_t{kDim});
  EXPECT_EQ(affine.scale[0], 1.5);
  EXPECT_EQ(affine.shift[0], 5 - 7 * 1.5);
  EXPECT_EQ(affine.scale[1], 0);
  EXPECT_EQ(affine.shift[1], 5);
  EXPECT_EQ(affine.scale[2], -3);
  EXPECT_EQ(affine.shift[2], 26);
  EXPECT_TRUE(std::isnan(affine.scale[3]));
}

TEST(Fuse, OtherStructuresAreInternalErrors) {
  const auto refused = [](const std::string& part, auto change) {
    Graph graph = random_graph();
    change(graph);
    expect_error(Code::kInternal, {"graph node '", part}, [&] { fuse(graph); });
  };
  const auto drop = [](std::vector<Node>& nodes, std::size_t i) {
    nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(i));
  };
  refused("'stem.activation'", [&](Graph& graph) { drop(graph.nodes, 0); });
  refused("'mean'", [&](Graph& graph) { graph.nodes.pop_back(); });
  refused("'head'", [&](Graph& graph) { drop(graph.nodes, 5); });
  refused("'stem.activation'", [](Graph& graph) { std::swap(graph.nodes[1], graph.nodes[2]); });
  refused("block inside a block",
          [](Graph& graph) { graph.nodes[4].body.push_back(graph.nodes[3]); });
  refused("no mean inside", [](Graph& graph) { graph.nodes[4].body.push_back(graph.nodes[5]); });
  refused("addition only behind the first layer",
          [](Graph& graph) { graph.nodes[4].body.push_back(graph.nodes[4].body[3]); });
  refused("addition only behind", [](Graph& graph) {
    graph.nodes.insert(graph.nodes.begin() + 3, graph.nodes[4].body[3]);
  });
  refused("as many values in BatchNorm",
          [](Graph& graph) { graph.nodes[2].batchnorm.running_var.pop_back(); });
}

TEST(FoldBatchNorm, TheDepthwiseShiftGoesIntoThePointwiseBias) {
  const Graph fused = fuse(random_graph());
  const Graph folded = fold_batchnorm(fused);
  for (std::size_t i : {1u, 2u}) {
    const Node &depthwise = fused.nodes[i].body[0], &pointwise = fused.nodes[i].body[1];
    const Node &depthwise_after = folded.nodes[i].body[0],
               &pointwise_after = folded.nodes[i].body[1];
    EXPECT_EQ(depthwise_after.affine.scale, depthwise.affine.scale);
    EXPECT_EQ(depthwise_after.affine.shift, std::vector<double>(kDim, 0.0));
    EXPECT_EQ(depthwise_after.bias, depthwise.bias);
    EXPECT_TRUE(depthwise_after.residual);
    EXPECT_EQ(pointwise_after.weights.data, pointwise.weights.data);
    for (int o = 0; o < kDim; ++o) {
      const auto c = static_cast<std::size_t>(o);
      EXPECT_NEAR(pointwise_after.bias[c],
                  pointwise.bias[c] + product(pointwise, o, depthwise.affine.shift), 1e-13);
    }
  }
}

TEST(FoldBatchNorm, TheLastScaleAndShiftGoIntoTheClassifier) {
  CheckpointFile file = random_convmixer(kDim, 2, 3, 2, 4);
  std::vector<float> gamma(kDim, 0.75f);
  gamma[0] = 0;
  gamma[1] = -2;
  file.add("blocks.1.3.weight", {kDim}, gamma);
  const Graph fused = fuse(build(file));
  const Graph folded = fold_batchnorm(fused);
  const Affine& affine = fused.nodes[2].body[1].affine;
  EXPECT_EQ(affine.scale[0], 0);
  EXPECT_LT(affine.scale[1], 0);
  EXPECT_TRUE(folded.nodes[2].body[1].affine.empty());
  const Node &head = fused.nodes[3], &head_after = folded.nodes[3];
  EXPECT_EQ(head_after.affine.scale, affine.scale);
  EXPECT_EQ(head_after.affine.shift, affine.shift);
  ASSERT_EQ(head_after.weights.size, head.weights.size);
  for (int o = 0; o < 4; ++o) {
    for (int c = 0; c < kDim; ++c) {
      const int i = o * kDim + c;
      EXPECT_EQ(head_after.weights.data[i],
                static_cast<float>(head.weights.data[i] * affine.scale[static_cast<size_t>(c)]));
    }
    EXPECT_NEAR(head_after.bias[static_cast<std::size_t>(o)],
                head.bias[static_cast<std::size_t>(o)] + product(head, o, affine.shift), 1e-13);
  }
}

TEST(FoldBatchNorm, TheOtherScalesAndShiftsStay) {
  const Graph fused = fuse(random_graph());
  const Graph folded = fold_batchnorm(fused);
  EXPECT_EQ(folded.nodes[0].affine.scale, fused.nodes[0].affine.scale);
  EXPECT_EQ(folded.nodes[0].affine.shift, fused.nodes[0].affine.shift);
  EXPECT_EQ(folded.nodes[0].bias, fused.nodes[0].bias);
  EXPECT_EQ(folded.nodes[1].body[1].affine.scale, fused.nodes[1].body[1].affine.scale);
  EXPECT_EQ(folded.nodes[1].body[1].affine.shift, fused.nodes[1].body[1].affine.shift);
}

TEST(FoldBatchNorm, AnAbsentBiasCountsAsZero) {
  Graph fused = fuse(random_graph());
  fused.nodes[1].body[1].bias.clear();
  fused.nodes[3].bias.clear();
  const Graph folded = fold_batchnorm(fused);
  EXPECT_NEAR(folded.nodes[1].body[1].bias[5],
              product(fused.nodes[1].body[1], 5, fused.nodes[1].body[0].affine.shift), 1e-13);
  EXPECT_NEAR(folded.nodes[3].bias[3],
              product(fused.nodes[3], 3, fused.nodes[2].body[1].affine.shift), 1e-13);
}

// A zero shift leaves everything as it is, even beside an infinite weight (0 · ∞ is no number).
TEST(FoldBatchNorm, ZeroShiftsChangeNothing) {
  Graph fused = fuse(random_graph());
  Node &depthwise = fused.nodes[1].body[0], &pointwise = fused.nodes[1].body[1];
  depthwise.affine.shift.assign(kDim, 0.0);
  std::vector<float> weights = values(pointwise.weights);
  weights[0] = HUGE_VALF;
  pointwise.weights = Weights::own(weights);
  EXPECT_EQ(fold_batchnorm(fused).nodes[1].body[1].bias, pointwise.bias);
}

TEST(FoldBatchNorm, OtherStructuresAreInternalErrors) {
  const auto refused = [](const std::string& part, auto change) {
    Graph graph = fuse(random_graph());
    change(graph);
    expect_error(Code::kInternal, {part}, [&] { fold_batchnorm(graph); });
  };
  expect_error(Code::kInternal, {"expected a fused graph"}, [] { fold_batchnorm(random_graph()); });
  refused("oc × ic weights", [](Graph& graph) { graph.nodes[1].body[1].weights.size -= 1; });
  refused("oc × ic weights", [](Graph& graph) { graph.nodes[3].weights.size -= 1; });
  refused("oc biases", [](Graph& graph) { graph.nodes[1].body[1].bias.pop_back(); });
  refused("no residual", [](Graph& graph) { graph.nodes[1].body[1].residual = true; });
  refused("a scale and a shift", [](Graph& graph) { graph.nodes[0].affine.scale.pop_back(); });
  refused("no BatchNorm folded yet",
          [](Graph& graph) { graph.nodes[3].affine = graph.nodes[0].affine; });
}

TEST(FoldNormalization, RawBytesGiveTheSameSums) {
  const Node stem = fuse(random_graph()).nodes[0];
  const std::vector<double> mean = {0.5, -0.25, 0.125}, std = {0.25, 2, 1};
  const Node folded = fold_normalization(stem, mean, std);
  EXPECT_EQ(folded.affine.scale, stem.affine.scale);
  ASSERT_EQ(folded.weights.size, stem.weights.size);
  for (std::size_t o = 0; o < kDim; ++o) {
    double shift = 0;
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t k = 0; k < 4; ++k) {
        const std::size_t i = (o * 3 + c) * 4 + k;
        EXPECT_EQ(folded.weights.data[i],
                  static_cast<float>(stem.weights.data[i] / (255 * std[c])));
        shift += stem.weights.data[i] * mean[c] / std[c];
      }
    }
    EXPECT_NEAR(folded.bias[o], stem.bias[o] - shift, 1e-14);
  }
}

TEST(FoldNormalization, OtherStructuresAreInternalErrors) {
  const Graph fused = fuse(random_graph());
  const std::vector<double> three(3, 1), two(2, 1);
  for (const auto& call : {std::pair(three, two), std::pair(two, three)}) {
    expect_error(Code::kInternal, {"'stem'", "for each input channel"},
                 [&] { fold_normalization(fused.nodes[0], call.first, call.second); });
  }
  expect_error(Code::kInternal, {"'blocks.0'", "a patch embedding"},
               [&] { fold_normalization(fused.nodes[1], three, three); });
  Node odd = fused.nodes[0];
  odd.weights.size -= 1;
  expect_error(Code::kInternal, {"oc × ic × k × k"},
               [&] { fold_normalization(odd, three, three); });
}

}  // namespace
}  // namespace convmixer
