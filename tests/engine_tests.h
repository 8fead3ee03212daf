// SPDX-License-Identifier: Apache-2.0
// What the tests of whole models share: the variants, plans of random models, runs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/executor.h"
#include "engine/plan.h"
#include "tests/engine_variants.h"
#include "tests/random_model.h"

namespace convmixer::test {

// Largest error of a logit: of max |logit| for stored models; for random ones of max over classes
// of Σ|weight·mean| + |bias|, since a few classes can cancel to nothing.
constexpr double kModelLimit = 5e-6;

// A plan for one variant; expects that the plan is made of it.
std::shared_ptr<const Plan> plan_for(const EngineVariant& variant, const Graph& graph);

struct Run {
  std::vector<float> logits, features;
};
// n images of `src`, from the first one, in a session of its own. T: float or std::uint8_t.
template <typename T>
Run run(std::shared_ptr<const Plan> plan, int threads, int chunk_size, const T* src, int n);

// What a list of images gives: the same bits in each row of `classes` logits and `dim` features.
testing::AssertionResult same_runs(const Run& want, const Run& got);

// Adds the tests of each file, for every variant.
void add_model_tests(const EngineVariant& variant);
void add_session_tests(const EngineVariant& variant);
void add_strassen_tests(const EngineVariant& variant);
void add_precision_tests();

}  // namespace convmixer::test
