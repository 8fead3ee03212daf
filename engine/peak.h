// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/workers.h"
#include "kernels/kernels.h"

namespace convmixer {

// FLOP/s of the table's multiply-adds on all threads at once, the best of a few rounds of 10 ms
// each: what percentages refer to. Works after fork(), where starting a thread can be refused.
double measure_fma_peak(const KernelTable& table, Workers& workers);

}  // namespace convmixer
