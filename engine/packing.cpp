// SPDX-License-Identifier: Apache-2.0
#include "engine/packing.h"

#include <algorithm>
#include <cmath>

#include "support/error.h"

namespace convmixer {
namespace {

// `count` floats, the n given values first; an empty list stands for `otherwise` in the first n.
Buffer<float> padded(const std::vector<double>& values, double otherwise, int n, int count) {
  Buffer<float> out(static_cast<std::size_t>(count));
  for (int i = 0; i < n; ++i) {
    out[i] = static_cast<float>(values.empty() ? otherwise : values[static_cast<std::size_t>(i)]);
  }
  return out;
}

// `source(o)` is the row of output channel o, `column(i)` the place in it of input channel i.
template <typename Column>
PackedPointwise pack_product(const Node& node, const Affine& affine, const KernelTable& table,
                             int ic, Column column) {
  PackedPointwise packed = pack_epilogue(node, affine, table, ic);
  const int tile = table.oc_tile;
  const std::size_t rows = static_cast<std::size_t>(ceil_div(ic, table.lanes)) * table.lanes;
  packed.weights = Buffer<float>(rows * static_cast<std::size_t>(packed.tiles * tile));
  for (int t = 0; t < packed.tiles; ++t) {
    float* const dst = packed.weights.data() + static_cast<std::size_t>(t) * tile * rows;
    const int n = std::min(tile, node.oc - t * tile);
    const float* const src = node.weights.data + static_cast<std::size_t>(t) * tile * ic;
    for (int i = 0; i < ic; ++i) {
      const float* const from = src + column(i);
      for (int o = 0; o < n; ++o) {
        dst[static_cast<std::size_t>(i) * tile + o] = from[static_cast<std::size_t>(o) * ic];
      }
    }
  }
  node.weights.let_go();
  return packed;
}

bool non_finite(const std::vector<double>& values) {
  return std::any_of(values.begin(), values.end(), [](double v) { return !std::isfinite(v); });
}

}  // namespace

KernelActivation kernel_activation(Activation activation) {
  switch (activation) {
    case Activation::kIdentity:
      return kActIdentity;
    case Activation::kRelu:
      return kActRelu;
    case Activation::kGelu:
      return kActGelu;
  }
  throw Error(Code::kInternal, "unknown activation");
}

std::size_t PackedPointwise::bytes() const {
  return weights.bytes() + bias.bytes() + scale.bytes() + shift.bytes() + unscale.bytes();
}

std::size_t PackedDepthwise::bytes() const {
  return weights.bytes() + bias.bytes() + src_scale.bytes() + scale.bytes();
}

PackedPointwise pack_epilogue(const Node& node, const Affine& affine, const KernelTable& table,
                              int ic) {
  PackedPointwise packed;
  packed.ic = ic;
  packed.oc_blk = ceil_div(node.oc, table.lanes);
  packed.tiles = ceil_div(node.oc, table.oc_tile);
  packed.activation = kernel_activation(node.activation);
  const int oc_padded = packed.tiles * table.oc_tile;
  packed.bias = padded(node.bias, 0.0, node.oc, oc_padded);
  packed.scale = padded(affine.scale, 1.0, node.oc, oc_padded);
  packed.shift = padded(affine.shift, 0.0, node.oc, oc_padded);
  return packed;
}

PackedPointwise pack_pointwise(const Node& node, const KernelTable& table) {
  const Affine affine = node.op == Op::kHead ? Affine{} : node.affine;
  return pack_product(node, affine, table, node.ic, [](int i) { return i; });
}

PackedPointwise pack_patch_embed(const Node& node, const KernelTable& table, PatchOrder order) {
  const int area = node.kernel_size * node.kernel_size;
  return pack_product(node, node.affine, table, node.ic * area, [&](int i) {
    return order == PatchOrder::kChannelsFirst ? i : i % node.ic * area + i / node.ic;
  });
}

PackedDepthwise pack_depthwise(const Node& node, const KernelTable& table,
                               const std::vector<float>& dst_scale) {
  if (non_finite(node.affine.shift) ||
      std::any_of(node.affine.shift.begin(), node.affine.shift.end(),
                  [](double v) { return v != 0; })) {
    throw Error(Code::kInternal, node.name + ": the shift of a depthwise layer was not folded");
  }
  PackedDepthwise packed;
  const int lanes = table.lanes, blocks = ceil_div(node.oc, lanes);
  const int area = node.kernel_size * node.kernel_size;
  packed.kernel_size = node.kernel_size;
  packed.activation = kernel_activation(node.activation);
  packed.weights = Buffer<float>(static_cast<std::size_t>(blocks) * lanes * area);
  for (int c = 0; c < node.oc; ++c) {
    float* const dst =
        packed.weights.data() + static_cast<std::size_t>(c / lanes) * lanes * area + c % lanes;
    const float* const src = node.weights.data + static_cast<std::size_t>(c) * area;
    for (int i = 0; i < area; ++i) dst[i * lanes] = src[i];
  }
  node.weights.let_go();
  packed.bias = padded(node.bias, 0.0, node.oc, blocks * lanes);
  packed.src_scale = padded({dst_scale.begin(), dst_scale.end()}, 1.0, node.oc, blocks * lanes);
  packed.scale = padded(node.affine.scale, 1.0, node.oc, blocks * lanes);
  for (std::size_t c = 0; c < packed.scale.size(); ++c) packed.scale[c] *= packed.src_scale[c];
  return packed;
}

bool has_non_finite(const Node& node) {
  // x·0 is 0 for finite x and NaN otherwise, and a sum of them vectorises; 16 of them at a time.
  float sum[16] = {};
  std::size_t i = 0;
  for (; i + 16 <= node.weights.size; i += 16) {
    for (std::size_t j = 0; j < 16; ++j) sum[j] += node.weights.data[i + j] * 0.0f;
  }
  for (; i < node.weights.size; ++i) sum[0] += node.weights.data[i] * 0.0f;
  return std::any_of(sum, sum + 16, [](float v) { return v != 0.0f; }) || non_finite(node.bias) ||
         non_finite(node.affine.scale) || non_finite(node.affine.shift);
}

}  // namespace convmixer
