// SPDX-License-Identifier: Apache-2.0
// The rounding of int8's pointwise weights, against naive sums in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <utility>
#include <vector>

#include "engine/calibrator.h"
#include "engine/joint_rounding.h"
#include "engine/passes.h"
#include "tests/engine_tests.h"

namespace convmixer::test {
namespace {

// Samples of `dim` values that go together: each a mixture of a few common ones, of unequal sizes.
std::vector<float> mixtures(Random& random, int dim, int count) {
  constexpr int kSources = 5;
  std::vector<float> mixing(static_cast<std::size_t>(dim * kSources));
  for (float& m : mixing) m = random.uniform(-1, 1);
  std::vector<float> samples;
  for (int s = 0; s < count; ++s) {
    float sources[kSources];
    for (float& v : sources) v = random.uniform(-1, 1) + 0.3f;
    for (int i = 0; i < dim; ++i) {
      float v = random.uniform(-0.2f, 0.2f);
      for (int k = 0; k < kSources; ++k) {
        v += mixing[static_cast<std::size_t>(i * kSources + k)] * sources[k];
      }
      samples.push_back(v * static_cast<float>(1 + i % 7));
    }
  }
  return samples;
}

SecondMoments moments_of(const std::vector<float>& samples, int dim) {
  SecondMoments moments(dim);
  const auto row_size = static_cast<std::size_t>(moments.row_size());
  const std::size_t count = samples.size() / static_cast<std::size_t>(dim);
  std::vector<float> rows(count * row_size);
  for (std::size_t s = 0; s < count; ++s) {
    std::copy_n(&samples[s * static_cast<std::size_t>(dim)], dim, &rows[s * row_size]);
  }
  const auto first = static_cast<int>(count / 3);
  moments.add(rows.data(), first);
  moments.add(rows.data() + static_cast<std::size_t>(first) * row_size,
              static_cast<int>(count) - first);
  return moments;
}

TEST(SecondMoments, AreSumsOfProducts) {
  Random random(5);
  for (const int dim : {1, 3, 8, 21}) {
    const std::vector<float> samples = mixtures(random, dim, 50);
    const SecondMoments moments = moments_of(samples, dim);
    ASSERT_EQ(moments.dim(), dim);
    for (int i = 0; i < dim; ++i) {
      for (int j = 0; j < dim; ++j) {
        double sum = 0, size = 0;
        for (std::size_t s = 0; s < samples.size(); s += static_cast<std::size_t>(dim)) {
          const double product = static_cast<double>(samples[s + static_cast<std::size_t>(i)]) *
                                 samples[s + static_cast<std::size_t>(j)];
          sum += product;
          size += std::abs(product);
        }
        EXPECT_NEAR(moments.at(i, j), sum, 1e-5 * size) << i << ", " << j << " of " << dim;
      }
    }
  }
}

// Σ over samples of ((v − q)·x)², x = sample / scale.
double error(const std::vector<float>& samples, const std::vector<float>& scale, const float* v,
             const std::int8_t* q) {
  const std::size_t dim = scale.size();
  double sum = 0;
  for (std::size_t s = 0; s < samples.size(); s += dim) {
    double product = 0;
    for (std::size_t i = 0; i < dim; ++i) product += (v[i] - q[i]) * samples[s + i] / scale[i];
    sum += product * product;
  }
  return sum;
}

std::vector<std::int8_t> nearest(const std::vector<float>& values, float most) {
  std::vector<std::int8_t> integers;
  for (const float v : values) {
    integers.push_back(static_cast<std::int8_t>(std::clamp(std::nearbyint(v), -most, most)));
  }
  return integers;
}

// Over samples that were seen and over others alike.
TEST(JointRounding, ChangesTheResultsLess) {
  for (const int dim : {2, 16, 37}) {
    Random random(11);
    std::vector<float> samples = mixtures(random, dim, 600), scale;
    const std::vector<float> others(samples.begin() + 400 * dim, samples.end());
    samples.resize(static_cast<std::size_t>(400 * dim));
    for (int i = 0; i < dim; ++i) scale.push_back(0.01f * random.uniform(0.5f, 2));
    constexpr int kRows = 19;  // not a whole number of what is done side by side
    std::vector<float> values;
    for (int i = 0; i < kRows * dim; ++i) values.push_back(random.uniform(-127, 127));
    const JointRounding rounding(moments_of(samples, dim), scale);
    std::vector<std::int8_t> integers;
    rounding.round(values, 127, integers);
    ASSERT_EQ(integers.size(), values.size());
    const std::vector<std::int8_t> naive = nearest(values, 127);
    double joint = 0, each = 0, joint_others = 0, each_others = 0;
    for (int row = 0; row < kRows; ++row) {
      const int at = row * dim;
      joint += error(samples, scale, &values[at], &integers[at]);
      each += error(samples, scale, &values[at], &naive[at]);
      joint_others += error(others, scale, &values[at], &integers[at]);
      each_others += error(others, scale, &values[at], &naive[at]);
    }
    const double less = dim == 2 ? 0.95 : 0.5;
    EXPECT_LT(joint, less * each) << dim;
    EXPECT_LT(joint_others, less * each_others) << dim;
  }
}

TEST(JointRounding, KeepsToTheRange) {
  Random random(2);
  const int dim = 24;
  std::vector<float> values(dim * 40);
  for (float& v : values) v = random.uniform(-7, 7);
  std::vector<std::int8_t> integers;
  JointRounding(moments_of(mixtures(random, dim, 100), dim), std::vector<float>(dim, 1.0f))
      .round(values, 7, integers);
  for (const std::int8_t q : integers) EXPECT_LE(std::abs(q), 7);
  EXPECT_NE(integers, nearest(values, 7));
}

// Inputs that have nothing to do with each other, and moments of which nothing can be learned.
TEST(JointRounding, RoundsEachForItselfWhereNothingElseIsKnown) {
  constexpr int kDim = 9;
  Random random(4);
  std::vector<float> values;
  for (int i = 0; i < 5 * kDim; ++i) values.push_back(random.uniform(-130, 130));
  std::vector<float> apart(kDim * kDim);
  for (std::size_t i = 0; i < kDim; ++i) apart[i * (kDim + 1)] = static_cast<float>(1 + i);
  const std::vector<float> silent(kDim), huge(kDim, 1e30f), one(kDim, 1.0f),
      tiny(kDim, std::numeric_limits<float>::min());
  for (const auto& [samples, scale] :
       {std::pair{apart, one}, {silent, one}, {huge, one}, {huge, tiny}, {{}, one}}) {
    std::vector<std::int8_t> integers;
    JointRounding(moments_of(samples, kDim), scale).round(values, 127, integers);
    EXPECT_EQ(integers, nearest(values, 127));
  }
}

std::vector<ByteWeights> rounded(const Graph& graph, const Images& images, int threads,
                                 std::size_t n, std::size_t at_once) {
  PlanOptions options;
  options.observed = true;
  Calibrator calibrator(make_plan(graph, Images::kMean, Images::kStd, options), threads);
  const std::size_t image = images.floats.size() / n;
  for (std::size_t i = 0; i < n; i += at_once) {
    calibrator.add(images.floats.data() + i * image, std::min(at_once, n - i));
  }
  return calibrator.round_pointwise(fold_batchnorm(fuse(graph)),
                                    calibrator.choose(Clipping::kMeanSquaredError));
}

// More pixels than are sampled, and fewer.
TEST(Calibration, RoundsAlikeForAnyThreadsAndCalls) {
  for (const ModelShape& shape : {ModelShape{20, 3, 3, 2, 22, 26}, ModelShape{33, 2, 5, 4, 12, 13},
                                  ModelShape{8, 0, 3, 2, 8, 8}}) {
    Random random(6);
    const Graph graph = random_graph(shape, random);
    const Images images(shape, 7, random);
    const std::vector<ByteWeights> want = rounded(graph, images, 1, 7, 7);
    EXPECT_EQ(want.size(), static_cast<std::size_t>(shape.depth));
    for (const auto& [threads, at_once] : {std::pair{1, 1}, {2, 3}, {3, 7}, {5, 2}}) {
      const std::vector<ByteWeights> got = rounded(graph, images, threads, 7, at_once);
      ASSERT_EQ(got.size(), want.size());
      for (std::size_t i = 0; i < want.size(); ++i) {
        EXPECT_EQ(got[i].scale, want[i].scale);
        ASSERT_EQ(got[i].int8s.size, want[i].int8s.size);
        EXPECT_TRUE(std::equal(got[i].int8s.int8s, got[i].int8s.int8s + got[i].int8s.size,
                               want[i].int8s.int8s))
            << threads << " threads, layer " << i;
      }
    }
  }
}

}  // namespace
}  // namespace convmixer::test
