// SPDX-License-Identifier: Apache-2.0
// The threads of runs, how they share tasks and wait for each other.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/wait.h"
#include "engine/workers.h"

namespace convmixer {

class Team {
 public:
  // Throws what Workers does.
  explicit Team(int threads)
      : threads_(threads), workers_(threads), shares_(static_cast<std::size_t>(threads)) {}

  Workers& workers() { return workers_; }

  // Calls f(member) once on each thread, as Workers::run does. The functions below are for f.
  template <typename F>
  void run(const F& f) {
    for (Share& share : shares_) {
      share.taken.store(0, std::memory_order_relaxed);
      share.calls = 0;
    }
    arrived_.store(0, std::memory_order_relaxed);  // it is, but after a fork() during a run
    workers_.run(f);
  }

  // To be called by every thread of a run, in the same order as the others: each task is run once.
  // A thread takes its share of consecutive tasks, whose results are in its caches if it had the
  // same share of the layer before, then what others have left, and returns when there is none:
  // others may still run theirs. `f` must not throw, and may wait for tasks of earlier calls, all
  // of which some thread has taken by then.
  // Every second share is taken from its end, so that of neighbours both take the tasks beside each
  // other first, or both last: a thread whose tasks need a neighbour's of the call before may be
  // nearly a whole share ahead of it.
  template <typename F>
  void take_tasks(int member, int count, F f) {
    const std::uint32_t call = ++shares_[static_cast<std::size_t>(member)].calls;
    for (int i = 0; i < threads_; ++i) {
      const int owner = (member + i) % threads_;
      const int begin = share_begin(owner, count), size = share_begin(owner + 1, count) - begin;
      for (int task; (task = take(shares_[static_cast<std::size_t>(owner)], call, size)) >= 0;) {
        f(owner % 2 == 0 ? begin + task : begin + size - 1 - task);
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
      round_.fetch_add(1, std::memory_order_acq_rel);
      round_.notify_all();
      return;
    }
    wait_for_change(round_, round);
  }

 private:
  struct alignas(64) Share {
    std::atomic<std::uint64_t> taken{0};  // the call, and how many of its tasks
    std::uint32_t calls = 0;              // of the thread itself, in this run
  };

  int share_begin(int member, int count) const {
    return static_cast<int>(static_cast<long>(count) * member / threads_);
  }

  // The next task of a share, or −1. Who takes from it in a later call has found nothing more of
  // this one.
  static int take(Share& share, std::uint32_t call, int size) {
    std::uint64_t seen = share.taken.load(std::memory_order_relaxed);
    for (;;) {
      const std::uint64_t first = static_cast<std::uint64_t>(call) << 32;
      const std::uint64_t next = std::max(seen, first);
      if (next - first >= static_cast<std::uint64_t>(size)) return -1;
      if (share.taken.compare_exchange_weak(seen, next + 1, std::memory_order_relaxed)) {
        return static_cast<int>(next - first);
      }
    }
  }

  const int threads_;
  Workers workers_;
  std::vector<Share> shares_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> round_{0};
};

}  // namespace convmixer
