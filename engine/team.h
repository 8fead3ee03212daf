// SPDX-License-Identifier: Apache-2.0
// How the threads of one run share tasks and wait for each other.
#pragma once

#include <atomic>

namespace convmixer {

// Returns once the value is another than `old`. Spins for about as long as a task of a small layer
// takes, then sleeps. (Spinning for milliseconds, as OpenMP's barriers do, is no loss on an idle
// machine; where another process has one of the cores, each of a network's many barriers then burns
// the time slice that the missing thread is waiting for: 170 ms an image of the bundled model on
// two busy cores instead of 40.)
template <typename T>
void spin_then_wait(const std::atomic<T>& value, T old) {
  constexpr int kSpins = 2000;
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  value.wait(old, std::memory_order_acquire);
}

class Team {
 public:
  // To be called by every thread of a run of `threads` threads: each task is run once, by
  // whoever is free, and all have ended when any call returns. `f` must not throw.
  template <typename F>
  void run_tasks(int threads, int count, F f) {
    for (int i = next_.fetch_add(1, std::memory_order_relaxed); i < count;
         i = next_.fetch_add(1, std::memory_order_relaxed)) {
      f(i);
    }
    wait(threads);
  }

 private:
  void wait(int threads) {
    const unsigned round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
      // Everybody is here, so nobody reads these two.
      arrived_.store(0, std::memory_order_relaxed);
      next_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      round_.notify_all();
      return;
    }
    spin_then_wait(round_, round);
  }

  alignas(64) std::atomic<int> next_{0};
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> round_{0};
};

}  // namespace convmixer
