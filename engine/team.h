// SPDX-License-Identifier: Apache-2.0
// How the threads of one run share tasks and wait for each other.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace convmixer {

// Returns once the value is another than `old`. Spins for about as long as a task of a small layer
// takes, then sleeps. (Spinning for milliseconds, as OpenMP's barriers do, is no loss on an idle
// machine; where another process has one of the cores, each of a network's many barriers then burns
// the time slice that the missing thread is waiting for: 170 ms an image of the bundled model on
// two busy cores instead of 40.)
template <typename T>
void spin_then_wait(const std::atomic<T>& value, T old) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::microseconds kSpin(100);
  const auto end = Clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  } while (Clock::now() < end);
  value.wait(old, std::memory_order_acquire);
}

// Returns once the value is `count` or more.
inline void wait_for_count(const std::atomic<int>& value, int count) {
  for (int now = value.load(std::memory_order_acquire); now < count;
       now = value.load(std::memory_order_acquire)) {
    spin_then_wait(value, now);
  }
}

class Team {
 public:
  explicit Team(int threads) : threads_(threads), shares_(static_cast<std::size_t>(threads)) {}

  // To be called by every thread of a run, in the same order as the others: each task is run once.
  // A thread takes its share of consecutive tasks, whose results are in its caches if it had the
  // same share of the layer before, then what others have left, and returns when there is none:
  // others may still run theirs. `f` must not throw, and may wait for tasks of earlier calls, all
  // of which some thread has taken by then.
  template <typename F>
  void take_tasks(int member, int count, F f) {
    const std::uint32_t call = ++shares_[static_cast<std::size_t>(member)].calls;
    for (int i = 0; i < threads_; ++i) {
      const int owner = (member + i) % threads_;
      const int begin = share_begin(owner, count), size = share_begin(owner + 1, count) - begin;
      for (int task; (task = take(shares_[static_cast<std::size_t>(owner)], call, size)) >= 0;) {
        f(begin + task);
      }
    }
  }

  // The same, and all have ended when any call returns.
  template <typename F>
  void run_tasks(int member, int count, F f) {
    take_tasks(member, count, f);
    wait();
  }

  // Until every thread has called it.
  void wait() {
    const unsigned round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      arrived_.store(0, std::memory_order_relaxed);  // everybody is here, so nobody adds to it
      round_.store(round + 1, std::memory_order_release);
      round_.notify_all();
      return;
    }
    spin_then_wait(round_, round);
  }

 private:
  struct alignas(64) Share {
    std::atomic<std::uint64_t> taken{0};  // the call, and how many of its tasks
    std::uint32_t calls = 0;              // of the thread itself
  };

  int share_begin(int member, int count) const {
    return static_cast<int>(static_cast<long>(count) * member / threads_);
  }

  // The next task of a share, or −1. Who takes from it in a later call has found nothing more of
  // this one.
  static int take(Share& share, std::uint32_t call, int size) {
    std::uint64_t seen = share.taken.load(std::memory_order_relaxed);
    for (;;) {
      const auto ahead = static_cast<std::int32_t>(static_cast<std::uint32_t>(seen >> 32) - call);
      const int taken = ahead == 0 ? static_cast<int>(seen & 0xFFFFFFFF) : 0;
      if (ahead > 0 || taken >= size) return -1;
      const std::uint64_t next =
          (static_cast<std::uint64_t>(call) << 32) | static_cast<std::uint64_t>(taken + 1);
      if (share.taken.compare_exchange_weak(seen, next, std::memory_order_relaxed)) return taken;
    }
  }

  const int threads_;
  std::vector<Share> shares_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> round_{0};
};

}  // namespace convmixer
