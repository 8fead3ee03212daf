// SPDX-License-Identifier: Apache-2.0
// Whole models in bf16 and int8: near the oracle, the same bits in any batch and for any number of
// threads; scales of int8 from a calibration.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "engine/byte_weights.h"
#include "engine/calibrator.h"
#include "engine/candidates.h"
#include "kernels/onednn.h"
#include "kernels/registry.h"
#include "support/error.h"
#include "tests/count_allocations.h"
#include "tests/engine_tests.h"
#include "tests/engine_variants.h"
#include "tests/register_test.h"

namespace convmixer::test {
namespace {

constexpr auto kMean = Images::kMean, kStd = Images::kStd;

// Root mean square of the logits' errors, as a share of that of the logits: random models come to a
// half of these. One activation that skips its rounding, border or zero point comes to several
// times as much in int8.
constexpr double kLimit[kPrecisionCount] = {0, 0.012, 0.03};

struct Case {
  ModelShape shape;
  Graph graph;
  Images images;
  Case(const ModelShape& s, int n, Random random = Random(41))
      : shape(s), graph(random_graph(s, random)), images(s, n, random) {}
};

Quantization calibrated(const Case& c, int n, Clipping clipping = Clipping::kMeanSquaredError) {
  PlanOptions options;
  options.observed = true;
  Calibrator calibrator(make_plan(c.graph, kMean, kStd, options), 2);
  calibrator.add(c.images.floats.data(), static_cast<std::size_t>(n));
  return calibrator.choose(clipping);
}

// `isa` is "onednn" too.
std::shared_ptr<const Plan> plan_of(const Case& c, const std::string& isa, Precision precision,
                                    const Quantization& scales,
                                    Strassen strassen = Strassen::kAuto) {
  PlanOptions options = EngineVariant{isa, ""}.options();
  options.strassen = strassen;
  options.precision = precision == kBf16 ? PrecisionOption::kBf16 : PrecisionOption::kInt8;
  options.quantization = scales;
  auto plan = make_plan(c.graph, kMean, kStd, options);
  EXPECT_EQ(plan->precision(), precision);
  return plan;
}

double relative_error(const std::vector<double>& want, const std::vector<float>& got) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  return std::sqrt(error / size);
}

void check_near(const Case& c, const Plan& plan, const Run& floats, const Run& bytes) {
  const reference::Output want = reference::evaluate(c.graph, c.images.tensor);
  const double limit = kLimit[plan.precision()];
  for (const auto& [what, got] : {std::pair{"floats", &floats}, {"bytes", &bytes}}) {
    const double logits = relative_error(want.logits, got->logits),
                 features = relative_error(want.features, got->features);
    EXPECT_LT(logits, limit) << what;
    EXPECT_LT(features, limit) << what;
    testing::Test::RecordProperty(std::string("share_of_limit_") + what,
                                  std::to_string(logits / limit));
  }
}

// `name` is the implementation that is expected of `isa`.
void check_model(const std::string& isa, const std::string& name, Precision precision,
                 const ModelShape& shape) {
  constexpr int kImages = 5;
  const Case c(shape, kImages);
  const Quantization scales = precision == kInt8 ? calibrated(c, kImages) : Quantization{};
  const auto plan = plan_of(c, isa, precision, scales);
  if (plan->implementation() != name) {
    GTEST_SKIP() << "isa " << isa << " is " << plan->implementation() << " on this CPU";
  }
  const float* const floats = c.images.floats.data();
  const std::uint8_t* const bytes = c.images.bytes.data();
  const Run want = run(plan, 1, 1, floats, kImages), of_bytes = run(plan, 1, 1, bytes, kImages);
  check_near(c, *plan, want, of_bytes);
  for (const auto& [threads, chunk] : {std::pair{1, 0}, {2, 2}, {3, 0}, {5, 1}, {2, 5}}) {
    SCOPED_TRACE(fmt::format("{} threads, chunk {}", threads, chunk));
    EXPECT_TRUE(same_runs(want, run(plan, threads, chunk, floats, kImages)));
    EXPECT_TRUE(same_runs(of_bytes, run(plan, threads, chunk, bytes, kImages)));
  }
  Session session(plan, 2, 0);
  std::vector<float> logits(want.logits.size());
  const long before = allocations();
  session.run(floats, kImages, logits.data(), nullptr);
  if (can_count_allocations() && isa != "onednn") {  // whose own calls allocate
    EXPECT_EQ(allocations(), before);
  }
  EXPECT_TRUE(same_bits(want.logits.data(), logits.data(), logits.size()));
}

// The features of every variant; the logits too, but for portable, whose classifier, in fp32,
// rounds twice in a multiply-add.
void check_int8_agrees(const ModelShape& shape) {
  const Case c(shape, 4);
  const Quantization scales = calibrated(c, 4);
  Run first[2];
  for (const Variant& v : variants(kInt8)) {
    if (v.table == nullptr) continue;
    const auto plan = plan_of(c, v.isa, kInt8, scales);
    Run got[2] = {run(plan, 2, 0, c.images.floats.data(), 4),
                  run(plan, 2, 0, c.images.bytes.data(), 4)};
    for (int i = 0; i < 2; ++i) {
      if (first[i].logits.empty()) first[i] = got[i];
      if (v.isa == "portable") got[i].logits = first[i].logits;
      EXPECT_TRUE(same_runs(first[i], got[i])) << v.name << (i == 0 ? ", floats" : ", bytes");
    }
  }
}

// A scale next to 0: oneDNN divides by it.
void check_dead_channel() {
  const Case c({20, 2, 3, 2, 8, 8}, 2);
  Quantization scales = calibrated(c, 2);
  scales.stem.scale[3] = std::numeric_limits<float>::min();
  const Run want = run(plan_of(c, "", kInt8, scales), 1, 0, c.images.floats.data(), 2),
            got = run(plan_of(c, "onednn", kInt8, scales), 1, 0, c.images.floats.data(), 2);
  EXPECT_LT(relative_error({want.logits.begin(), want.logits.end()}, got.logits), kLimit[kInt8]);
}

void expect_error(Code code, const std::string& part, const std::function<void()>& body) {
  try {
    body();
    ADD_FAILURE() << "no error, expected one about " << part;
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
  }
}

// Strassen's products of integers are exact: the same bits with and without.
void check_int8_strassen(const ModelShape& shape) {
  const Case c(shape, 3);
  const Quantization scales = calibrated(c, 3);
  for (const Variant& v : variants(kInt8)) {
    if (v.table == nullptr) continue;
    SCOPED_TRACE(v.name);
    if (v.table->strassen[kActIdentity] == nullptr) {
      const auto all = variants(kInt8);
      const bool another = std::any_of(all.begin(), all.end(), [&](const Variant& other) {
        return other.isa == v.isa && other.table != nullptr &&
               other.table->strassen[kActIdentity] != nullptr;
      });
      if (!another) {
        expect_error(Code::kUnsupported, "it has no Strassen products",
                     [&] { plan_of(c, v.isa, kInt8, scales, Strassen::kOn); });
      }
      EXPECT_EQ(plan_of(c, v.isa, kInt8, scales, Strassen::kTwo)->strassen_levels(), 0);
      continue;
    }
    const auto plain = plan_of(c, v.isa, kInt8, scales, Strassen::kOff);
    EXPECT_EQ(plain->strassen_levels(), 0);
    const float* const floats = c.images.floats.data();
    const std::uint8_t* const bytes = c.images.bytes.data();
    const Run want = run(plain, 1, 0, floats, 3), of_bytes = run(plain, 1, 0, bytes, 3);
    const int one = shape.dim < 512 ? 0 : 1, two = shape.dim < 768 ? one : 2;
    for (const auto& [strassen, levels] :
         {std::pair{Strassen::kOn, 1}, {Strassen::kAuto, one}, {Strassen::kTwo, two}}) {
      // Where another one of this isa is better, only `on` takes it.
      if (plain->implementation() != v.name && strassen != Strassen::kOn) continue;
      const auto plan = plan_of(c, v.isa, kInt8, scales, strassen);
      EXPECT_EQ(plan->strassen_levels(), levels);
      for (const auto& [threads, chunk] : {std::pair{1, 0}, {3, 0}, {7, 1}, {5, 2}}) {
        EXPECT_TRUE(same_runs(want, run(plan, threads, chunk, floats, 3)));
        EXPECT_TRUE(same_runs(of_bytes, run(plan, threads, chunk, bytes, 3)));
      }
    }
  }
}

TEST(Precision, WhatCannotRunIsRefused) {
  const Case c({20, 1, 3, 2, 8, 8}, 1);
  PlanOptions options;
  options.precision = PrecisionOption::kBf16;
  options.isa = "avx2";
  const auto make = [&] { make_plan(c.graph, kMean, kStd, options); };
  expect_error(Code::kUnsupported, "isa avx2", make);
  options.isa = "portable";
  options.strassen = Strassen::kOn;
  expect_error(Code::kUnsupported, "portable_bf16: it has no Strassen products", make);
  options.strassen = Strassen::kTwo;
  EXPECT_EQ(make_plan(c.graph, kMean, kStd, options)->products.at(0),
            "plain: portable_bf16 has no Strassen products");
  options.strassen = Strassen::kAuto;
  options.isa = "";
  options.onednn = OneDnn::kOn;
  const bool built = !onednn::version().empty();
  if (onednn::support(kBf16) == onednn::Support::kNone) {
    expect_error(Code::kUnsupported, built ? "bf16 needs AVX-512" : "not part of this build", make);
  }
  options.precision = PrecisionOption::kInt8;
  if (onednn::support(kInt8) == onednn::Support::kNone) {
    expect_error(Code::kUnsupported, built ? "int8 needs AVX512_VNNI" : "not part of this build",
                 make);
  }
  options.onednn = OneDnn::kAuto;
  options.isa = "portable";
  expect_error(Code::kFormat, "expected scales of 1 blocks, found 0", make);
}

TEST(Precision, LargePatchesOfInt8AreRefused) {
  const Case c({8, 1, 3, 65, 65, 65}, 1);
  const Quantization scales = calibrated(c, 1);
  expect_error(Code::kUnsupported,
               "stem: our int8 takes patches of up to 64×64 pixels, found 65×65",
               [&] { plan_of(c, "portable", kInt8, scales); });
}

// Whatever the weights are, sums stay within int32 and weights within half a step.
TEST(Precision, PatchWeightsKeepSumsWithinInt32) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const std::pair<const char*, std::function<float(Random&, int)>> kinds[] = {
      {"equal", [](Random&, int) { return -0.7f; }},
      {"alternating", [](Random&, int i) { return i % 2 == 0 ? 1.5f : -0.5f; }},
      {"uniform", [](Random& r, int) { return r.uniform(-1, 1); }},
      {"spread", [](Random& r, int) { return std::exp(r.uniform(-40, 40)); }},
      {"one", [](Random&, int i) { return i == 5 ? 2.0f : 0.0f; }},
      {"denormal", [](Random& r, int) { return r.uniform(-1e-39f, 1e-39f); }},
      {"huge", [](Random& r, int) { return r.uniform(-3e38f, 3e38f); }},
      {"zero", [](Random&, int) { return 0.0f; }},
      {"infinite", [=](Random& r, int i) { return i % 7 == 0 ? kInf : r.uniform(-1, 1); }},
      {"nan", [=](Random& r, int i) { return i % 7 == 0 ? kInf - kInf : r.uniform(-1, 1); }}};
  for (const auto& [name, value] : kinds) {
    for (const int patch : {1, 2, 7, 64}) {
      for (const int most : {255, kMostPatchValue}) {
        SCOPED_TRACE(fmt::format("{}, {}×{}, {}", name, patch, patch, most));
        Random random(7);
        const int columns = 3 * patch * patch;
        std::vector<float> weights;
        for (int i = 0; i < 2 * columns; ++i) weights.push_back(value(random, i));
        Node node;
        node.oc = 2;
        node.weights = Weights::own(weights);
        const PatchWeights got = patch_weights(node, most);
        for (int o = 0; o < 2; ++o) {
          double sum = 0, worst = 0, size = 0;
          const double scale = got.scale[static_cast<std::size_t>(o)];
          for (int i = o * columns; i < (o + 1) * columns; ++i) {
            const double w = weights[static_cast<std::size_t>(i)],
                         q = got.int16s[static_cast<std::size_t>(i)];
            sum += std::abs(q) * most;
            worst = std::max(worst, std::abs(q * scale - (std::isfinite(w) ? w : 0)));
            size = std::max(size, std::isfinite(w) ? std::abs(w) : 0);
          }
          EXPECT_LE(sum, 2147483647);
          EXPECT_LE(worst, 0.5001 * scale);
          // 0.9 of one of the two limits is used, where floats can say what is left.
          if (size > 1e-30) {
            EXPECT_TRUE(sum > 0.9 * 2147483647 || size > 0.9 * 32767 * scale || patch == 64);
          }
        }
      }
    }
  }
}

TEST(Precision, FourTimesTheLargestPixelIsNotCut) {
  const Case c({8, 1, 3, 2, 8, 8}, 1);
  const auto most_input = [&](const std::array<double, 3>& mean, const std::array<double, 3>& std) {
    return make_plan(c.graph, mean, std, {})->most_input;
  };
  EXPECT_FLOAT_EQ(most_input({0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}), 4 * 0.594f / 0.225f);
  EXPECT_FLOAT_EQ(most_input({0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}), 4);
  EXPECT_FLOAT_EQ(most_input({0, 0, 0.9}, {1, 1, 0.1}), 36);
  EXPECT_FLOAT_EQ(most_input({0, 0, 0}, {1e-310, 1, 1}), 1e30f);
  EXPECT_FLOAT_EQ(most_input({1e300, 0, 0}, {1, 1, 1}), 1e30f);
  EXPECT_FLOAT_EQ(most_input({0, 0, 0}, {1e300, 1e300, 1e300}), 1e-30f);
}

// Floats of another normalisation are refused when they are shown to a calibration, before any is
// added.
TEST(Calibration, RefusesInputThatInt8WouldCut) {
  Case c({20, 1, 3, 2, 8, 8}, 2);
  PlanOptions options;
  options.observed = true;
  const auto plan = make_plan(c.graph, kMean, kStd, options);
  Calibrator calibrator(plan, 1);
  c.images.floats.back() = 1.01f * plan->most_input;
  expect_error(Code::kInvalidArgument, "four times the largest of any pixel",
               [&] { calibrator.add(c.images.floats.data(), 2); });
  expect_error(Code::kInvalidArgument, "at least one image",
               [&] { calibrator.choose(Clipping::kMinMax); });
  c.images.floats.back() = -0.99f * plan->most_input;
  calibrator.add(c.images.floats.data(), 2);
  calibrator.choose(Clipping::kMinMax);
}

TEST(Precision, ScalesOutOfRangeAreRefused) {
  const Case c({20, 2, 3, 2, 8, 8}, 2);
  const Quantization good = calibrated(c, 2);
  check_quantization(good, 20, 2);
  const auto expect_refused = [&](const std::string& part, auto change) {
    Quantization q = good;
    change(q);
    expect_error(Code::kFormat, part, [&] { check_quantization(q, 20, 2); });
  };
  expect_refused("stem: channel 3: expected a positive scale, found 0",
                 [](Quantization& q) { q.stem.scale[3] = 0; });
  expect_refused("blocks.1.depthwise: channel 0: expected a positive scale", [](Quantization& q) {
    q.depthwise[1].scale[0] = std::numeric_limits<float>::quiet_NaN();
  });
  expect_refused("expected a zero point of 0, 1, … 255, found 256",
                 [](Quantization& q) { q.pointwise[0].zero_point[19] = 256; });
  expect_refused("found 1.5", [](Quantization& q) { q.pointwise[0].zero_point[19] = 1.5f; });
  expect_refused("expected 20 scales", [](Quantization& q) { q.stem.scale.pop_back(); });
  expect_refused("expected scales of 2 blocks, found 1",
                 [](Quantization& q) { q.pointwise.pop_back(); });
  Quantization tiny = good;
  tiny.stem.scale[7] = 1e-40f;
  expect_error(Code::kFormat, "stem: channel 7: its int8 scales are too small",
               [&] { plan_of(c, "portable", kInt8, tiny); });
}

// Half and a quarter, but for depthwise layers, whose 81 taps need 90 words of bf16 and 108 of
// bytes, and int8's patch embeddings, of two bytes a weight, and classifier, which is fp32.
TEST(Precision, WeightsTakeLessMemory) {
  const Case c({512, 4, 9, 4, 16, 16}, 1);
  PlanOptions options;
  options.isa = "portable";
  options.onednn = OneDnn::kOff;
  const auto bytes = [&] {
    return static_cast<double>(make_plan(c.graph, kMean, kStd, options)->weight_bytes);
  };
  const double fp32 = bytes();
  options.precision = PrecisionOption::kBf16;
  EXPECT_LT(bytes(), 0.60 * fp32);
  options.precision = PrecisionOption::kInt8;
  options.quantization = calibrated(c, 1);
  EXPECT_LT(bytes(), 0.47 * fp32);
}

TEST(Calibration, NeedsFiniteActivationsAndAnImage) {
  Case c({20, 1, 3, 2, 8, 8}, 1);
  PlanOptions options;
  options.observed = true;
  Calibrator calibrator(make_plan(c.graph, kMean, kStd, options), 1);
  expect_error(Code::kInvalidArgument, "at least one image",
               [&] { calibrator.choose(Clipping::kMinMax); });
  c.images.floats[5] = std::numeric_limits<float>::infinity();
  expect_error(Code::kInvalidArgument, "stem has NaN or infinite activations",
               [&] { calibrator.add(c.images.floats.data(), 1); });
}

// Against the values themselves: minimum and maximum, and an error no search over many other ranges
// improves by more than the bins' width explains.
TEST(Calibration, RangesAreTheLeastSquares) {
  Random random(3);
  for (const float skew : {0.0f, 0.7f, 4.0f}) {
    Histogram histogram;
    std::vector<float> values;
    for (int i = 0; i < 20000; ++i) {
      float v = 0;
      for (int k = 0; k < 12; ++k) v += random.uniform(-0.5f, 0.5f);
      if (i % 1000 == 0) v *= 6;  // outliers
      values.push_back(v > 0 ? v * (1 + skew) : v);
      histogram.add(values.back());
    }
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    const Histogram::Range all = histogram.range(Clipping::kMinMax);
    EXPECT_EQ(all.low, *least);
    EXPECT_EQ(all.high, *most);
    const auto error = [&](double low, double high) {
      const double step = (high - low) / 255;
      double sum = 0;
      for (const float v : values) {
        const double q = std::clamp(std::nearbyint((v - low) / step), 0.0, 255.0) * step + low;
        sum += (v - q) * (v - q);
      }
      return sum;
    };
    const Histogram::Range best = histogram.range(Clipping::kMeanSquaredError);
    double least_error = error(best.low, best.high);
    for (int i = 1; i <= 20; ++i) {
      for (int k = 1; k <= 20; ++k) {
        EXPECT_GT(error(*least * i / 20.0, *most * k / 20.0), 0.9 * least_error);
      }
    }
    EXPECT_LE(least_error, error(all.low, all.high));
  }
}

// n zeros and one value v = 255.5 bins: an upper end e costs (n + 1) · (e / 255)² / 12 of rounding
// and (v − e)² of cutting, least at e = v / (1 + (n + 1) / (12 · 255²)). For n = 20000 that is
// 249.1 bins, and the nearest edge is the 249th.
TEST(Calibration, RoundingWeighsATwelfthOfTheSquaredStep) {
  constexpr float kWidth = 0x1p-16f;  // of a bin, at first
  Histogram histogram;
  for (int i = 0; i < 20000; ++i) histogram.add(0);
  histogram.add(255.5f * kWidth);
  const Histogram::Range best = histogram.range(Clipping::kMeanSquaredError);
  EXPECT_EQ(best.low, 0);
  EXPECT_EQ(best.high / double{kWidth}, 249);
}

TEST(Calibration, HistogramsWidenBothWays) {
  Histogram histogram;
  for (const float v : {1e-6f, -1e-6f, 3.0f, -700.0f, 0.0f, 1e30f, -1e-30f}) histogram.add(v);
  const Histogram::Range all = histogram.range(Clipping::kMinMax);
  EXPECT_EQ(all.low, -700.0f);
  EXPECT_EQ(all.high, 1e30f);
  const Histogram::Range empty = Histogram().range(Clipping::kMeanSquaredError);
  EXPECT_EQ(empty.low, 0);
  EXPECT_EQ(empty.high, 0);
}

}  // namespace

void add_precision_tests() {
  constexpr Activation kRelu = Activation::kRelu;
  const ModelShape shapes[] = {
      {3, 2, 5, 3, 16, 13},         {16, 2, 4, 2, 17, 12, kRelu}, {33, 2, 7, 3, 14, 25},
      {8, 2, 11, 4, 9, 12},         {24, 1, 8, 2, 4, 4},          {48, 2, 1, 7, 31, 20},
      {64, 4, 5, 4, 32, 32, kRelu}, {40, 1, 10, 1, 3, 2},         {17, 4, 9, 2, 21, 21},
      {130, 2, 3, 2, 12, 70},       {5, 2, 3, 16, 16, 100},       {33, 0, 3, 4, 12, 12},
      {24, 1, 3, 1, 3, 200},        {4, 1, 3, 64, 64, 128},       {20, 1, 3, 1, 4, 129},
      {20, 2, 5, 1, 5, 146},        {20, 2, 17, 2, 24, 20},       {18, 1, 19, 2, 28, 23},
      {40, 1, 9, 1, 40, 61}};
  for (const Precision precision : {kBf16, kInt8}) {
    for (const Variant& v : variants(precision)) {
      const std::string refusal = v.table == nullptr ? v.name + ": " + v.refusal : "";
      for (const ModelShape& shape : shapes) {
        register_test("precision/" + v.name, shape.text(), refusal,
                      [=] { check_model(v.isa, v.name, precision, shape); });
      }
    }
    const std::string name = precision_name(precision);
    std::string refusal = engine_variants().back().refusal;  // oneDNN's
    if (refusal.empty() && onednn::support(precision) == onednn::Support::kNone) {
      refusal = "oneDNN has no " + name + " on this CPU";
    }
    for (const ModelShape& shape : shapes) {
      register_test("precision/onednn_" + name, shape.text(), refusal,
                    [=] { check_model("onednn", "onednn", precision, shape); });
    }
    if (precision == kInt8) {
      register_test("precision/onednn_int8", "dead_channel", refusal, [] { check_dead_channel(); });
    }
  }
  for (const ModelShape& shape :
       {ModelShape{40, 3, 5, 3, 21, 26}, ModelShape{33, 2, 4, 2, 15, 14},
        ModelShape{64, 2, 9, 4, 40, 36, kRelu}, ModelShape{24, 1, 3, 16, 48, 50},
        ModelShape{17, 1, 3, 64, 64, 64}}) {
    register_test("precision/int8_agrees", shape.text(), "", [=] { check_int8_agrees(shape); });
  }
  // Even rows; odd ones, with a group of one pixel at their ends; one strip; long rows; strips of
  // 200 pixels, which are more than the patch embedding takes at once; a last strip that is
  // shorter.
  for (const ModelShape& shape :
       {ModelShape{64, 2, 9, 2, 32, 32}, ModelShape{96, 2, 4, 3, 36, 51},
        ModelShape{32, 1, 3, 1, 8, 7}, ModelShape{64, 1, 3, 1, 6, 66},
        ModelShape{768, 1, 5, 1, 24, 25, kRelu}, ModelShape{768, 2, 9, 2, 40, 32}}) {
    register_test("precision/int8_strassen", shape.text(), "", [=] { check_int8_strassen(shape); });
  }
}

}  // namespace convmixer::test
