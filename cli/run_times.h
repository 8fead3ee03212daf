// SPDX-License-Identifier: Apache-2.0
// What stands for the times of several runs.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace convmixer::cli {

// Of at least one time, sorted.
inline double median(const std::vector<double>& times) {
  const std::size_t n = times.size();
  return (times[(n - 1) / 2] + times[n / 2]) / 2;
}

// The least of these times that 99 % of them do not exceed: of fewer than 100 runs the longest.
inline double p99(const std::vector<double>& times) {
  const double rank = std::ceil(0.99 * static_cast<double>(times.size()));
  return times[static_cast<std::size_t>(rank) - 1];
}

}  // namespace convmixer::cli
