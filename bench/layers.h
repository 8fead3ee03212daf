// SPDX-License-Identifier: Apache-2.0
// One model's layers on one variant, with operands of their own, as the executor runs them on one
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/shapes.h"
#include "engine/calls.h"
#include "engine/layout.h"
#include "engine/plan.h"
#include "kernels/onednn.h"

namespace convmixer::bench {

// Of one image: floating-point operations, without padding and activations, and the bytes of the
// operands, each read or written once. What a cache keeps or loads twice is not in them.
struct Work {
  double flops, bytes;
};

// A fused graph of the preset's shape with two blocks and random weights.
Graph random_graph(const Preset& preset);

class Layers {
 public:
  Layers(const Preset& preset, const KernelTable& table, Strassen strassen = Strassen::kOff);

  // Each runs a layer over one image, strip by strip. `weights` is pointwise_weights() or a copy.
  void pointwise(const float* weights);
  void depthwise();
  void patch_embed(bool u8);
  void head();  // mean over pixels, classifier

  // "" or what is wrong: a part of the layer's result against the oracle.
  std::string check_pointwise();
  std::string check_depthwise();
  std::string check_patch_embed(bool u8);
  std::string check_head();

  const Buffer<float>& pointwise_weights() const { return block().pointwise.weights; }
  Work pointwise_work() const;
  Work depthwise_work() const;
  Work patch_embed_work(bool u8) const;
  Work head_work() const;

 private:
  const NativeBlock& block() const { return plan_->native->blocks[0]; }
  PointwiseParams product(const PackedPointwise& w, int first_row, int rows);
  DepthwiseParams convolution(int channel_block, int first_row, int rows);
  void patches(bool u8, int first_row, int rows);
  int rows_at(int first_row) const;
  // A channel's pixel as a real, whatever the precision: in a panel; in planes, from pixel (0, 0).
  float panel_value(const float* panel, std::ptrdiff_t block_stride, int c, int pixel) const;
  float plane_value(const float* first_pixel, int c, int pixel) const;

  const KernelTable& table_;
  Graph graph_;  // after the passes
  std::shared_ptr<const Plan> plan_;
  PlaneLayout layout_;
  int rows_;  // of a strip
  Buffer<float> panel_, scratch_, src_, dst_, image_, means_, logits_;
  std::vector<std::uint8_t> bytes_;
  std::vector<std::int32_t> offset_;
};

// One operator of the preset as a oneDNN primitive, in the blocked layout between layers.
class OneDnnLayer {
 public:
  OneDnnLayer(const Preset& preset, bool depthwise);  // else pointwise
  void run();
  std::string check();
  Work work() const { return work_; }

 private:
  Graph graph_;
  const Node* node_;
  int side_, lanes_ = 0;
  Work work_;
  onednn::Program program_{kFp32};
  std::unique_ptr<onednn::Instance> instance_;
  Buffer<float> src_, dst_;
};

}  // namespace convmixer::bench
