// SPDX-License-Identifier: Apache-2.0
// Fetching what comes next while something else is computed. The hardware's prefetchers follow a
// stream once it runs; strips and tiles begin a new one every few thousand cycles.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

constexpr int kLineFloats = 16;  // 64 bytes

// A run of memory, fetched into L2 `lines` cache lines at a time.
struct Prefetch {
  const float* at;
  int lines;
  void step() {
    for (int i = 0; i < lines; ++i, at += kLineFloats) prefetch(at);
  }
};

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
