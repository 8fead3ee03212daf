// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "cli/clock.h"

namespace convmixer::cli {

// One line on stderr, where that is a terminal: bar, images, rate, time left, what came of them so
// far.
class ProgressBar {
 public:
  // `total` images, of which `before` were done by an earlier run.
  ProgressBar(std::uint64_t total, std::uint64_t before);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(std::uint64_t done, const std::string& so_far) const;
  void clear() const;  // for other text on stderr

 private:
  std::uint64_t total_, before_;
  bool shown_;
  Clock::time_point begin_ = Clock::now();
};

}  // namespace convmixer::cli
