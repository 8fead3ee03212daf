// SPDX-License-Identifier: Apache-2.0
// The same fused operators as oneDNN primitives with post-ops. oneDNN 2.6 and later, 3.x; or none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace convmixer::onednn {

// "2.6.3", or "" where this build has no oneDNN.
std::string version();

// What oneDNN computes a precision with on this CPU. Its bytes without VNNI instructions are kNone:
// sums of two products saturate there.
enum class Support { kNone, kEmulated, kInstructions, kTiles };  // kTiles: AMX
Support support(Precision precision);

// y = scale · act(unscale · conv(x) + bias) + shift; if (residual) y += src_scale · x. Weights in
// plain order: [oc][ic][k][k], or [oc][k][k] for depthwise. The vectors hold oc floats, or are
// null: scales for 1, bias and shift for 0. kBf16: x, y and weights are rounded to bf16. kInt8: x
// and y are unsigned bytes, weights int8_weights; the border holds src_zero_point, ic whole
// numbers. A patch embedding (src_plain) has float operands and bytes as results, a classifier
// (dst_plain) is all floats.
struct Convolution {
  std::string name;  // for messages
  int ic, oc, h, w;  // of the source
  int kernel_size, stride, pad_begin, pad_end;
  bool depthwise = false, residual = false;
  bool src_plain = false, dst_plain = false;  // NCHW floats; else as Program::layout
  KernelActivation activation = kActIdentity;
  const float* weights = nullptr;
  const std::int8_t* int8_weights = nullptr;
  const float *unscale = nullptr, *bias = nullptr, *scale = nullptr, *shift = nullptr,
              *src_scale = nullptr, *src_zero_point = nullptr;
};

// What a convolution may be: any of oneDNN's, or none of its reference code, which is many times
// slower than portable's. The mean and the classifier, which are small, may be it always.
enum class Implementations { kAny, kNoReference };

// A chain of operators for one image, with its weights reordered. Never changed once it is built;
// any number of Instances may run it at once.
class Program {
 public:
  Program(Precision precision, Implementations implementations);
  ~Program();
  // Each throws Error(kUnsupported) with the operator's name and oneDNN's reason.
  // `raw_weights` and `raw_bias`, for the first one only, serve sources that are not normalised.
  void add_convolution(const Convolution& c, const float* raw_weights = nullptr,
                       const float* raw_bias = nullptr);
  // scale · mean + shift over all pixels, in floats, NCHW; scale and shift: c floats, or null.
  void add_mean(int c, int h, int w, const float* scale = nullptr, const float* shift = nullptr);

  Precision precision() const;
  std::size_t weight_bytes() const;
  // oneDNN's own name, "jit:avx2", for what the i-th call added.
  const std::string& implementation(std::size_t i) const;
  const std::string& layout() const;  // of the activations: "nChw8c", "nhwc"
  // Whether an Instance made here would have these implementations too. For another number of
  // threads oneDNN may choose another one, which rounds otherwise, or have none but a slow one for
  // weights in this order (seen: bf16 on 3 threads).
  bool fits() const;

 private:
  friend class Instance;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Primitives made for the number of threads that OpenMP would use in the calling thread, the
// buffers between them, and one scratchpad. The Program must outlive it. Runs one image at a time,
// so that an image's bits cannot depend on its batch.
class Instance {
 public:
  explicit Instance(const Program& program);
  ~Instance();
  std::size_t bytes() const;
  // src: one image, (c, h, w); raw: with the raw weights. dst: the last operator's result; mean:
  // the result of add_mean, or null. Must run with the same number of OpenMP threads.
  void run(const float* src, bool raw, float* dst, float* mean);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace convmixer::onednn
