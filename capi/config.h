// SPDX-License-Identifier: Apache-2.0
// A caller's options → what models/ takes; a model's configuration → what a caller gets to see.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "capi/failure.h"
#include "convmixer.h"
#include "engine/graph.h"
#include "engine/plan.h"
#include "models/convmixer.h"

namespace convmixer {

// The one of `values`, in the order of the header's enum convmixer_NAME, that the caller's number
// means.
template <typename T>
T value_of(const char* name, int number, std::initializer_list<T> values) {
  if (number < 0 || number >= static_cast<int>(values.size())) {
    refuse(fmt::format("{0}: expected a convmixer_{0}, found {1}", name, number));
  }
  return values.begin()[number];
}

// Throw Error(kInvalidArgument) for what cannot be told from the default or from garbage;
// read_config looks at the rest.
ConfigOverrides overrides_of(const convmixer_model_options& options);
ConfigOverrides overrides_of(const convmixer_convert_options& options);

// What plans are made with; the quantization is left to the caller.
PlanOptions plan_options_of(const convmixer_model_options& options);

// 0: those of this process.
int threads_of(std::int32_t threads);

// What follows from the configuration alone; the rest is 0 and null.
convmixer_model_info info_of(const ModelConfig& config);

// Weights and biases, running statistics not counted.
std::uint64_t count_parameters(const std::vector<Node>& nodes);

}  // namespace convmixer
