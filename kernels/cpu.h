// SPDX-License-Identifier: Apache-2.0
// What this CPU has. Compiled without instruction-set flags.
#pragma once

#include <cstddef>
#include <string>

namespace convmixer {

enum class Amx {
  kUsed,  // its registers are to be used: Linux is asked for them, for the process and for good;
          // from then on sigaltstack() wants room for them (11 KB)
  kKnown  // does the CPU have it? Linux is not asked
};

// Whether the CPU and the operating system's register state allow a variant's instructions; else
// the names of the missing features ("AVX512F AVX512BW"). Every feature its object is compiled for
// is checked.
std::string missing_features(const std::string& variant, Amx use = Amx::kUsed);

// Whether AVX512_BF16 makes no more products a second than fp32's multiply-adds: Intel's, of which
// a Granite Rapids starts one vdpbf16ps each second cycle, half of fp32's rate.
bool has_slow_bf16_vectors();

std::string cpu_name();  // as the CPU calls itself, or "unknown CPU"

struct CacheSizes {
  std::size_t l1d, l2, l3;  // bytes; typical values where the system does not tell
};
const CacheSizes& cache_sizes();  // asks the system once: cheap enough for a run

}  // namespace convmixer
