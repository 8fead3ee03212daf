// SPDX-License-Identifier: Apache-2.0
// Fetching what comes next while something else is computed. The hardware's prefetchers follow a
// stream once it runs; strips and tiles begin a new one every few thousand cycles.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

constexpr int kLineBytes = 64;

// A run of cache lines, fetched into L2 evenly over a number of steps: a whole number of lines
// each, or the same line again where there are more steps than lines, since that costs fewer
// instructions than to decide. A copy in a loop's registers goes back to where it came from.
struct Prefetch {
  const char* at;
  ptrdiff_t a_step;  // in bytes
  int more;          // lines of a step beyond the first
  Prefetch(const float* from, int lines, int steps)
      : at(reinterpret_cast<const char*>(from)),
        a_step(lines > steps ? (lines + steps - 1) / steps * kLineBytes
                             : static_cast<ptrdiff_t>(lines) * kLineBytes / steps),
        more(lines > steps ? (lines + steps - 1) / steps - 1 : 0) {}
  void step() {
    prefetch(at);
    for (int i = 1; i <= more; ++i) prefetch(at + i * kLineBytes);
    at += a_step;
  }
};

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
