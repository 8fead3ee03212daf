// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

#include "cli/tally.h"

namespace convmixer::cli {

// One line on stderr, where that is a terminal: bar, images, rate, accuracy so far, time left.
class ProgressBar {
 public:
  // `total` images, of which `before` were done by an earlier run.
  ProgressBar(std::uint64_t total, std::uint64_t before);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void show(std::uint64_t done, const Tally& tally) const;
  void clear() const;  // for other text on stderr

 private:
  std::uint64_t total_, before_;
  bool shown_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace convmixer::cli
