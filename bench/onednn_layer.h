// SPDX-License-Identifier: Apache-2.0
// One model's layer as oneDNN runs it in a plan: its primitives, and the conversions around them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "bench/layers.h"
#include "kernels/onednn.h"

namespace convmixer::bench {

class OneDnnLayer {
 public:
  // kPatchEmbed, of raw bytes where `u8`; kDepthwise, kPointwise or kHead.
  OneDnnLayer(const Preset& preset, Op op, Precision precision, bool u8);
  void run();           // over one image, on OpenMP's threads
  std::string check();  // a part of the result against the oracle: bench/checks.h
  Work work() const;

 private:
  // The index of a channel's pixel among the values between layers, and their bytes.
  std::size_t index(int c, int pixel) const;
  int value_size() const { return precision_ == kFp32 ? 4 : precision_ == kBf16 ? 2 : 1; }

  Graph graph_;  // after the passes
  Geometry geometry_{};
  Op op_;
  Precision precision_;
  bool u8_;
  onednn::Program program_;
  std::unique_ptr<onednn::Instance> instance_;
  int lanes_ = 0;  // channels that lie side by side
  Image image_;
  Buffer<float> src_, dst_;
};

}  // namespace convmixer::bench
