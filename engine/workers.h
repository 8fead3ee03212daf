// SPDX-License-Identifier: Apache-2.0
// The threads of one session. Not OpenMP's: those spin for milliseconds after each parallel region,
// on cores that decoding beside the network could use (1.07 to 1.6 times the CPU time), only the
// environment can tell them not to, and they do not survive fork().
#pragma once

#include <memory>

namespace convmixer {

class Workers {
 public:
  // Starts threads − 1 threads, which sleep between runs with signals blocked (support/signals.h).
  // Throws Error(kOutOfMemory) where the system refuses.
  explicit Workers(int threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // Calls f(member) once on each thread, member 0 on the caller's, and returns when all have ended.
  // `f` must not throw. Allocates nothing, and cannot fail, except after fork(): the threads did
  // not come along, and the child's first run starts others.
  template <typename F>
  void run(const F& f) {
    run([](const void* context, int member) { (*static_cast<const F*>(context))(member); }, &f);
  }

 private:
  using Call = void (*)(const void* context, int member);
  void run(Call call, const void* context);

  struct Crew;
  const int threads_;
  std::unique_ptr<Crew> crew_;
};

}  // namespace convmixer
