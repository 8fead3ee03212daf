// SPDX-License-Identifier: Apache-2.0
#include "engine/system.h"

#include <fmt/format.h>

#include "engine/threads.h"
#include "kernels/cpu.h"
#include "kernels/onednn.h"
#include "kernels/registry.h"
#include "support/error.h"

namespace convmixer {

std::string describe_system() {
  const CacheSizes caches = cache_sizes();
  std::string text =
      fmt::format("cpu: {}\ncaches: L1d {} KiB, L2 {} KiB, L3 {} KiB\nthreads: {}\n", cpu_name(),
                  caches.l1d >> 10, caches.l2 >> 10, caches.l3 >> 10, default_threads());
  for (int p = 0; p < kPrecisionCount; ++p) {
    for (const Variant& v : variants(static_cast<Precision>(p))) {
      text += fmt::format("variant {}: {}\n", v.name, v.table != nullptr ? "available" : v.refusal);
    }
  }
  try {
    const std::string limit = isa_limit();
    if (!limit.empty()) text += fmt::format("CONVMIXER_ISA: {} at most\n", limit);
  } catch (const Error& e) {
    text += std::string(e.what()) + "\n";
  }
  const std::string onednn = onednn::version();
  text += fmt::format("variant onednn: {}\n",
                      onednn.empty() ? "not part of this build" : "version " + onednn);
  return text;
}

}  // namespace convmixer
