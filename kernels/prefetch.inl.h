// SPDX-License-Identifier: Apache-2.0
// Fetching what comes next while something else is computed. The hardware's prefetchers follow a
// stream once it runs; strips and tiles begin a new one every few thousand cycles.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

constexpr int kLineFloats = 16;  // 64 bytes

// A run of cache lines, fetched into L2 evenly over a number of steps, and up to a step's lines
// behind its end.
struct Prefetch {
  const float *at, *end;
  int a_step;
  Prefetch(const float* from, int lines, int steps)
      : at(from),
        end(from + static_cast<ptrdiff_t>(lines) * kLineFloats),
        a_step((lines + steps - 1) / steps) {}
  void step() {
    if (at >= end) return;
    for (int i = 0; i < a_step; ++i, at += kLineFloats) prefetch(at);
  }
};

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
