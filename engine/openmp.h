// SPDX-License-Identifier: Apache-2.0
// What is peculiar about OpenMP's threads, which are oneDNN's. Inside engine/ only.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <exception>
#include <system_error>
#include <thread>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "engine/workers.h"
#include "support/error.h"
#include "support/signals.h"

namespace convmixer {

// OpenMP's threads do not survive fork(), and a parallel region started by the thread that had them
// would wait for them forever. A new thread gets a team of its own, so a child runs in one.
// Throws Error(kOutOfMemory) where the system refuses it.
inline const pid_t kLoadedIn = ::getpid();

template <typename F>
void run_after_fork_too(F f) {
  if (::getpid() == kLoadedIn) return f();
  std::exception_ptr error;
  std::thread thread;
  try {
    const SignalsBlocked guard;
    thread = std::thread([&] {
      try {
        f();
      } catch (...) {
        error = std::current_exception();
      }
    });
  } catch (const std::system_error& e) {
    throw Error(Code::kOutOfMemory, fmt::format("thread: the system refused one: {}", e.what()));
  }
  thread.join();
  if (error) std::rethrow_exception(error);
}

// OpenMP ends the process where the system refuses a thread, so others are started first, and end:
// throws Error(kOutOfMemory). What the process starts later may still be too much.
inline void check_threads(int threads) { const Workers tried(threads); }

#ifdef _OPENMP
// The number of threads that oneDNN finds, for the calling thread only.
class OmpThreads {
 public:
  explicit OmpThreads(int threads) : before_(omp_get_max_threads()) {
    omp_set_num_threads(threads);
  }
  ~OmpThreads() { omp_set_num_threads(before_); }

 private:
  int before_;
};
#else
// Without OpenMP there is no oneDNN either (ThreadSanitizer cannot see into its runtime).
struct OmpThreads {
  explicit OmpThreads(int) {}
};
#endif

}  // namespace convmixer
