// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/plan.h"

namespace convmixer {

// FLOP/s of the table's multiply-adds on so many threads at once, the best of a few rounds of 10 ms
// each: what percentages refer to. threads ≥ 1; inside a caller's parallel region there may be
// fewer. Works after fork(), where starting a thread can be refused.
double measure_fma_peak(const KernelTable& table, int threads);

// Of the plan's variant; of the best that can run here where the plan is oneDNN's.
double measure_fma_peak(const Plan& plan, int threads);

}  // namespace convmixer
