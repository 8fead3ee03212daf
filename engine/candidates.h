// SPDX-License-Identifier: Apache-2.0
// Which variants may run a plan, and why not the others.
#pragma once

#include <string>
#include <vector>

#include "engine/plan.h"

namespace convmixer {

struct Candidate {
  std::string name;
  const KernelTable* table = nullptr;  // null for oneDNN
  const KernelTable* fp32 = nullptr;   // the best up to its isa whose panels hold floats
  std::string refusal;                 // of every layer; "" if it may run
};

struct Choice {
  // What is asked for; of kAuto bf16 where a variant of it can run and is faster than fp32, and
  // nothing is asked for that fp32's would have and bf16 has not (Strassen products, isa portable),
  // else fp32.
  Precision precision;
  std::vector<std::string> not_bf16;  // why kAuto is not bf16, a line a variant
  // Best first, at least one without a refusal. oneDNN stands before portable, since it has code
  // for CPUs that we have none for, and in bf16 and int8 where the CPU has AMX behind our amx.
  std::vector<Candidate> candidates;
};

// Throws as make_plan does.
Choice choose_variants(const PlanOptions& options, const Geometry& geometry);

// Why floats in pieces, amx's in fp32, would gain nothing, or "".
std::string doubt_pieces(const Geometry& geometry);

// Why oneDNN has no primitives of a precision here that are worth asking for; "" where it has.
std::string lacks_onednn(Precision precision, bool emulated_too = false);

}  // namespace convmixer
