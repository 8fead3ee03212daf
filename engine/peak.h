// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "engine/workers.h"
#include "kernels/kernels.h"

namespace convmixer {

// How long to measure: the best of some rounds.
struct PeakRounds {
  // Enough that one is not disturbed from outside, and the first wake the vector units up.
  int count = 8;
  std::chrono::microseconds time = std::chrono::milliseconds(10);  // each, at least
};

// FLOP/s of the table's multiply-adds on all threads at once: what percentages refer to. Works
// after fork(), where starting a thread can be refused.
double measure_fma_peak(const KernelTable& table, Workers& workers, PeakRounds rounds = {});

}  // namespace convmixer
