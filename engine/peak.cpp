// SPDX-License-Identifier: Apache-2.0
#include "engine/peak.h"

#include <algorithm>
#include <chrono>

#include "engine/openmp.h"
#include "kernels/registry.h"

namespace convmixer {
namespace {

using Clock = std::chrono::steady_clock;

// Enough that one is not disturbed from outside, and the first wake the vector units up.
constexpr int kRounds = 8;
constexpr std::chrono::milliseconds kRoundTime(10);
// Some 10 µs, so that threads stop at nearly the same time.
constexpr long kMultiplyAdds = 4000;

// The calling thread's, from `begin` until a round's time has passed. Since all threads count from
// the same `begin`, threads that share a core do not count its time twice.
double flops_per_second(const KernelTable& table, Clock::time_point begin) {
  double flops = 0;
  Clock::time_point now;
  do {
    float sink = 0;
    flops += table.fma_peak(kMultiplyAdds, &sink);
    now = Clock::now();
  } while (now - begin < kRoundTime);
  return flops / std::chrono::duration<double>(now - begin).count();
}

}  // namespace

double measure_fma_peak(const KernelTable& table, int threads) {
  double best = 0;
  run_after_fork_too([&] {
    Clock::time_point begin;
    double sum = 0;
#pragma omp parallel num_threads(threads)
    for (int round = 0; round < kRounds; ++round) {
#pragma omp single
      {
        sum = 0;
        begin = Clock::now();
      }
      const double mine = flops_per_second(table, begin);
#pragma omp atomic
      sum += mine;
#pragma omp barrier
#pragma omp single
      best = std::max(best, sum);
    }
  });
  return best;
}

double measure_fma_peak(const Plan& plan, int threads) {
  return measure_fma_peak(plan.native ? *plan.native->table : *available_tables().front(), threads);
}

}  // namespace convmixer
