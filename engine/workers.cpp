// SPDX-License-Identifier: Apache-2.0
#include "engine/workers.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <exception>
#include <thread>
#include <vector>

#include "engine/wait.h"
#include "support/error.h"
#include "support/signals.h"

namespace convmixer {

struct Workers::Crew {
  explicit Crew(int count) {
    threads.reserve(static_cast<std::size_t>(count - 1));
    try {
      const SignalsBlocked guard;
      for (int i = 1; i < count; ++i) threads.emplace_back([this, i] { work(i); });
    } catch (const std::exception& e) {
      const std::size_t started = threads.size() + 1;
      stop();
      throw Error(Code::kOutOfMemory,
                  fmt::format("threads: expected to start {}, the system allowed {}: {}", count,
                              started, e.what()));
    }
  }
  ~Crew() { stop(); }

  void stop() {
    call = nullptr;
    next_run();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }

  void next_run() {
    run.fetch_add(1, std::memory_order_release);
    run.notify_all();
  }

  void work(int member) {
    for (unsigned seen = 0;; ++seen) {
      wait_for_change(run, seen);
      if (call == nullptr) return;
      call(context, member);
      if (busy.fetch_sub(1, std::memory_order_acq_rel) == 1) busy.notify_one();
    }
  }

  const pid_t process = ::getpid();
  std::vector<std::thread> threads;
  Call call = nullptr;  // null: end. Read between a new number of the run and the end of it.
  const void* context = nullptr;
  alignas(64) std::atomic<unsigned> run{0};  // counts runs
  alignas(64) std::atomic<int> busy{0};      // threads that have not ended the run
};

Workers::Workers(int threads) : threads_(threads), crew_(std::make_unique<Crew>(threads)) {}

Workers::~Workers() {
  // After fork() there are no threads to join, and their handles cannot be destroyed.
  if (crew_->process != ::getpid()) static_cast<void>(crew_.release());
}

void Workers::run(Call call, const void* context) {
  if (crew_->process != ::getpid()) {
    auto crew = std::make_unique<Crew>(threads_);
    static_cast<void>(crew_.release());
    crew_ = std::move(crew);
  }
  Crew& crew = *crew_;
  crew.call = call;
  crew.context = context;
  crew.busy.store(threads_ - 1, std::memory_order_relaxed);
  crew.next_run();
  call(context, 0);
  for (int busy = crew.busy.load(std::memory_order_acquire); busy != 0;
       busy = crew.busy.load(std::memory_order_acquire)) {
    wait_for_change(crew.busy, busy);
  }
}

}  // namespace convmixer
