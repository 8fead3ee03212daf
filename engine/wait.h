// SPDX-License-Identifier: Apache-2.0
// Waiting for what other threads count.
#pragma once

#include <atomic>
#include <chrono>

namespace convmixer {

// Returns once ready(value). Spins for about as long as a task of a small layer takes, then sleeps
// from one change, of which notify_all() tells, to the next. (Spinning for milliseconds, as
// OpenMP's barriers do, is no loss on an idle machine; where another process has one of the cores,
// it burns the time slice that the missing thread is waiting for.)
template <typename T, typename F>
void wait_until(const std::atomic<T>& value, F ready) {
  if (ready(value.load(std::memory_order_acquire))) return;
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::microseconds kSpin(100);
  const auto end = Clock::now() + kSpin;
  for (;;) {
    T now;
    do {
      for (int i = 0; i < 64; ++i) {
        now = value.load(std::memory_order_acquire);
        if (ready(now)) return;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
      }
    } while (Clock::now() < end);
    value.wait(now, std::memory_order_acquire);
  }
}
template <typename T>
void wait_for_change(const std::atomic<T>& value, T old) {
  wait_until(value, [old](T now) { return now != old; });
}
inline void wait_for_count(const std::atomic<int>& value, int count) {
  wait_until(value, [count](int now) { return now >= count; });
}

inline void add_to_count(std::atomic<int>& value, int more) {
  value.fetch_add(more, std::memory_order_release);
  value.notify_all();
}

}  // namespace convmixer
