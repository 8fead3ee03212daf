// SPDX-License-Identifier: Apache-2.0
// Watches a network at work and chooses the scales of its activations, and the weights that go with
// them, for int8.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/executor.h"
#include "engine/graph.h"
#include "engine/scales.h"
#include "engine/team.h"

namespace convmixer {

// The range of values that get bytes of their own; those beyond become its ends.
enum class Clipping {
  // The least mean squared error over what was seen: of rounding inside, of cutting beyond.
  kMeanSquaredError,
  kMinMax,  // everything that was seen
};

// What was seen of one channel: how often, by value, in bins of equal width around 0. The width
// doubles when a value lies beyond, pairs of bins becoming one.
class Histogram {
 public:
  static constexpr int kBins = 512;  // an even number: 0 is an edge

  void add(float value);  // finite
  bool empty() const { return count_ == 0; }
  // An interval around 0 that holds the values, all or the best part of them. Bytes become whole
  // multiples of its 255th part, of which 0 is one.
  struct Range {
    double low, high;
  };
  Range range(Clipping clipping) const;

 private:
  void widen();
  Range least_squares() const;
  std::array<std::uint32_t, kBins> bins_{};
  float width_ = 0x1p-16f, inverse_width_ = 0x1p16f;  // of a bin
  float low_ = 0, high_ = 0;
  std::uint64_t count_ = 0;
};

class Calibrator {
 public:
  // An fp32 plan of ours made with PlanOptions::observed.
  Calibrator(std::shared_ptr<const Plan> plan, int threads);
  ~Calibrator();

  // As Session::run, whose results are not kept. Throws Error(kInvalidArgument) where an activation
  // is NaN or infinite, naming its layer, from then on each time; and, before any of the images is
  // added, where int8 would cut a float (Plan::most_input): one that was normalised by other means.
  void add(const float* src, std::size_t n);
  void add(const std::uint8_t* src, std::size_t n);

  // Scales alone. Throws Error(kInvalidArgument) where no image was added, or an activation was not
  // finite.
  Quantization choose(Clipping clipping) const;

  // Quantization::pointwise_weights, rounded with regard to each other over what was seen of the
  // layers' inputs: of at most kSampledPixels of each image, evenly spread. `graph` is the plan's,
  // fused and folded, `quantization` is choose()'s. Takes time in proportion to dim³ a layer,
  // and 12 · dim² bytes for each thread.
  std::vector<ByteWeights> round_pointwise(const Graph& graph, const Quantization& quantization);
  static constexpr int kSampledPixels = 64;

 private:
  class Statistics;
  template <typename T>
  void add_images(const T* src, std::size_t n);
  std::shared_ptr<const Plan> plan_;
  std::unique_ptr<Statistics> statistics_;
  Session session_;
  Team team_;
  std::vector<float> logits_;
};

}  // namespace convmixer
