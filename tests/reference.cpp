// SPDX-License-Identifier: Apache-2.0
#include "tests/reference.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace convmixer::reference {
namespace {

// The steepest slope of gelu: at √2 its derivative Φ(x) + x·φ(x) has its maximum, 1.1289.
double slope(Activation activation) { return activation == Activation::kGelu ? 1.129 : 1.0; }

double value_or(const std::vector<double>& values, int i, double otherwise) {
  return values.empty() ? otherwise : values[static_cast<std::size_t>(i)];
}

// Turns the plain sums in y, and Σ|a·b| in sum, into the operator's result.
void finish(const Epilogue& epilogue, const Tensor* residual, Result& r) {
  Tensor& y = r.y;
  r.gelu = Tensor(y.n, y.c, y.h, y.w);
  const std::size_t pixels = static_cast<std::size_t>(y.h) * y.w;
  for (std::size_t i = 0; i < y.v.size(); ++i) {
    const int c = static_cast<int>(i / pixels % static_cast<std::size_t>(y.c));
    const double bias = value_or(epilogue.bias, c, 0), scale = value_or(epilogue.scale, c, 1),
                 shift = value_or(epilogue.shift, c, 0), x = y.v[i] + bias;
    y.v[i] = scale * activate(epilogue.activation, x) + shift;
    r.sum.v[i] = std::fabs(scale) * slope(epilogue.activation) * (r.sum.v[i] + std::fabs(bias)) +
                 std::fabs(shift);
    if (epilogue.activation == Activation::kGelu) {
      r.gelu.v[i] = std::fabs(scale) * std::max(1.0, std::fabs(x));
    }
    if (residual != nullptr) {
      y.v[i] += residual->v[i];
      r.sum.v[i] += std::fabs(residual->v[i]);
    }
  }
}

Result start(int n, int c, int h, int w) {
  return {Tensor(n, c, h, w), Tensor(n, c, h, w), Tensor()};
}

void accumulate(Result& r, std::size_t i, double product) {
  r.y.v[i] += product;
  r.sum.v[i] += std::fabs(product);
}

void batchnorm(const BatchNorm& bn, Tensor& x) {
  for (int n = 0; n < x.n; ++n) {
    for (int c = 0; c < x.c; ++c) {
      const auto i = static_cast<std::size_t>(c);
      const double deviation = std::sqrt(double{bn.running_var[i]} + bn.eps);
      for (int y = 0; y < x.h; ++y) {
        for (int z = 0; z < x.w; ++z) {
          double& v = x.at(n, c, y, z);
          v = (v - bn.running_mean[i]) / deviation * bn.weight[i] + bn.bias[i];
        }
      }
    }
  }
}

Epilogue oracle_epilogue(const Node& node) {
  return {node.activation, node.bias, node.affine.scale, node.affine.shift};
}

void expect_channels(const Node& node, const Tensor& x) {
  if (node.ic != x.c)
    throw std::runtime_error("oracle: " + node.name + ": wrong number of channels");
}

// mean → logits, for kLinear and kHead.
void classify(const Node& node, const Tensor& means, Output& out) {
  out.features = means.v;
  for (std::size_t i = 0; i < out.features.size() && !node.affine.empty(); ++i) {
    const std::size_t c = i % static_cast<std::size_t>(means.c);
    out.features[i] = node.affine.scale[c] * out.features[i] + node.affine.shift[c];
  }
  const Result r =
      pointwise(means, node.oc, node.weights.data, {Activation::kIdentity, node.bias, {}, {}});
  out.logits = r.y.v;
  for (double v : r.y.v) out.largest = std::max(out.largest, std::fabs(v));
  for (double v : r.sum.v) out.size = std::max(out.size, v);
}

Tensor run(const std::vector<Node>& nodes, const Tensor& src, Output& out) {
  Tensor x = src;
  for (const Node& node : nodes) {
    switch (node.op) {
      case Op::kPatchEmbed:
        expect_channels(node, x);
        x = patch_embed(x, node.oc, node.kernel_size, node.weights.data, oracle_epilogue(node)).y;
        break;
      case Op::kDepthwise:
        expect_channels(node, x);
        x = depthwise(x, node.kernel_size, node.weights.data, oracle_epilogue(node), node.residual)
                .y;
        break;
      case Op::kPointwise:
        expect_channels(node, x);
        if (node.residual) throw std::runtime_error("oracle: a residual of a pointwise node");
        x = pointwise(x, node.oc, node.weights.data, oracle_epilogue(node)).y;
        break;
      case Op::kActivation:
        for (double& v : x.v) v = activate(node.activation, v);
        break;
      case Op::kBatchNorm:
        batchnorm(node.batchnorm, x);
        break;
      case Op::kAdd:
        for (std::size_t i = 0; i < x.v.size(); ++i) x.v[i] += src.v[i];
        break;
      case Op::kMean:
        x = mean(x).y;
        break;
      case Op::kLinear:
      case Op::kHead:
        expect_channels(node, x);
        classify(node, node.op == Op::kHead ? mean(x).y : x, out);
        break;
      case Op::kBlock:
        x = run(node.body, x, out);
        break;
    }
  }
  return x;
}

}  // namespace

double gelu(double x) {
  if (x == -HUGE_VAL) return 0;  // the limit; 0 · ∞ otherwise
  return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
}

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::kIdentity:
      return x;
    case Activation::kRelu:
      return x < 0 ? 0 : x;
    case Activation::kGelu:
      return gelu(x);
  }
  throw std::runtime_error("oracle: unknown activation");
}

Result patch_embed(const Tensor& src, int oc, int p, const float* weights,
                   const Epilogue& epilogue) {
  Result r = start(src.n, oc, src.h / p, src.w / p);
  for (int n = 0; n < src.n; ++n) {
    for (int o = 0; o < oc; ++o) {
      for (int c = 0; c < src.c; ++c) {
        const float* const kernel = weights + (static_cast<std::size_t>(o) * src.c + c) * p * p;
        for (int y = 0; y < r.y.h * p; ++y) {
          for (int x = 0; x < r.y.w * p; ++x) {
            accumulate(r, r.y.index(n, o, y / p, x / p),
                       src.at(n, c, y, x) * kernel[y % p * p + x % p]);
          }
        }
      }
    }
  }
  finish(epilogue, nullptr, r);
  return r;
}

Result depthwise(const Tensor& src, int k, const float* weights, const Epilogue& epilogue,
                 bool residual) {
  Result r = start(src.n, src.c, src.h, src.w);
  const int before = (k - 1) / 2;
  for (int n = 0; n < src.n; ++n) {
    for (int c = 0; c < src.c; ++c) {
      for (int y = 0; y < src.h; ++y) {
        for (int x = 0; x < src.w; ++x) {
          for (int ky = 0; ky < k; ++ky) {
            for (int kx = 0; kx < k; ++kx) {
              const int sy = y + ky - before, sx = x + kx - before;
              if (sy < 0 || sy >= src.h || sx < 0 || sx >= src.w) continue;
              accumulate(
                  r, r.y.index(n, c, y, x),
                  src.at(n, c, sy, sx) * weights[(static_cast<std::size_t>(c) * k + ky) * k + kx]);
            }
          }
        }
      }
    }
  }
  finish(epilogue, residual ? &src : nullptr, r);
  return r;
}

Result pointwise(const Tensor& src, int oc, const float* weights, const Epilogue& epilogue) {
  Result r = start(src.n, oc, src.h, src.w);
  const std::size_t pixels = static_cast<std::size_t>(src.h) * src.w;
  for (int n = 0; n < src.n; ++n) {
    for (int o = 0; o < oc; ++o) {
      for (int i = 0; i < src.c; ++i) {
        const double weight = weights[static_cast<std::size_t>(o) * src.c + i];
        const double* const from = src.v.data() + src.index(n, i, 0, 0);
        const std::size_t to = r.y.index(n, o, 0, 0);
        for (std::size_t p = 0; p < pixels; ++p) accumulate(r, to + p, weight * from[p]);
      }
    }
  }
  finish(epilogue, nullptr, r);
  return r;
}

Result mean(const Tensor& src) {
  Result r = start(src.n, src.c, 1, 1);
  const std::size_t pixels = static_cast<std::size_t>(src.h) * src.w;
  for (std::size_t i = 0; i < src.v.size(); ++i) {
    accumulate(r, i / pixels, src.v[i] / static_cast<double>(pixels));
  }
  finish({}, nullptr, r);
  return r;
}

Output evaluate(const Graph& graph, const Tensor& src) {
  if (src.c != graph.ic || src.h != graph.h || src.w != graph.w) {
    throw std::runtime_error("oracle: the input does not have the graph's shape");
  }
  Output out;
  run(graph.nodes, src, out);
  return out;
}

}  // namespace convmixer::reference
