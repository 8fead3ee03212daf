// SPDX-License-Identifier: Apache-2.0
// The variants of the kernels, best first. Never included by an instruction set's object.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace convmixer {

struct Variant {
  std::string name;          // "avx512", "avx2", "portable"
  const KernelTable* table;  // null where it cannot run here
  std::string refusal;       // why, or ""
};

// Every variant the project has, best first, those of other builds and CPUs with the reason.
std::vector<Variant> variants();

// Those that can run, best first: the one list that tests, benchmarks and plans walk.
std::vector<const KernelTable*> available_tables();

// The automatic choice is limited by the environment variable CONVMIXER_ISA: "" where it is unset
// or empty, else its value. Throws Error(kInvalidArgument) for a name that is no variant's.
std::string isa_limit();

// "portable, avx2, avx512": for messages.
std::string variant_names();

}  // namespace convmixer
