// SPDX-License-Identifier: Apache-2.0
#include "engine/system.h"

#include <fmt/format.h>

#include "engine/threads.h"
#include "kernels/cpu.h"
#include "kernels/onednn.h"
#include "kernels/registry.h"
#include "support/error.h"

namespace convmixer {
namespace {

// "version 2.6.3 for fp32, bf16 (emulated), int8"
std::string describe_onednn() {
  if (onednn::version().empty()) return "not part of this build";
  std::string text = "version " + onednn::version() + " for ";
  for (const Precision p : {kFp32, kBf16, kInt8}) {
    const onednn::Support support = onednn::support(p);
    if (support == onednn::Support::kNone) continue;
    if (p != kFp32) text += ", ";
    text += precision_name(p);
    if (support == onednn::Support::kEmulated) text += " (emulated)";
    if (support == onednn::Support::kTiles) text += " (AMX)";
  }
  return text;
}

}  // namespace

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
  return text + fmt::format("variant onednn: {}\n", describe_onednn());
}

}  // namespace convmixer
