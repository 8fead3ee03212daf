// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "support/error.h"

namespace convmixer {

// What a handle has for one thread at a time is this thread's as long as one of these lives. Throws
// Error(kBusy) with `sentence` where it is another's.
class Turn {
 public:
  Turn(std::atomic<bool>& busy, const char* sentence) : busy_(busy) {
    if (busy_.exchange(true, std::memory_order_acquire)) throw Error(Code::kBusy, sentence);
  }
  ~Turn() { busy_.store(false, std::memory_order_release); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  std::atomic<bool>& busy_;
};

}  // namespace convmixer
