// SPDX-License-Identifier: Apache-2.0
#include "engine/peak.h"

#include <algorithm>
#include <atomic>

namespace convmixer {
namespace {

using Clock = std::chrono::steady_clock;

// Some 10 µs, so that threads stop at nearly the same time.
constexpr long kMultiplyAdds = 4000;

// The calling thread's, from `begin` until a round's time has passed. Since all threads count from
// the same `begin`, threads that share a core do not count its time twice.
double flops_per_second(const KernelTable& table, Clock::time_point begin,
                        std::chrono::microseconds time) {
  double flops = 0;
  Clock::time_point now;
  do {
    float sink = 0;
    flops += table.fma_peak(kMultiplyAdds, &sink);
    now = Clock::now();
  } while (now - begin < time);
  return flops / std::chrono::duration<double>(now - begin).count();
}

}  // namespace

double measure_fma_peak(const KernelTable& table, Workers& workers, PeakRounds rounds) {
  double best = 0;
  for (int round = 0; round < rounds.count; ++round) {
    std::atomic<double> sum{0};
    const Clock::time_point begin = Clock::now();
    workers.run([&](int) { sum += flops_per_second(table, begin, rounds.time); });
    best = std::max(best, sum.load());
  }
  return best;
}

}  // namespace convmixer
