// SPDX-License-Identifier: Apache-2.0
// Graph + choice of implementation → Plan: packed weights and how each layer runs. Belongs to the
// model, is never changed after it is made, and may be used by any number of sessions.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "engine/graph.h"
#include "engine/packing.h"
#include "engine/scales.h"
#include "kernels/cpu.h"
#include "kernels/onednn.h"

namespace convmixer {

enum class OneDnn { kAuto, kOn, kOff };
// Pointwise products by Strassen's algorithm: one level where it wins (engine/strassen.h), one
// level everywhere or an error, nowhere, two levels where they win and else as kAuto.
enum class Strassen { kAuto, kOn, kOff, kTwo };

// What blocks are computed in (kernels/kernels.h). kAuto: bf16 where it is faster, else fp32
// (engine/candidates.h).
enum class PrecisionOption { kFp32, kBf16, kInt8, kAuto };

struct PlanOptions {
  std::string isa;  // "portable", "avx2", "avx512", "amx"; empty: the best available
  OneDnn onednn = OneDnn::kAuto;
  Strassen strassen = Strassen::kAuto;
  // kAuto is kOff: Strassen's weights take 7 / 4 of the plain ones. A session's chunks, unless it
  // is told their size, are as small as its threads allow, and its panels too (engine/split.h).
  bool low_memory = false;
  bool observed = false;  // by an Observer: our kernels, plain products, panels of floats
  PrecisionOption precision = PrecisionOption::kFp32;
  Quantization quantization{};  // kInt8 only
};

struct Geometry {
  int image_h, image_w;  // pixels of the input
  int patch_size;
  int h, w;  // pixels of every layer: image / patch_size, floor
  int dim, num_classes;
  int kernel_size;  // of every depthwise layer

  // Of one image as it comes: 3 · image_h · image_w.
  std::size_t image_values() const {
    return 3 * static_cast<std::size_t>(image_h) * static_cast<std::size_t>(image_w);
  }
};

// Throws Error(kInvalidArgument) where an image is not of 3 channels and a patch or more.
Geometry geometry_of(const Graph& graph);

struct NativeBlock {
  PackedDepthwise depthwise;
  PackedPointwise pointwise;
};

// Our own kernels. A block is one step: strips of pixel rows, depthwise straight into the panel of
// the pointwise product, see native_runner.cpp.
struct NativePlan {
  const KernelTable* table = nullptr;
  const KernelTable* head_table = nullptr;       // the same instruction set's of fp32, for `head`
  PackedPointwise patch_embed, patch_embed_raw;  // normalised floats; raw bytes
  int strip_rows = 0;    // of every strip where a block may be a Strassen product; 0: free
  int strip_pixels = 0;  // where the rows are free: most_strip_pixels (engine/split.h)
  bool low_memory = false;
  std::size_t l2_bytes = cache_sizes().l2;  // that strips and panels are made for
  std::vector<NativeBlock> blocks;
  Buffer<float> mean_scale, mean_shift;  // where blocks are bytes: [c_blk][lanes]
  PackedPointwise head;
};

// What runs a layer, and why not something else.
struct LayerChoice {
  std::string layer, shape, implementation;
};

// Either `native` or `onednn` is set: the two keep activations in different layouts, and no
// automatic choice would mix them.
struct Plan {
  Geometry geometry;
  float most_input;  // int8 cuts normalised floats to ±so much: four times the largest of any pixel
  Affine features;   // mean → pooled features; empty: identity
  std::unique_ptr<NativePlan> native;
  std::unique_ptr<onednn::Program> onednn;
  std::vector<LayerChoice> layers;
  std::vector<std::string> products;  // of native blocks: "Strassen", "Strassen, two levels", fewer
                                      // levels and the reason ("plain: …"), or what pieces are
  std::vector<std::string> refusals;  // of better candidates: "avx512: this CPU or system lacks …"
  std::vector<std::string> non_finite;  // layers with NaN or infinite values
  std::size_t weight_bytes = 0;         // packed
  std::size_t num_macs = 0;             // of one image
  float patch_scale() const { return kMostPatchValue / most_input; }  // PatchParams::scale
  int strassen_levels() const;                                        // of the block that has most
  const char* implementation() const;  // the table's name ("avx512_bf16") or "onednn": static
  Precision precision() const;
};

// Packs the weights of `graph` (as models/ builds it, before any pass) for images of graph.h ×
// graph.w. `mean` and `std` normalise raw bytes. Throws Error: kInvalidArgument for an unknown isa,
// kUnsupported for one this CPU or build lacks (each with the list of the valid ones) and for
// oneDNN or Strassen's algorithm where it is asked for and cannot run a layer, kLimit for an image
// whose planes int32 offsets cannot reach, and what check_quantization throws. A graph for which
// has_int8_weights needs precision int8.
std::shared_ptr<const Plan> make_plan(const Graph& graph, const std::array<double, 3>& mean,
                                      const std::array<double, 3>& std, const PlanOptions& options);

// A line a layer: shapes, implementation, why better ones were refused; then memory, and layers
// whose weights hold a NaN or an infinity. Ends with a newline.
std::string describe_plan(const Plan& plan);

}  // namespace convmixer
