// SPDX-License-Identifier: Apache-2.0
// What runs the chunks of a Session: for a plan of ours (native_runner.cpp) or of oneDNN's
// (onednn_runner.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/plan.h"

namespace convmixer {

class Observer;

class Runner {
 public:
  virtual ~Runner() = default;
  // As Session::run, of 1 … chunk_size() images; features are what the mean gives.
  virtual void run(const float* src, int n, float* logits, float* features) = 0;
  virtual void run(const std::uint8_t* src, int n, float* logits, float* features) = 0;
  virtual double measure_fma_peak() = 0;
  virtual int chunk_size() const = 0;
  virtual std::size_t arena_bytes() const = 0;
};

// The plan and the observer (or null) outlive the runner; chunk_size 0: the runner chooses.
std::unique_ptr<Runner> make_native_runner(const Plan& plan, int threads, int chunk_size,
                                           Observer* observer);
std::unique_ptr<Runner> make_onednn_runner(const Plan& plan, int threads, int chunk_size);

}  // namespace convmixer
