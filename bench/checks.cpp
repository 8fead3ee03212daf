// SPDX-License-Identifier: Apache-2.0
#include "bench/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "tests/reference.h"

namespace convmixer::bench {
namespace {

// Of sums of k terms.
struct Check {
  int k;
  Accuracy accuracy;
  std::string wrong{};

  double limit(const reference::Result& want, std::size_t i) const {
    if (accuracy.precision == kBf16) return 0x1p-8 * (want.sum.v[i] + 0.1);
    if (accuracy.precision == kInt8) return 0.01 * want.sum.v[i] + 0.51 * kByteScale;
    return accuracy.factor * 0x1p-24 * (4 + 2 * std::sqrt(static_cast<double>(k))) * want.sum.v[i] +
           2.5e-7 * want.gelu.v[i];
  }
  void add(const reference::Result& want, std::size_t i, float got) {
    double y = want.y.v[i];
    if (accuracy.precision == kInt8) {
      y = std::clamp<double>(y, -kZeroPoint * kByteScale, (255 - kZeroPoint) * kByteScale);
    }
    if (!(std::fabs(y - double{got}) <= limit(want, i)) && wrong.empty()) {
      wrong = fmt::format("wrong result: element {}, want {}, got {}, limit {}", i, y, got,
                          limit(want, i));
    }
  }
};

// The channels and pixels of `got` that `want` has, whose first channel is `first`.
void compare(Check& check, const reference::Result& want, const Value& got, int first) {
  for (int c = 0; c < want.y.c; ++c) {
    for (int i = 0; i < want.y.h * want.y.w; ++i) {
      check.add(want, want.y.index(0, c, i / want.y.w, i % want.y.w), got(first + c, i));
    }
  }
}

reference::Tensor tensor(int first, int count, int h, int w, const Value& value) {
  reference::Tensor t(1, count, h, w);
  for (int c = 0; c < count; ++c) {
    for (int i = 0; i < h * w; ++i) t.at(0, c, i / w, i % w) = value(first + c, i);
  }
  return t;
}

reference::Epilogue epilogue(const Node& node, int first, int count) {
  const auto cut = [&](const std::vector<double>& v) {
    if (v.empty()) return v;
    const auto begin = v.begin() + first;
    return std::vector<double>(begin, begin + count);
  };
  return {node.activation, cut(node.bias), cut(node.affine.scale), cut(node.affine.shift)};
}

}  // namespace

std::string check_pointwise(const Node& node, const Value& src, const Value& dst,
                            Accuracy accuracy) {
  constexpr int kPixels = 5;
  Check check{node.ic, accuracy};
  compare(check,
          reference::pointwise(tensor(0, node.ic, 1, kPixels, src), node.oc, node.weights.data,
                               epilogue(node, 0, node.oc)),
          dst, 0);
  return check.wrong;
}

std::string check_depthwise(const Node& node, int first, int count, int h, int w, const Value& src,
                            const Value& dst, Accuracy accuracy) {
  const int area = node.kernel_size * node.kernel_size;
  Check check{area, accuracy};
  compare(
      check,
      reference::depthwise(tensor(first, count, h, w, src), node.kernel_size,
                           node.weights.data + first * area, epilogue(node, first, count), true),
      dst, first);
  return check.wrong;
}

std::string check_patch_embed(const Node& normalised, const Image& image, bool u8, const Value& dst,
                              Accuracy accuracy) {
  constexpr int kChannels = 8;
  const Node node = u8 ? raw_patch_embed(normalised) : normalised;
  reference::Tensor src(1, 3, image.h, image.w, image.floats.data());
  if (u8) {
    const std::size_t area = src.v.size() / 3;
    for (std::size_t i = 0; i < src.v.size(); ++i) src.v[i % 3 * area + i / 3] = image.bytes[i];
  }
  Check check{node.ic * node.kernel_size * node.kernel_size, accuracy};
  compare(check,
          reference::patch_embed(src, kChannels, node.kernel_size, node.weights.data,
                                 epilogue(node, 0, kChannels)),
          dst, 0);
  return check.wrong;
}

std::string check_head(const Node& node, int h, int w, const Value& src, const Value& dst) {
  const reference::Result mean = reference::mean(tensor(0, node.ic, h, w, src));
  reference::Result want = reference::pointwise(mean.y, node.oc, node.weights.data,
                                                {node.activation, node.bias, {}, {}});
  // The means cancel to nearly nothing: their own errors count, which are as large as their sums'.
  std::vector<float> size(node.weights.data, node.weights.data + node.weights.size);
  for (float& v : size) v = std::fabs(v);
  const reference::Result sums = reference::pointwise(mean.sum, node.oc, size.data(), {});
  for (std::size_t i = 0; i < sums.y.v.size(); ++i) want.sum.v[i] += sums.y.v[i];
  Check check{node.ic + h * w, {}};
  compare(check, want, dst, 0);
  return check.wrong;
}

}  // namespace convmixer::bench
