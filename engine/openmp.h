// SPDX-License-Identifier: Apache-2.0
// What is peculiar about OpenMP's threads, which are oneDNN's. Inside engine/ only.
#pragma once

#include <unistd.h>

#include <exception>
#include <thread>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace convmixer {

// OpenMP's threads do not survive fork(), and a parallel region started by the thread that had them
// would wait for them forever. A new thread gets a team of its own, so a child runs in one.
inline const pid_t kLoadedIn = ::getpid();

template <typename F>
void run_after_fork_too(F f) {
  if (::getpid() == kLoadedIn) return f();
  std::exception_ptr error;
  std::thread thread([&] {
    try {
      f();
    } catch (...) {
      error = std::current_exception();
    }
  });
  thread.join();
  if (error) std::rethrow_exception(error);
}

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
