// SPDX-License-Identifier: Apache-2.0
// Fetching what comes next while something else is computed. The hardware's prefetchers follow a
// stream once it runs; strips and tiles begin a new one every few thousand cycles.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

constexpr int kLineFloats = 16;  // 64 bytes

// A run of `left` cache lines, fetched into L2 evenly over a number of steps.
struct Prefetch {
  const float* at;
  int left, a_step;
  Prefetch(const float* from, int lines, int steps)
      : at(from), left(lines), a_step((lines + steps - 1) / steps) {}
  void step() {
    const int lines = a_step < left ? a_step : left;
    left -= lines;
    for (int i = 0; i < lines; ++i, at += kLineFloats) prefetch(at);
  }
};

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
