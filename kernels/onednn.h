// SPDX-License-Identifier: Apache-2.0
// The same fused operators as oneDNN primitives with post-ops. oneDNN 2.6 and later, 3.x; or none.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace convmixer::onednn {

// "2.6.3", or "" where this build has no oneDNN.
std::string version();

// y = scale · act(conv(x) + bias) + shift; if (residual) y += x. Weights in plain order:
// [oc][ic][k][k], or [oc][k][k] for depthwise. bias, scale, shift: oc floats, or null for 0, 1, 0.
struct Convolution {
  std::string name;  // for messages
  int ic, oc, h, w;  // of the source
  int kernel_size, stride, pad_begin, pad_end;
  bool depthwise = false, residual = false;
  bool src_plain = false, dst_plain = false;  // NCHW; else the blocked layout that this CPU prefers
  KernelActivation activation = kActIdentity;
  const float *weights = nullptr, *bias = nullptr, *scale = nullptr, *shift = nullptr;
};

// A chain of operators for one image, with its weights reordered. Never changed once it is built;
// any number of Instances may run it at once.
class Program {
 public:
  Program();
  ~Program();
  // Each throws Error(kUnsupported) with the operator's name and oneDNN's reason.
  // `raw_weights` and `raw_bias`, for the first one only, serve sources that are not normalised.
  void add_convolution(const Convolution& c, const float* raw_weights = nullptr,
                       const float* raw_bias = nullptr);
  void add_mean(int c, int h, int w);  // over all pixels; its result is NCHW

  std::size_t weight_bytes() const;
  const std::string& implementation(std::size_t op) const;  // oneDNN's own name, "jit:avx2"
  const std::string& layout() const;                        // of the activations: "nChw8c"

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
