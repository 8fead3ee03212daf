// SPDX-License-Identifier: Apache-2.0
#include "tests/engine_variants.h"

#include "kernels/onednn.h"
#include "kernels/registry.h"

namespace convmixer::test {

PlanOptions EngineVariant::options() const {
  PlanOptions options;
  options.onednn = name == "onednn" ? OneDnn::kOn : OneDnn::kOff;
  if (name != "onednn") options.isa = name;
  return options;
}

std::vector<EngineVariant> engine_variants() {
  std::vector<EngineVariant> list;
  for (const Variant& v : variants()) list.push_back({v.name, v.refusal});
  list.push_back({"onednn", onednn::version().empty() ? "not part of this build" : ""});
  return list;
}

}  // namespace convmixer::test
