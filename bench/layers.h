// SPDX-License-Identifier: Apache-2.0
// One model's layers on one variant, with operands of their own, as the executor runs them on one
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/random_layers.h"
#include "cli/presets.h"
#include "engine/calls.h"
#include "engine/layout.h"
#include "engine/plan.h"
#include "engine/split.h"

namespace convmixer::bench {

// Of one image: floating-point operations, without padding and activations, and the bytes of the
// operands, each read or written once. What a cache keeps or loads twice is not in them.
struct Work {
  double flops, bytes;
};
// `size`: bytes of a weight and a value; src_size: of one of the image.
Work pointwise_work(const Geometry& g, double size);
Work depthwise_work(const Geometry& g, double size);
Work patch_embed_work(const Geometry& g, double src_size, double size);
Work head_work(const Geometry& g);

class Layers {
 public:
  Layers(const Preset& preset, const KernelTable& table, Strassen strassen = Strassen::kOff);

  // Each runs a layer over one image, strip by strip or panel by panel. `weights` is
  // pointwise_weights() or a copy.
  void pointwise(const float* weights);
  void depthwise();
  void patch_embed(bool u8);
  void head();  // mean over pixels, classifier

  // A part of the layer's result against the oracle: bench/checks.h.
  std::string check_pointwise();
  std::string check_depthwise();
  std::string check_patch_embed(bool u8);
  std::string check_head();

  const Buffer<float>& pointwise_weights() const { return block().pointwise.weights; }
  Work pointwise_work() const { return bench::pointwise_work(plan_->geometry, value_size()); }
  Work depthwise_work() const { return bench::depthwise_work(plan_->geometry, value_size()); }
  Work patch_embed_work(bool u8) const {
    return bench::patch_embed_work(plan_->geometry, u8 ? 1 : sizeof(float),
                                   4.0 / patch_per_word(table_));
  }
  Work head_work() const { return bench::head_work(plan_->geometry); }

 private:
  const NativeBlock& block() const { return plan_->native->blocks[0]; }
  PointwiseParams product(const PackedPointwise& w, int first_row, int rows);
  void convolve(int first_row, int rows);  // into the panel
  DepthwiseParams convolution(int channel_block, int first_row, int rows);
  void patches(bool u8, int first_row, int rows);
  // By Strassen's algorithm where the plan does, its panel made of the plain one.
  PointwiseParams multiply(const float* weights, int first_row);
  int rows_at(int first_row) const;
  int value_size() const { return 4 / table_.per_word; }  // bytes
  // A channel's pixel as a real, whatever the precision: in a panel; in planes, from pixel (0, 0).
  float panel_value(const float* panel, const PanelLayout& at, int c, int pixel) const;
  float plane_value(const float* first_pixel, int c, int pixel) const;

  const KernelTable& table_;
  Graph graph_;  // after the passes
  std::shared_ptr<const Plan> plan_;
  PlaneLayout layout_;
  Split split_;
  Buffer<float> panel_, strassen_panel_, sums_, src_, dst_, means_, logits_;
  Image image_;
  std::vector<std::int32_t> offset_;
};

}  // namespace convmixer::bench
