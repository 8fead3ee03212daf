// SPDX-License-Identifier: Apache-2.0
// Whole models on every variant: their logits (engine_models.cpp), what may not change them
// (engine_sessions.cpp), and here, what a plan says and refuses.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "engine/candidates.h"
#include "kernels/cpu.h"
#include "kernels/onednn.h"
#include "kernels/registry.h"
#include "support/error.h"
#include "tests/engine_tests.h"
#include "tests/register_test.h"

namespace convmixer {
namespace test {

std::shared_ptr<const Plan> plan_for(const EngineVariant& variant, const Graph& graph) {
  std::shared_ptr<const Plan> plan =
      make_plan(graph, Images::kMean, Images::kStd, variant.options());
  EXPECT_EQ(plan->implementation(), variant.name);
  return plan;
}

template <typename T>
Run run(std::shared_ptr<const Plan> plan, int threads, int chunk_size, const T* src, int n) {
  const auto images = static_cast<std::size_t>(n);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Run r{std::vector<float>(images * static_cast<std::size_t>(plan->geometry.num_classes), nan),
        std::vector<float>(images * static_cast<std::size_t>(plan->geometry.dim), nan)};
  Session session(std::move(plan), threads, chunk_size);
  session.run(src, images, r.logits.data(), r.features.data());
  return r;
}
template Run run(std::shared_ptr<const Plan>, int, int, const float*, int);
template Run run(std::shared_ptr<const Plan>, int, int, const std::uint8_t*, int);

testing::AssertionResult same_runs(const Run& want, const Run& got) {
  const testing::AssertionResult logits =
      same_bits(want.logits.data(), got.logits.data(), want.logits.size());
  if (!logits) return testing::AssertionFailure() << "logits: " << logits.message();
  const testing::AssertionResult features =
      same_bits(want.features.data(), got.features.data(), want.features.size());
  if (!features) return testing::AssertionFailure() << "features: " << features.message();
  return testing::AssertionSuccess();
}

namespace {

constexpr ModelShape kSmall{20, 2, 3, 4, 16, 20};

Graph small_graph() {
  Random random(3);
  return random_graph(kSmall, random);
}

// The error that make_plan ends with.
Error plan_error(const PlanOptions& options, const Graph& graph = small_graph()) {
  try {
    make_plan(graph, Images::kMean, Images::kStd, options);
  } catch (const Error& e) {
    return e;
  }
  ADD_FAILURE() << "expected an Error";
  return Error(Code::kOk, "");
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is not in:\n" << text;
}

// The best variant for models that gain nothing from floats in pieces, as small ones.
const KernelTable* best_of_floats() {
  const std::vector<const KernelTable*> tables = available_tables();
  return *std::find_if(tables.begin(), tables.end(),
                       [](const KernelTable* table) { return table->pieces == 1; });
}

class IsaLimit {
 public:
  explicit IsaLimit(const char* value) { ::setenv("CONVMIXER_ISA", value, 1); }
  ~IsaLimit() { ::unsetenv("CONVMIXER_ISA"); }
};

PlanOptions automatic() {
  PlanOptions options;
  options.onednn = OneDnn::kOff;
  return options;
}

TEST(Plan, AnUnknownIsaIsRefusedWithTheValidNames) {
  PlanOptions options;
  options.isa = "sse9";
  const Error error = plan_error(options);
  EXPECT_EQ(error.code(), Code::kInvalidArgument);
  expect_contains(error.what(), "sse9");
  for (const Variant& v : variants()) expect_contains(error.what(), v.name);
}

TEST(Plan, AnIsaThatCannotRunHereIsRefusedWithTheReason) {
  bool found = false;
  for (const Variant& v : variants()) {
    if (v.table != nullptr) continue;
    found = true;
    PlanOptions options;
    options.isa = v.name;
    const Error error = plan_error(options);
    EXPECT_EQ(error.code(), Code::kUnsupported);
    expect_contains(error.what(), v.refusal);
    for (const KernelTable* table : available_tables()) expect_contains(error.what(), table->name);
  }
  if (!found) GTEST_SKIP() << "this CPU runs every variant";
}

TEST(Plan, OneDnnIsUsedOrRefused) {
  PlanOptions options;
  options.onednn = OneDnn::kOn;
  if (onednn::version().empty()) {
    EXPECT_EQ(plan_error(options).code(), Code::kUnsupported);
    return;
  }
  EXPECT_STREQ(make_plan(small_graph(), Images::kMean, Images::kStd, options)->implementation(),
               "onednn");
  options.isa = "portable";  // oneDNN makes its own choice
  EXPECT_EQ(plan_error(options).code(), Code::kInvalidArgument);
}

// What plans ask for that did not ask for oneDNN.
TEST(Plan, OneDnnsReferenceImplementationsAreRefused) {
  if (onednn::version().empty()) GTEST_SKIP() << "not part of this build";
  const std::vector<float> weights(8 * 11 * 11);
  onednn::Convolution c{"blocks.0.depthwise", 8, 8, 2, 3, 11, 1, 5, 5};
  c.depthwise = true;
  c.weights = weights.data();
  onednn::Program any(kFp32, onednn::Implementations::kAny),
      fast(kFp32, onednn::Implementations::kNoReference);
  any.add_convolution(c);
  if (!any.implementation(0).starts_with("ref")) {
    GTEST_SKIP() << "oneDNN has " << any.implementation(0) << " for it";
  }
  try {
    fast.add_convolution(c);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::kUnsupported);
    expect_contains(e.what(), "blocks.0.depthwise: oneDNN ");
    expect_contains(e.what(), any.implementation(0));
  }
  // Who asks for oneDNN gets them.
  Random random(3);
  PlanOptions options;
  options.onednn = OneDnn::kOn;
  const auto plan =
      make_plan(random_graph({8, 1, 11, 1, 2, 3}, random), Images::kMean, Images::kStd, options);
  expect_contains(plan->layers.at(1).implementation, any.implementation(0));
}

TEST(Plan, TheAutomaticChoiceIsTheBestAvailable) {
  const auto plan = make_plan(small_graph(), Images::kMean, Images::kStd, automatic());
  EXPECT_STREQ(plan->implementation(), best_of_floats()->name);
}

TEST(Plan, TheEnvironmentLimitsTheAutomaticChoice) {
  for (const Variant& limit : variants()) {
    SCOPED_TRACE(limit.name);
    const IsaLimit environment(limit.name.c_str());
    std::string expected;  // the best one from the limit on
    bool below = false;
    for (const Variant& v : variants()) {
      below = below || v.name == limit.name;
      const bool small_too = v.table != nullptr && v.table->pieces == 1;
      if (below && small_too && expected.empty()) expected = v.name;
    }
    const auto plan = make_plan(small_graph(), Images::kMean, Images::kStd, automatic());
    EXPECT_EQ(plan->implementation(), expected);
    for (const KernelTable* table : available_tables()) {  // but not the caller's own
      PlanOptions options = automatic();
      options.isa = table->name;
      EXPECT_STREQ(make_plan(small_graph(), Images::kMean, Images::kStd, options)->implementation(),
                   table->name);
    }
  }
  const IsaLimit environment("");  // counts as unset
  EXPECT_STREQ(make_plan(small_graph(), Images::kMean, Images::kStd, automatic())->implementation(),
               best_of_floats()->name);
}

TEST(Plan, AnUnknownNameInTheEnvironmentIsRefused) {
  const IsaLimit environment("sse9");
  const Error error = plan_error(automatic());
  EXPECT_EQ(error.code(), Code::kInvalidArgument);
  expect_contains(error.what(), "CONVMIXER_ISA");
  for (const Variant& v : variants()) expect_contains(error.what(), v.name);
}

TEST(Plan, VariantsAreListedBestFirst) {
  for (int precision = 0; precision < kPrecisionCount; ++precision) {
    int before = isa_rank("amx");
    for (const Variant& v : variants(static_cast<Precision>(precision))) {
      const int rank = isa_rank(v.isa);
      EXPECT_GE(rank, 0) << v.name;
      EXPECT_LE(rank, before) << v.name;
      before = rank;
    }
  }
}

TEST(Plan, LowMemoryMakesSmallChunks) {
  PlanOptions options = automatic();
  options.isa = "portable";
  const auto session = [&](int threads) {
    return Session(make_plan(small_graph(), Images::kMean, Images::kStd, options), threads, 0);
  };
  const Session usual = session(2);  // of one strip an image
  EXPECT_EQ(usual.chunk_size(), 32);
  options.low_memory = true;
  const Session small = session(2);
  EXPECT_EQ(small.chunk_size(), 2);
  EXPECT_LT(small.arena_bytes(), usual.arena_bytes() / 4);
  EXPECT_EQ(session(1).chunk_size(), 1);
}

// A model of a shape for which amx cuts floats into pieces; one of fewer channels, and of fewer
// pixels.
TEST(Plan, FloatsInPiecesAreChosenWhereTheyGain) {
  Random random(5);
  const auto implementation = [&](const ModelShape& shape, const PlanOptions& options) {
    return std::string(make_plan(random_graph(shape, random), Images::kMean, Images::kStd, options)
                           ->implementation());
  };
  const ModelShape large{128, 1, 3, 4, 32, 32}, narrow{127, 1, 3, 4, 32, 32},
      few{128, 1, 3, 4, 28, 36};
  const std::string plain = best_of_floats()->name;
  const std::string best = available_tables().front()->name;
  EXPECT_EQ(implementation(large, automatic()), best);
  EXPECT_EQ(implementation(narrow, automatic()), plain);
  EXPECT_EQ(implementation(few, automatic()), plain);
  PlanOptions options = automatic();
  options.strassen = Strassen::kOn;
  EXPECT_EQ(implementation(large, options), plain);
  options.strassen = Strassen::kTwo;  // "else as AUTO"
  EXPECT_EQ(implementation(large, options), best);
  options = automatic();
  options.low_memory = true;  // it needs no more than others
  EXPECT_EQ(implementation(large, options), best);
  options = automatic();
  options.observed = true;
  EXPECT_EQ(implementation(large, options), plain);
  options = automatic();
  options.isa = best;
  EXPECT_EQ(implementation(few, options), best);
}

// The same on any CPU.
TEST(Plan, FloatsInPiecesAreDoubtedForFewChannelsOrPixels) {
  const auto doubt = [](int dim, int h, int w) {
    Geometry g{};
    g.dim = dim;
    g.h = h;
    g.w = w;
    return doubt_pieces(g);
  };
  EXPECT_EQ(doubt(128, 8, 8), "");
  EXPECT_EQ(doubt(127, 8, 8), "dim 127 is below 128");
  EXPECT_EQ(doubt(128, 7, 9), "63 pixels are below 64");
}

// An instruction set that has no Strassen products or cannot be observed names the others.
TEST(Plan, AmxIsRefusedInFp32ForWhatItHasNot) {
  const Variant amx = variants().front();
  ASSERT_EQ(amx.name, "amx");
  const auto refused = [&](const PlanOptions& options, const std::string& reason) {
    const Error error = plan_error(options);
    EXPECT_EQ(error.code(), Code::kUnsupported);
    const std::string why = amx.table == nullptr ? amx.refusal : reason;
    expect_contains(error.what(), "precision fp32, isa amx: amx: " + why + "; here can run: ");
  };
  PlanOptions options = automatic();
  options.isa = "amx";
  options.observed = true;
  refused(options, "calibration reads floats, which it cuts into pieces");
  options.observed = false;
  options.strassen = Strassen::kOn;
  refused(options, "it has no Strassen products, which are asked for");
}

Geometry layers(int dim, int kernel_size) {
  Geometry g{};
  g.dim = dim;
  g.h = g.w = 16;
  g.kernel_size = kernel_size;
  return g;
}

TEST(Precision, AutoIsBf16WhereItIsFaster) {
  PlanOptions options;
  options.precision = PrecisionOption::kAuto;
  const bool slow = has_slow_bf16_vectors();
  const std::vector<Variant> of_bf16 = variants(kBf16);
  const onednn::Support support = onednn::support(kBf16);
  for (const int k : {9, 15, 17, 18}) {
    const auto faster = [&](const Variant& v) {
      const bool in_tiles = v.isa == "amx" && k <= 17;
      return v.table != nullptr && v.isa != "portable" && (in_tiles || !slow);
    };
    const Geometry g = layers(256, k);
    const bool onednn =
        k <= 14 && support >= (slow ? onednn::Support::kTiles : onednn::Support::kInstructions);
    const bool has = onednn || std::any_of(of_bf16.begin(), of_bf16.end(), faster);
    options.isa = "";
    EXPECT_EQ(choose_variants(options, g).precision, has ? kBf16 : kFp32) << k;
    for (const Variant& v : variants()) {
      if (v.table == nullptr) continue;
      options.isa = v.isa;
      const bool chosen = std::any_of(of_bf16.begin(), of_bf16.end(), [&](const Variant& b) {
        return b.isa == v.isa && faster(b);
      });
      EXPECT_EQ(choose_variants(options, g).precision, chosen ? kBf16 : kFp32) << v.isa << k;
    }
  }
}

TEST(Precision, AutoIsFp32WhereItsProductsMayBeStrassens) {
  PlanOptions options;
  options.precision = PrecisionOption::kAuto;
  const auto check = [&](int dim, bool asked) {
    const Choice choice = choose_variants(options, layers(dim, 9));
    const std::string reason = "bf16: Strassen products are asked for";
    const bool refused = !choice.not_bf16.empty() && choice.not_bf16.front() == reason;
    EXPECT_EQ(refused, asked);
    if (asked) {
      EXPECT_EQ(choice.precision, kFp32);
    }
  };
  options.strassen = Strassen::kOn;
  check(256, true);
  options.strassen = Strassen::kTwo;  // amx has none
  const std::string best = available_tables().front()->name;
  check(256, best == "avx512");
  check(64, false);  // fp32 would gain nothing by them
}

// Whose matrix tiles stand before what has none, but not for kernels that it has slow code for.
TEST(Plan, LargeKernelsAreNotForOneDnn) {
  if (onednn::support(kBf16) != onednn::Support::kTiles) GTEST_SKIP() << "oneDNN has no tiles here";
  for (const Precision precision : {kBf16, kInt8}) {
    PlanOptions options;
    options.precision = precision == kBf16 ? PrecisionOption::kBf16 : PrecisionOption::kInt8;
    for (const int k : {14, 15}) {
      const auto list = choose_variants(options, layers(256, k)).candidates;
      const auto place = [&](const std::string& name) {
        return std::find_if(list.begin(), list.end(),
                            [&](const Candidate& c) { return c.name.starts_with(name); }) -
               list.begin();
      };
      EXPECT_EQ(place("onednn") < place("avx512"), k == 14);
      EXPECT_LT(place("onednn"), place("portable"));
    }
  }
}

TEST(Plan, AnImageSmallerThanAPatchIsRefused) {
  Graph graph = small_graph();
  graph.h = kSmall.patch_size - 1;
  EXPECT_EQ(plan_error(automatic(), graph).code(), Code::kInvalidArgument);
}

TEST(Plan, TheDescriptionNamesLayersAndRefusals) {
  for (const EngineVariant& variant : engine_variants()) {
    if (!variant.refusal.empty()) continue;
    SCOPED_TRACE(variant.name);
    const std::string text = describe_plan(*plan_for(variant, small_graph()));
    EXPECT_EQ(text.back(), '\n');
    for (const char* part : {"stem", "blocks.0.depthwise", "blocks.1.pointwise", "head"}) {
      expect_contains(text, part);
    }
    expect_contains(text, variant.name);
    EXPECT_EQ(text.find("NaN"), std::string::npos) << text;
    // The reason for every candidate that comes before it.
    for (const char* name : {"amx", "avx512", "avx2", "onednn", "portable"}) {
      if (name == variant.name) break;
      expect_contains(text, std::string(name) + ": ");
    }
  }
}

}  // namespace
}  // namespace test
}  // namespace convmixer

int main(int argc, char** argv) {
  using namespace convmixer::test;
  ::unsetenv("CONVMIXER_ISA");
  testing::InitGoogleTest(&argc, argv);
  for (const EngineVariant& variant : engine_variants()) {
    if (!variant.refusal.empty()) {
      register_test("model/" + variant.name, "runs_here", variant.name + ": " + variant.refusal,
                    [] {});
      continue;
    }
    add_model_tests(variant);
    add_session_tests(variant);
    add_strassen_tests(variant);
  }
  add_precision_tests();
  return RUN_ALL_TESTS();
}
