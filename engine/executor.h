// SPDX-License-Identifier: Apache-2.0
// Runs a Plan.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/plan.h"
#include "engine/threads.h"

namespace convmixer {

class Runner;

// `pixels` pixels, from `first_pixel` on, of image `image` of a chunk, of channel blocks
// first_block … end_block − 1 of an activation tensor: 0 is the patch embedding's, 2 i + 1 and 2 i
// + 2 those behind block i's depthwise part (residual added) and its pointwise part.
struct Activations {
  int tensor, image, first_pixel, pixels, first_block, end_block;
  const float* values;
  std::ptrdiff_t block_stride;
  const std::int32_t* offset;  // null: lanes · p

  // The channels of pixel first_pixel + p in a block.
  const float* at(int block, int p, int lanes) const {
    return values + block * block_stride + (offset != nullptr ? offset[p] : p * lanes);
  }
};

// Sees the activations of an fp32 plan of ours made with PlanOptions::observed, whose panels are
// the activations.
class Observer {
 public:
  virtual ~Observer() = default;
  // Called by all of the session's threads at once; each value of a run is shown once, all channels
  // of a tensor behind a depthwise part together.
  virtual void see(const Activations& seen) = 0;
};

// The arena of one caller. Not for two threads at once (capi/ guards that).
class Session {
 public:
  // threads ≥ 1; chunk_size ≥ 0, where 0 lets the cache sizes decide. Allocates all that runs need.
  // An observer, which is not owned, sees every run.
  Session(std::shared_ptr<const Plan> plan, int threads, int chunk_size,
          Observer* observer = nullptr);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // src (n, 3, h, w) normalised; logits (n, num_classes); features (n, dim) or null.
  void run(const float* src, std::size_t n, float* logits, float* features);
  // src (n, h, w, 3) raw RGB bytes.
  void run(const std::uint8_t* src, std::size_t n, float* logits, float* features);
  // Runs allocate nothing (oneDNN aside), and cannot fail, except after fork(): the child's first
  // run starts threads, since the parent's did not come along, and that can be refused.

  // FLOP/s of multiply-adds on the session's threads (engine/peak.h): of the plan's variant, or of
  // the best that can run here where the plan is oneDNN's.
  double measure_fma_peak();

  int threads() const { return threads_; }
  int chunk_size() const;
  std::size_t arena_bytes() const;

 private:
  template <typename T>
  void run_chunks(const T* src, std::size_t n, float* logits, float* features);
  void finish_features(std::size_t n, float* features) const;

  const std::shared_ptr<const Plan> plan_;
  const std::unique_ptr<Runner> runner_;
  const int threads_;
};

}  // namespace convmixer
