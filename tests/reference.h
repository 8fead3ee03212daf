// SPDX-License-Identifier: Apache-2.0
// The oracle: naive NCHW in double. Shares no code with kernels/ and engine/ but the Graph's data
// structures, and is never shipped.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/graph.h"

namespace convmixer::reference {

// (n, c, h, w), row-major.
struct Tensor {
  int n = 0, c = 0, h = 0, w = 0;
  std::vector<double> v;

  Tensor() = default;
  Tensor(int n_, int c_, int h_, int w_)
      : n(n_), c(c_), h(h_), w(w_), v(static_cast<std::size_t>(n_) * c_ * h_ * w_) {}
  template <typename T>
  Tensor(int n_, int c_, int h_, int w_, const T* values) : Tensor(n_, c_, h_, w_) {
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<double>(values[i]);
  }
  std::size_t index(int in, int ic, int iy, int ix) const {
    return ((static_cast<std::size_t>(in) * c + ic) * h + iy) * w + ix;
  }
  double& at(int in, int ic, int iy, int ix) { return v[index(in, ic, iy, ix)]; }
  double at(int in, int ic, int iy, int ix) const { return v[index(in, ic, iy, ix)]; }
};

// What follows a sum: scale · act(bias + sum) + shift. Empty vectors stand for 0, 1 and 0.
struct Epilogue {
  Activation activation = Activation::kIdentity;
  std::vector<double> bias, scale, shift;
};

struct Result {
  Tensor y;
  // Σ|a·b| over all that y is made of, which its rounding errors are proportional to: |scale| ·
  // (|bias| + Σ|weight·x|) · the activation's steepest slope, + |shift| and |x| of the residual.
  Tensor sum;
  // |scale| · max(1, |x|) with x the argument of GELU, else 0: what an approximation's error scales
  // with.
  Tensor gelu;
};

double gelu(double x);  // the exact erf form
// The limits of the kernels' errors, multiples of max(1, x), in fp32, bf16 and int8. Measured over
// all exponents and densely where it curves: 1.8e-7 (avx2), 1.9e-7 (portable, whose multiply-adds
// round twice); 2.9e-5; 1.67e-4, from x = −3.9 down.
constexpr double kGeluLimits[] = {2.5e-7, 3e-5, 1.7e-4};
double activate(Activation activation, double x);

// Convolution, kernel and stride p, no padding; weights [oc][c][p][p].
Result patch_embed(const Tensor& src, int oc, int p, const float* weights,
                   const Epilogue& epilogue);
// k×k, (k − 1) / 2 zeros before and k / 2 behind; weights [c][k][k].
Result depthwise(const Tensor& src, int k, const float* weights, const Epilogue& epilogue,
                 bool residual);
Result pointwise(const Tensor& src, int oc, const float* weights, const Epilogue& epilogue);
Result mean(const Tensor& src);  // (n, c, 1, 1)

struct Output {
  std::vector<double> logits, features;  // (n, classes), (n, dim)
  double largest = 0;                    // max |logit|
  // The largest Σ|w·mean| + |bias| of a class: unlike a logit, it cannot cancel to nothing.
  double size = 0;
};

// Any graph, fused and folded or not.
Output evaluate(const Graph& graph, const Tensor& src);

}  // namespace convmixer::reference
