// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "engine/plan.h"

namespace convmixer::test {

// Every variant that a whole model can run on: those of kernels/registry.h, and oneDNN.
struct EngineVariant {
  std::string name, refusal;    // refusal: "" where it can run here
  PlanOptions options() const;  // that allow this variant only
};
std::vector<EngineVariant> engine_variants();

}  // namespace convmixer::test
