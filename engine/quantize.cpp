// SPDX-License-Identifier: Apache-2.0
#include "engine/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "support/error.h"

namespace convmixer {
namespace {

constexpr double kLargest = 127;  // of the weights' bytes

void check_tensor(const ChannelScales& scales, const std::string& name, int dim) {
  const auto count = static_cast<std::size_t>(dim);
  if (scales.scale.size() != count || scales.zero_point.size() != count) {
    throw Error(Code::kFormat,
                fmt::format("{}: expected {} scales and zero points, found {} and {}", name, dim,
                            scales.scale.size(), scales.zero_point.size()));
  }
  for (std::size_t c = 0; c < count; ++c) {
    const float scale = scales.scale[c], zero = scales.zero_point[c];
    if (!std::isfinite(scale) || scale <= 0) {
      throw Error(Code::kFormat, fmt::format("{}: channel {}: expected a positive scale, found {}",
                                             name, c, scale));
    }
    if (!(zero >= 0 && zero <= 255) || zero != std::floor(zero)) {
      throw Error(Code::kFormat,
                  fmt::format("{}: channel {}: expected a zero point of 0, 1, … 255, found {}",
                              name, c, zero));
    }
  }
}

// Weights of output channel o with the source's scales multiplied in: their common scale, and what
// each is in bytes.
template <typename Weight>
double row_scale(int count, Weight weight) {
  double largest = 0;
  for (int i = 0; i < count; ++i) largest = std::max(largest, std::abs(weight(i)));
  return largest > 0 && std::isfinite(largest) ? largest / kLargest : 1;
}

std::int8_t to_signed_byte(double value) {
  // NaN and infinities become 0: such a model is warned of when it is described.
  if (!std::isfinite(value)) return 0;
  return static_cast<std::int8_t>(std::clamp(std::nearbyint(value), -kLargest, kLargest));
}

// y = scale·x + shift behind the activation → bytes of dst.
std::pair<std::vector<double>, std::vector<double>> to_bytes_of(const ChannelScales& dst,
                                                                const Affine& affine,
                                                                int channels) {
  std::vector<double> scale(static_cast<std::size_t>(channels)), shift(scale.size());
  for (std::size_t c = 0; c < scale.size(); ++c) {
    scale[c] = (affine.scale.empty() ? 1 : affine.scale[c]) / dst.scale[c];
    shift[c] = (affine.shift.empty() ? 0 : affine.shift[c]) / dst.scale[c] + dst.zero_point[c];
  }
  return {scale, shift};
}

// Scales that are in range each may be too far apart for floats.
void check_finite(const Node& node, std::initializer_list<const Buffer<float>*> values) {
  for (const Buffer<float>* buffer : values) {
    for (std::size_t i = 0; i < buffer->size(); ++i) {
      if (std::isfinite((*buffer)[i])) continue;
      if (has_non_finite(node)) return;  // the model's own, which describe_plan tells
      throw Error(Code::kFormat,
                  fmt::format("{}: channel {}: its int8 scales are too small or too far apart",
                              node.name, i));
    }
  }
}

// A word of four equal bytes a channel, the zero points.
Buffer<float> border_of(const ChannelScales& dst, int count) {
  Buffer<float> border(static_cast<std::size_t>(count));
  auto* const words = reinterpret_cast<std::uint32_t*>(border.data());
  for (std::size_t c = 0; c < dst.zero_point.size(); ++c) {
    words[c] = 0x01010101u * static_cast<std::uint32_t>(dst.zero_point[c]);
  }
  return border;
}

void add_destination(PackedPointwise& packed, const Node& node, const ChannelScales& dst,
                     const KernelTable& table) {
  const auto [scale, shift] = to_bytes_of(dst, node.affine, node.oc);
  const int count = packed.tiles * table.oc_tile;
  packed.scale = padded(scale, 0, node.oc, count);
  packed.shift = padded(shift, 0, node.oc, count);
  packed.border = border_of(dst, count);
  check_finite(node, {&packed.bias, &packed.scale, &packed.shift, &packed.unscale});
}

}  // namespace

void check_quantization(const Quantization& quantization, int dim, int depth) {
  const auto blocks = static_cast<std::size_t>(depth);
  for (const std::size_t found : {quantization.depthwise.size(), quantization.pointwise.size()}) {
    if (found == blocks) continue;
    throw Error(Code::kFormat, fmt::format("expected scales of {} blocks, found {}", depth, found));
  }
  check_tensor(quantization.stem, "stem", dim);
  for (std::size_t i = 0; i < blocks; ++i) {
    check_tensor(quantization.depthwise[i], fmt::format("blocks.{}.depthwise", i), dim);
    check_tensor(quantization.pointwise[i], fmt::format("blocks.{}.pointwise", i), dim);
  }
}

PackedPointwise quantize_patch_embed(const Node& node, const ChannelScales& dst,
                                     const KernelTable& table, PatchOrder order) {
  PackedPointwise packed = pack_patch_embed(node, table, order);
  add_destination(packed, node, dst, table);
  return packed;
}

PackedDepthwise quantize_depthwise(const Node& node, const ChannelScales& src,
                                   const ChannelScales& dst, const KernelTable& table) {
  const int k = node.kernel_size, lanes = table.lanes, blocks = ceil_div(node.oc, lanes);
  const auto channels = static_cast<std::size_t>(node.oc);
  PackedDepthwise packed;
  packed.kernel_size = k;
  packed.activation = kernel_activation(node.activation);
  packed.weights = Buffer<float>(static_cast<std::size_t>(blocks * lanes) *
                                 static_cast<std::size_t>(depthwise_words(k, table.per_word)));
  packed.row_zero =
      Buffer<float>(static_cast<std::size_t>(blocks * lanes) * static_cast<std::size_t>(k));
  std::vector<double> unscale(channels), src_scale(channels), scale(channels), shift(channels);
  const auto real = [&](int c, int tap) {
    return static_cast<double>(node.weights.data[static_cast<std::ptrdiff_t>(c) * k * k + tap]) *
           src.scale[static_cast<std::size_t>(c)];
  };
  for (int c = 0; c < node.oc; ++c) {
    const auto at = static_cast<std::size_t>(c);
    unscale[at] = row_scale(k * k, [&](int tap) { return real(c, tap); });
    const double a = node.affine.scale.empty() ? 1 : node.affine.scale[at];
    src_scale[at] = src.scale[at] / dst.scale[at];
    scale[at] = a / dst.scale[at];
    shift[at] = dst.zero_point[at] - src.zero_point[at] * src_scale[at];
  }
  const auto byte = [&](int c, int tap) {
    return to_signed_byte(real(c, tap) / unscale[static_cast<std::size_t>(c)]);
  };
  auto* const bytes = reinterpret_cast<std::int8_t*>(packed.weights.data());
  place_taps(node.oc, k, table,
             [&](std::size_t at, int c, int ky, int kx) { bytes[at] = byte(c, ky * k + kx); });
  auto* const zeros = reinterpret_cast<std::int32_t*>(packed.row_zero.data());
  for (int c = 0; c < node.oc; ++c) {
    for (int ky = 0; ky < k; ++ky) {
      int sum = 0;
      for (int kx = 0; kx < k; ++kx) sum += byte(c, ky * k + kx);
      zeros[(c / lanes * k + ky) * lanes + c % lanes] =
          sum * static_cast<int>(src.zero_point[static_cast<std::size_t>(c)]);
    }
  }
  node.weights.let_go();
  packed.bias = padded(node.bias, 0, node.oc, blocks * lanes);
  packed.unscale = padded(unscale, 0, node.oc, blocks * lanes);
  packed.src_scale = padded(src_scale, 0, node.oc, blocks * lanes);
  packed.scale = padded(scale, 0, node.oc, blocks * lanes);
  packed.shift = padded(shift, 0, node.oc, blocks * lanes);
  check_finite(node,
               {&packed.bias, &packed.unscale, &packed.src_scale, &packed.scale, &packed.shift});
  return packed;
}

PackedPointwise quantize_pointwise(const Node& node, const ChannelScales& src,
                                   const ChannelScales& dst, const KernelTable& table) {
  const int ic = node.ic, count = ceil_div(node.oc, table.oc_tile) * table.oc_tile;
  PackedPointwise packed = pack_epilogue(node, node.affine, table, ic);
  packed.weights = Buffer<float>(product_words(packed, table, table.per_word));
  std::vector<double> unscale(static_cast<std::size_t>(node.oc)), bias(unscale.size());
  const auto real = [&](int o, int i) {
    return static_cast<double>(node.weights.data[static_cast<std::ptrdiff_t>(o) * ic + i]) *
           src.scale[static_cast<std::size_t>(i)];
  };
  for (int o = 0; o < node.oc; ++o) {
    unscale[static_cast<std::size_t>(o)] = row_scale(ic, [&](int i) { return real(o, i); });
  }
  std::vector<double> zeros(unscale.size());  // Σ byte · src's zero point
  auto* const bytes = reinterpret_cast<std::int8_t*>(packed.weights.data());
  place_product(ic, node.oc, table.per_word, table, [&](std::size_t at, int o, int i) {
    const auto row = static_cast<std::size_t>(o);
    bytes[at] = to_signed_byte(real(o, i) / unscale[row]);
    zeros[row] += bytes[at] * static_cast<double>(src.zero_point[static_cast<std::size_t>(i)]);
  });
  node.weights.let_go();
  for (std::size_t o = 0; o < bias.size(); ++o) {
    bias[o] = (node.bias.empty() ? 0 : node.bias[o]) - unscale[o] * zeros[o];
  }
  packed.bias = padded(bias, 0, node.oc, count);
  packed.unscale = padded(unscale, 0, node.oc, count);
  add_destination(packed, node, dst, table);
  return packed;
}

}  // namespace convmixer
