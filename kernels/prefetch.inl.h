// SPDX-License-Identifier: Apache-2.0
// Fetching what comes next while something else is computed. The hardware's prefetchers follow a
// stream once it runs; strips and tiles begin a new one every few thousand cycles.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

constexpr uintptr_t kLineBytes = 64;

// A run of cache lines, fetched into L2 evenly over a number of steps. Each step fetches the lines
// of its own stretch of bytes and does nothing else, so that it takes few instructions: where there
// are more steps than lines, some fetch a line again. There is no end: rounding leads a few lines
// beyond the run, which is why `at` is a number and not a pointer. A loop keeps a copy in its
// registers.
struct Prefetch {
  uintptr_t at;
  uintptr_t a_step;  // in bytes
  int more;          // lines of a step beyond the first
  Prefetch(const float* from, int lines, int steps)
      : at(reinterpret_cast<uintptr_t>(from)),
        a_step((static_cast<uintptr_t>(lines) * kLineBytes + static_cast<uintptr_t>(steps) - 1) /
               static_cast<uintptr_t>(steps)),
        more(a_step > kLineBytes ? static_cast<int>((a_step - 1) / kLineBytes) : 0) {}
  void step() {
    prefetch(reinterpret_cast<const void*>(at));
    for (int i = 1; i <= more; ++i) {
      prefetch(reinterpret_cast<const void*>(at + static_cast<uintptr_t>(i) * kLineBytes));
    }
    at += a_step;
  }
};

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
