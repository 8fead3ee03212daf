// SPDX-License-Identifier: Apache-2.0
// The variants of the kernels, best first. Never included by an instruction set's object.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace convmixer {

struct Variant {
  std::string isa;           // "amx", "avx512", "avx2", "portable": what a user asks for
  std::string name;          // of the table: the same in fp32, else "amx_bf16", "avxvnni", …
  const KernelTable* table;  // null where it cannot run here
  std::string refusal;       // why, or ""
};

// The best instruction set that may be asked for, "" for any, and why none beyond it.
struct IsaLimit {
  std::string isa, reason;
};

// The one list of variants: every one the project has for a precision, best first, those of other
// builds and CPUs with the reason. In int8, avx2 has two. Those beyond `limit` are refused with its
// reason, and Linux is not asked for the use of AMX's registers for them: that has a lasting effect
// (kernels/cpu.h).
std::vector<Variant> variants(Precision precision = kFp32, const IsaLimit& limit = {});

// Those of them that can run: the list that tests and benchmarks walk.
std::vector<const KernelTable*> available_tables(Precision precision = kFp32);

// "fp32", "bf16", "int8".
const char* precision_name(Precision precision);

// The automatic choice is limited by the environment variable CONVMIXER_ISA: "" where it is unset
// or empty, else its value. Throws Error(kInvalidArgument) for a name that is not in isa_names().
std::string isa_limit();

// "portable, avx2, avx512, amx": for messages.
std::string isa_names();
// The place in that list, or −1.
int isa_rank(const std::string& isa);

}  // namespace convmixer
