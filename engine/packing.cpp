// SPDX-License-Identifier: Apache-2.0
#include "engine/packing.h"

#include <algorithm>
#include <cmath>

#include "kernels/rounding.h"
#include "support/error.h"

namespace convmixer {
namespace {

// `column(i)` is the place of input channel i in a row of the node's weights.
template <typename Column>
PackedPointwise pack_product(const Node& node, const KernelTable& table, int ic, Column column) {
  PackedPointwise packed = pack_epilogue(node, epilogue_of(node), table, ic);
  packed.weights = Buffer<float>(product_words(packed, table, table.per_word));
  const auto weight = [&](int o, int i) {
    return node.weights.data[static_cast<std::ptrdiff_t>(o) * ic + column(i)];
  };
  float* const dst = packed.weights.data();
  if (table.per_word == 1) {
    place_product(ic, node.oc, 1, table,
                  [&](std::size_t at, int o, int i) { dst[at] = weight(o, i); });
  } else {
    auto* const halves = reinterpret_cast<std::uint16_t*>(dst);
    place_product(ic, node.oc, 2, table,
                  [&](std::size_t at, int o, int i) { halves[at] = to_bf16(weight(o, i)); });
  }
  node.weights.let_go();
  return packed;
}

bool non_finite(const std::vector<double>& values) {
  return std::any_of(values.begin(), values.end(), [](double v) { return !std::isfinite(v); });
}

// The weights of Winograd's products: kernels/params.h, DepthwiseParams.
void pack_winograd_taps(const Node& node, int lanes, float* dst) {
  const int k = node.kernel_size;
  for (int c = 0; c < node.oc; ++c) {
    float* const block =
        dst + static_cast<std::ptrdiff_t>(c / lanes * lanes) * winograd_row(k, 4) * k + c % lanes;
    const float* const taps = node.weights.data + static_cast<std::ptrdiff_t>(c) * k * k;
    for (int kx = 0; kx < k; ++kx) {
      const auto tap = [&](int ky) { return double{taps[ky * k + kx]}; };
      const auto put = [&](int product, int row, double weight) {
        block[static_cast<std::ptrdiff_t>((winograd_row(k, product) + row) * k + kx) * lanes] =
            static_cast<float>(weight);
      };
      for (int i = 0; i < k / 3; ++i) {
        const double g0 = tap(3 * i), g1 = tap(3 * i + 1), g2 = tap(3 * i + 2);
        put(0, i, (g0 + g1 + g2) / 2);
        put(1, i, (g0 - g1 + g2) / 2);
        put(2, i, g0);
        put(3, i, g2);
      }
      for (int ky = k / 3 * 3; ky < k; ++ky) {
        put(2, k / 3 + ky % 3, tap(ky));
        put(3, k / 3 + ky % 3, tap(ky));
      }
    }
  }
}

}  // namespace

Buffer<float> padded(const std::vector<double>& values, double otherwise, int n, int count) {
  Buffer<float> out(static_cast<std::size_t>(count));
  for (int i = 0; i < n; ++i) {
    out[i] = static_cast<float>(values.empty() ? otherwise : values[static_cast<std::size_t>(i)]);
  }
  return out;
}

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
  return weights.bytes() + bias.bytes() + scale.bytes() + shift.bytes() + unscale.bytes() +
         border.bytes();
}

std::size_t PackedDepthwise::bytes() const {
  return weights.bytes() + bias.bytes() + src_scale.bytes() + scale.bytes() + shift.bytes() +
         unscale.bytes() + row_zero.bytes();
}

std::size_t product_words(const PackedPointwise& packed, const KernelTable& table, int per_word) {
  const auto values = static_cast<std::size_t>(ceil_div(packed.ic, table.lanes) * table.lanes);
  return values / static_cast<std::size_t>(per_word) *
         static_cast<std::size_t>(packed.tiles * table.oc_tile);
}

Epilogue epilogue_of(const Node& node) {
  Epilogue e{node.bias, {}, {}, {}};
  if (node.op == Op::kHead) return e;
  e.scale = node.affine.scale;
  const std::vector<double>& shift = node.affine.shift;  // all zeros where it was folded
  if (std::any_of(shift.begin(), shift.end(), [](double v) { return v != 0; })) e.shift = shift;
  return e;
}

PackedPointwise pack_epilogue(const Node& node, const Epilogue& epilogue, const KernelTable& table,
                              int ic) {
  PackedPointwise packed;
  packed.ic = ic;
  packed.oc_blk = ceil_div(node.oc, table.lanes);
  packed.tiles = ceil_div(node.oc, table.oc_tile);
  packed.activation = kernel_activation(node.activation);
  const int oc_padded = packed.tiles * table.oc_tile;
  packed.bias = padded(epilogue.bias, 0.0, node.oc, oc_padded);
  packed.scale = padded(epilogue.scale, 1.0, node.oc, oc_padded);
  packed.shift = padded(epilogue.shift, 0.0, node.oc, oc_padded);
  return packed;
}

PackedPointwise pack_pointwise(const Node& node, const KernelTable& table) {
  return pack_product(node, table, node.ic, [](int i) { return i; });
}

PackedPointwise pack_patch_embed(const Node& node, const KernelTable& table, PatchOrder order) {
  if (table.precision == kInt8) throw Error(Code::kInternal, node.name + ": bytes, not floats");
  const int area = node.kernel_size * node.kernel_size;
  return pack_product(node, table, node.ic * area,
                      [&](int i) { return patch_column(node, order, i); });
}

PackedDepthwise pack_depthwise(const Node& node, const KernelTable& table,
                               const std::vector<float>& dst_scale) {
  const Epilogue epilogue = epilogue_of(node);
  if (!epilogue.shift.empty()) {
    throw Error(Code::kInternal, node.name + ": the shift of a depthwise layer was not folded");
  }
  PackedDepthwise packed;
  const int lanes = table.lanes, blocks = ceil_div(node.oc, lanes);
  const int k = node.kernel_size;
  packed.kernel_size = k;
  packed.activation = kernel_activation(node.activation);
  packed.weights = Buffer<float>(static_cast<std::size_t>(blocks * lanes) *
                                 static_cast<std::size_t>(depthwise_words(k, table)));
  float* const dst = packed.weights.data();
  if (winograd_taps(k, table)) {
    pack_winograd_taps(node, lanes, dst);
  } else {
    auto* const halves = reinterpret_cast<std::uint16_t*>(dst);
    place_taps(node.oc, k, table, [&](std::size_t at, int c, int ky, int kx) {
      const float weight = node.weights.data[(static_cast<std::ptrdiff_t>(c) * k + ky) * k + kx];
      if (table.per_word == 1) {
        dst[at] = weight;
      } else {
        halves[at] = to_bf16(weight);
      }
    });
  }
  node.weights.let_go();
  packed.bias = padded(epilogue.bias, 0.0, node.oc, blocks * lanes);
  packed.src_scale = padded({dst_scale.begin(), dst_scale.end()}, 1.0, node.oc, blocks * lanes);
  packed.scale = padded(epilogue.scale, 1.0, node.oc, blocks * lanes);
  for (std::size_t c = 0; c < packed.scale.size(); ++c) packed.scale[c] *= packed.src_scale[c];
  return packed;
}

bool has_non_finite(const Node& node) {
  // x·0 is 0 for finite x and NaN otherwise, and a sum of them vectorises; 16 of them at a time.
  float sum[16] = {};
  const std::size_t size = node.weights.data != nullptr ? node.weights.size : 0;
  std::size_t i = 0;
  for (; i + 16 <= size; i += 16) {
    for (std::size_t j = 0; j < 16; ++j) sum[j] += node.weights.data[i + j] * 0.0f;
  }
  for (; i < size; ++i) sum[0] += node.weights.data[i] * 0.0f;
  return std::any_of(sum, sum + 16, [](float v) { return v != 0.0f; }) || non_finite(node.bias) ||
         non_finite(node.affine.scale) || non_finite(node.affine.shift);
}

}  // namespace convmixer
