// SPDX-License-Identifier: Apache-2.0
// Plans with Strassen products: logits, channels of very different size, the bundled model, bits,
// room for sums, and when they are refused.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/calls.h"
#include "engine/split.h"
#include "engine/strassen.h"
#include "kernels/registry.h"
#include "models/convmixer.h"
#include "support/error.h"
#include "tests/engine_tests.h"
#include "tests/register_test.h"

namespace convmixer::test {
namespace {

std::shared_ptr<const Plan> strassen_plan(const EngineVariant& variant, const Graph& graph,
                                          Strassen strassen, bool low_memory = false) {
  PlanOptions options = variant.options();
  options.strassen = strassen;
  options.low_memory = low_memory;
  auto plan = make_plan(graph, Images::kMean, Images::kStd, options);
  EXPECT_EQ(plan->implementation(), variant.name);
  return plan;
}

void expect_products(const Plan& plan, const std::string& text) {
  ASSERT_EQ(plan.native->blocks.size(), plan.products.size());
  for (std::size_t i = 0; i < plan.products.size(); ++i) {
    EXPECT_NE(plan.products[i].find(text), std::string::npos) << plan.products[i];
    EXPECT_EQ(plan.native->blocks[i].pointwise.strassen > 0, text == "Strassen");
  }
}

// A strip's sums fit what is laid out for one of more pixels; groups are as few as they can be.
void check_sums(const KernelTable& table, int dim, int levels, std::size_t l2) {
  const int parts = 1 << levels, tiles = dim / parts / table.oc_tile;
  std::size_t before = 0;
  for (int pixels = parts; pixels <= 256; pixels += parts) {
    const StrassenLayout layout(table, dim, pixels, levels, l2);
    const std::size_t sums = static_cast<std::size_t>((levels == 2 ? 21 : 5) * (pixels / parts) *
                                                      table.oc_tile),
                      weights = static_cast<std::size_t>((levels == 2 ? 49 : 7) * dim / parts /
                                                         table.per_word * table.oc_tile),
                      room = l2 / 2 / sizeof(float);
    SCOPED_TRACE(fmt::format("{} channels, {} pixels, {} levels, {} KB of L2", dim, pixels, levels,
                             l2 >> 10));
    ASSERT_GE(layout.sum_words, before);
    before = layout.sum_words;
    ASSERT_LE(static_cast<std::size_t>(layout.tiles_at_once) * sums, layout.sum_words);
    ASSERT_LE(layout.sum_words,
              std::max(sums, std::min(room, static_cast<std::size_t>(tiles) * sums)));
    const bool fits = layout.panel_words + weights <= room;
    const int most = fits ? 1 : std::max(1, static_cast<int>(room / sums));
    ASSERT_GE(layout.tiles_at_once, 1);
    ASSERT_LE(layout.tiles_at_once, std::min(most, tiles));
    ASSERT_EQ(ceil_div(tiles, layout.tiles_at_once), ceil_div(tiles, std::min(most, tiles)));
  }
}

void check_room(const KernelTable& table) {
  for (const std::size_t l2 : {256u << 10, 512u << 10, 1024u << 10, 2048u << 10}) {
    for (const int levels : {1, 2}) {
      for (const int dim : {4 * table.oc_tile, 256, 768, 1024, 1536, 4096}) {
        check_sums(table, dim, levels, l2);
      }
    }
  }
}

// The largest error of a logit, as a share of the limit.
double share_of_limit(const reference::Output& want, const std::vector<float>& logits) {
  double worst = 0;
  for (std::size_t i = 0; i < want.logits.size(); ++i) {
    worst = std::max(worst, std::fabs(want.logits[i] - double{logits[i]}));
  }
  return worst / (kModelLimit * want.size);
}

void check_model(const EngineVariant& variant, const ModelShape& shape) {
  Random random(static_cast<std::uint64_t>(shape.h));
  const Graph graph = random_graph(shape, random);
  const Images images(shape, 3, random);
  const reference::Output want = reference::evaluate(graph, images.tensor);
  const auto plan = strassen_plan(variant, graph, Strassen::kOn);
  expect_products(*plan, "Strassen");
  const Run got = run(plan, 2, 0, images.floats.data(), 3);
  EXPECT_LE(share_of_limit(want, got.logits), 1) << "seed " << random.seed();
  EXPECT_LE(share_of_limit(want, run(plan, 1, 0, images.bytes.data(), 3).logits), 1);
  // Alone, in any chunk, by any number of threads, more of them than strips.
  for (const int threads : {1, 3, 7}) {
    for (const int chunk_size : {1, 2}) {
      EXPECT_TRUE(same_runs(got, run(plan, threads, chunk_size, images.floats.data(), 3)));
    }
  }
}

// Multiplies row c of [rows][columns] weights by size[c], or column c.
void scale_weights(Node& node, const std::vector<float>& size, bool columns) {
  std::vector<float> weights(node.weights.data, node.weights.data + node.weights.size);
  const std::size_t length = weights.size() / static_cast<std::size_t>(node.oc);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] *= size[columns ? i % length : i / length];
  }
  node.weights = Weights::own(std::move(weights));
}

void scale_batchnorm(Node& node, const std::vector<float>& size) {
  for (std::size_t c = 0; c < size.size(); ++c) {
    node.batchnorm.weight[c] *= size[c];
    node.batchnorm.bias[c] *= size[c];
  }
}

// Channels of r, and rows of the pointwise weights, of sizes spread over 10³, as trained networks
// have them, where each matters as much as the others: what reads them divides by their size. Not
// balanced, Strassen's products err sixteen times as much as plain ones here.
void check_spread(const EngineVariant& variant) {
  const ModelShape shape{128, 1, 3, 4, 16, 8};
  Random random(23);
  Graph graph = random_graph(shape, random);
  std::vector<float> size, inverse;
  for (int c = 0; c < shape.dim; ++c) {
    size.push_back(std::pow(10.0f, random.uniform(-1.5f, 1.5f)));
    inverse.push_back(1 / size.back());
  }
  scale_batchnorm(find_node(graph.nodes, "stem.batchnorm"), size);
  scale_weights(find_node(graph.nodes, "blocks.0.depthwise"), inverse, false);
  scale_batchnorm(find_node(graph.nodes, "blocks.0.depthwise.batchnorm"), size);
  scale_weights(find_node(graph.nodes, "blocks.0.pointwise"), inverse, true);
  const Images images(shape, 2, random);
  const reference::Output want = reference::evaluate(graph, images.tensor);
  const auto share = [&](Strassen strassen) {
    const auto plan = strassen_plan(variant, graph, strassen);
    expect_products(*plan, strassen == Strassen::kOn ? "Strassen" : "plain");
    return share_of_limit(want, run(plan, 2, 0, images.floats.data(), 2).logits);
  };
  const double strassen = share(Strassen::kOn), plain = share(Strassen::kOff);
  testing::Test::RecordProperty("share_of_limit_strassen", std::to_string(strassen));
  testing::Test::RecordProperty("share_of_limit_plain", std::to_string(plain));
  EXPECT_LE(strassen, 4 * plain);
  EXPECT_LE(strassen, 1);
}

void check_bundled(const EngineVariant& variant) {
  const Checkpoint checkpoint =
      open_checkpoint(std::string(CONVMIXER_SHARE_DIR) + "/cifar10_256_8.safetensors");
  const Graph graph = build_graph(checkpoint, read_config(checkpoint, {}));
  Random random(29);
  const Images images({256, 8, 5, 4, 32, 32}, 2, random);
  const reference::Output want = reference::evaluate(graph, images.tensor);
  const auto plan = strassen_plan(variant, graph, Strassen::kOn);
  expect_products(*plan, "Strassen");
  const double share = share_of_limit(want, run(plan, 2, 0, images.floats.data(), 2).logits);
  testing::Test::RecordProperty("share_of_limit", std::to_string(share));
  EXPECT_LE(share, 1);
}

// In the rows of a block one weight does all the work.
Graph lopsided_graph(const ModelShape& shape, int block) {
  Random random(31);
  Graph graph = random_graph(shape, random);
  Node& node = find_node(graph.nodes, fmt::format("blocks.{}.pointwise", block));
  const auto dim = static_cast<std::size_t>(shape.dim);
  std::vector<float> weights(node.weights.size);
  for (std::size_t o = 0; o < dim; ++o) weights[o * dim + o] = 1;
  node.weights = Weights::own(std::move(weights));
  return graph;
}

// A plain block between two of Strassen products, over the same strips; also where threads share
// panels.
void check_mixed(const EngineVariant& variant) {
  if (variant.name == "portable") GTEST_SKIP() << "portable gains nothing";
  const ModelShape shape{768, 3, 3, 1, 10, 32};
  const Graph graph = lopsided_graph(shape, 1);
  Random random(43);
  const Images images(shape, 2, random);
  const reference::Output want = reference::evaluate(graph, images.tensor);
  for (const Strassen strassen : {Strassen::kAuto, Strassen::kTwo}) {
    const auto plan = strassen_plan(variant, graph, strassen);
    EXPECT_EQ(plan->strassen_levels(), strassen == Strassen::kTwo ? 2 : 1);
    EXPECT_NE(plan->products.at(1).find("plain: its weights' spread"), std::string::npos);
    EXPECT_TRUE(choose_split(plan->geometry, *plan->native, 1, 7).shared);
    const Run got = run(plan, 2, 0, images.floats.data(), 2);
    EXPECT_LE(share_of_limit(want, got.logits), 1);
    EXPECT_TRUE(same_runs(got, run(plan, 7, 1, images.floats.data(), 2)));
  }
}

TEST(Strassen, WeightsThatL2CannotHoldHaveLongerStrips) {
  const auto pixels = [](Precision precision, int dim, int h, int w, int levels) {
    Geometry g{};
    g.dim = dim;
    g.h = h;
    g.w = w;
    return strassen_rows(g, *available_tables(precision).back(), levels) * w;
  };
  for (const Precision precision : {kFp32, kInt8}) {
    EXPECT_EQ(pixels(precision, 768, 32, 32, 1), 128);
    EXPECT_EQ(pixels(precision, 768, 32, 32, 2), 256);
    EXPECT_EQ(pixels(precision, 1024, 32, 32, 1), precision == kFp32 ? 256 : 128);
    EXPECT_EQ(pixels(precision, 1536, 32, 32, 2), 256);
  }
  EXPECT_EQ(pixels(kFp32, 1024, 16, 16, 1), 256);
  EXPECT_EQ(pixels(kFp32, 1024, 8, 16, 1), 128);
}

// Two levels, 768 channels wide; bits as above.
void check_two_levels(const EngineVariant& variant) {
  // Two strips of 256 pixels and one of 64.
  const ModelShape shape{768, 1, 3, 1, 18, 32};
  Random random(41);
  const Graph graph = random_graph(shape, random);
  const Images images(shape, 2, random);
  const reference::Output want = reference::evaluate(graph, images.tensor);
  const auto plan = strassen_plan(variant, graph, Strassen::kTwo);
  if (variant.name == "portable") return expect_products(*plan, "plain");
  EXPECT_EQ(plan->products.at(0), "Strassen, two levels");
  const Run got = run(plan, 2, 0, images.floats.data(), 2);
  EXPECT_LE(share_of_limit(want, got.logits), 1) << "seed " << random.seed();
  EXPECT_TRUE(same_runs(got, run(plan, 5, 1, images.floats.data(), 2)));
  EXPECT_LE(share_of_limit(want, run(plan, 2, 0, images.bytes.data(), 2).logits), 1);
  const Graph fifty_pixels = random_graph({768, 1, 3, 4, 20, 40}, random);
  EXPECT_NE(
      strassen_plan(variant, fifty_pixels, Strassen::kTwo)->products.at(0).find("one level: 5×10"),
      std::string::npos);
  const Graph narrow = random_graph({512, 1, 3, 4, 24, 24}, random);
  EXPECT_EQ(strassen_plan(variant, narrow, Strassen::kTwo)->products.at(0),
            "Strassen, one level: dim 512 is below 768");
}

void check_choice(const EngineVariant& variant) {
  Random random(37);
  const Graph small = random_graph({128, 1, 3, 4, 16, 16}, random),
              large = random_graph({512, 1, 3, 4, 24, 24}, random),
              few = random_graph({512, 1, 3, 4, 16, 16}, random),
              uneven = random_graph({130, 1, 3, 4, 16, 16}, random),
              odd = random_graph({128, 1, 3, 4, 12, 12}, random),
              lopsided = lopsided_graph({512, 1, 3, 4, 24, 24}, 0);
  const auto products = [&](const Graph& graph, Strassen strassen, bool low_memory = false) {
    return strassen_plan(variant, graph, strassen, low_memory)->products.at(0);
  };
  EXPECT_EQ(products(large, Strassen::kAuto),
            variant.name == "portable" ? "plain: portable gains nothing" : "Strassen");
  EXPECT_EQ(products(large, Strassen::kOff), "plain: Strassen is switched off");
  EXPECT_EQ(products(large, Strassen::kAuto, true), "plain: low memory is asked for");
  EXPECT_NE(products(uneven, Strassen::kAuto).find("dim 130"), std::string::npos);
  EXPECT_NE(products(odd, Strassen::kAuto).find("3×3 pixels"), std::string::npos);
  if (variant.name != "portable") {
    EXPECT_NE(products(small, Strassen::kAuto).find("dim 128 is below"), std::string::npos);
    EXPECT_NE(products(few, Strassen::kAuto).find("strips of 16"), std::string::npos);
    EXPECT_NE(products(lopsided, Strassen::kAuto).find("spread"), std::string::npos);
  }
  const auto refused = [&](const Graph& graph, bool low_memory = false) -> std::string {
    try {
      strassen_plan(variant, graph, Strassen::kOn, low_memory);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_NE(refused(uneven).find("blocks.0.pointwise: "), std::string::npos) << refused(uneven);
  EXPECT_NE(refused(odd).find("3×3 pixels"), std::string::npos) << refused(odd);
  EXPECT_NE(refused(lopsided).find("spread"), std::string::npos) << refused(lopsided);
  EXPECT_NE(refused(small, true).find("memory"), std::string::npos) << refused(small, true);
  // A NaN is not forgotten, whatever rows follow it.
  for (const bool in_weights : {true, false}) {
    Graph graph = random_graph({512, 1, 3, 4, 16, 16}, random);
    if (in_weights) {
      Node& node = find_node(graph.nodes, "blocks.0.pointwise");
      std::vector<float> weights(node.weights.data, node.weights.data + node.weights.size);
      weights[1] = std::numeric_limits<float>::quiet_NaN();
      node.weights = Weights::own(std::move(weights));
    } else {
      find_node(graph.nodes, "stem.batchnorm").batchnorm.running_var[0] =
          std::numeric_limits<float>::quiet_NaN();
    }
    EXPECT_NE(refused(graph).find("not finite"), std::string::npos) << refused(graph);
  }
  // Seven weights instead of four.
  const std::size_t plain = strassen_plan(variant, small, Strassen::kOff)->weight_bytes;
  EXPECT_NEAR(
      static_cast<double>(strassen_plan(variant, small, Strassen::kOn)->weight_bytes - plain),
      128 * 128 * 3, 1024);
}

void register_strassen_tests(const EngineVariant& variant) {
  const std::string suite = "strassen/" + variant.name;
  // 8×8 pixels; 12×8; 3 rows a strip; rows of more pixels than a strip usually has.
  for (const ModelShape& shape :
       {ModelShape{128, 2, 3, 4, 32, 32}, ModelShape{128, 2, 5, 2, 24, 16, Activation::kRelu},
        ModelShape{256, 1, 3, 1, 5, 38}, ModelShape{128, 1, 3, 1, 2, 130}}) {
    register_test(suite, shape.text(), "", [=] { check_model(variant, shape); });
  }
  register_test(suite, "spread", "", [=] { check_spread(variant); });
  register_test(suite, "bundled", "", [=] { check_bundled(variant); });
  register_test(suite, "two_levels", "", [=] { check_two_levels(variant); });
  register_test(suite, "mixed", "", [=] { check_mixed(variant); });
  register_test(suite, "choice", "", [=] { check_choice(variant); });
}

}  // namespace

void add_strassen_tests(const EngineVariant& variant) {
  for (const Precision precision : {kFp32, kInt8}) {
    for (const Variant& v : variants(precision)) {  // oneDNN is none of them
      if (v.isa != variant.name || v.table == nullptr) continue;
      if (v.table->strassen[kActIdentity] == nullptr) continue;
      if (precision == kFp32) register_strassen_tests(variant);
      register_test("strassen/" + v.name, "room", "", [=] { check_room(*v.table); });
    }
  }
}

}  // namespace convmixer::test
