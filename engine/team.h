// SPDX-License-Identifier: Apache-2.0
// How the threads of one run share tasks and wait for each other.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

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
  explicit Team(int threads) : threads_(threads), shares_(static_cast<std::size_t>(threads)) {}

  // To be called by every thread of a run: each task is run once, and all have ended when any call
  // returns. `f` must not throw. A thread takes its share of consecutive tasks, whose results are
  // in its caches if it had the same share of the layer before, then what others have left.
  template <typename F>
  void run_tasks(int member, int count, F f) {
    for (int i = 0; i < threads_; ++i) {
      const int owner = (member + i) % threads_;
      const int begin = share_begin(owner, count), end = share_begin(owner + 1, count);
      std::atomic<int>& taken = shares_[static_cast<std::size_t>(owner)].taken;
      for (int task = begin + taken.fetch_add(1, std::memory_order_relaxed); task < end;
           task = begin + taken.fetch_add(1, std::memory_order_relaxed)) {
        f(task);
      }
    }
    wait();
  }

 private:
  int share_begin(int member, int count) const {
    return static_cast<int>(static_cast<long>(count) * member / threads_);
  }

  void wait() {
    const unsigned round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      // Everybody is here, so nobody reads these.
      arrived_.store(0, std::memory_order_relaxed);
      for (Share& share : shares_) share.taken.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      round_.notify_all();
      return;
    }
    spin_then_wait(round_, round);
  }

  struct alignas(64) Share {
    std::atomic<int> taken{0};
  };
  const int threads_;
  std::vector<Share> shares_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> round_{0};
};

}  // namespace convmixer
