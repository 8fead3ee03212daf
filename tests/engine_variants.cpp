// SPDX-License-Identifier: Apache-2.0
#include "tests/engine_variants.h"

#include <utility>

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
  EngineVariant onednn{"onednn", onednn::version().empty() ? "not part of this build" : ""};
#ifdef __SANITIZE_THREAD__
  onednn.refusal = "ThreadSanitizer does not know the barriers of the OpenMP runtime it uses";
#endif
  list.push_back(std::move(onednn));
  return list;
}

}  // namespace convmixer::test
