// SPDX-License-Identifier: Apache-2.0
#include "engine/quantize.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <string>
#include <utility>

#include "engine/byte_weights.h"
#include "support/error.h"

namespace convmixer {
namespace {

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

std::vector<double> doubles(const std::vector<float>& values) {
  return {values.begin(), values.end()};
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

// A word of equal bytes a channel, the zero points.
Buffer<float> border_of(const ChannelScales& dst, int count, int per_word) {
  Buffer<float> border(static_cast<std::size_t>(count));
  auto* const words = reinterpret_cast<std::uint32_t*>(border.data());
  const std::uint32_t ones = per_word == 4 ? 0x01010101u : 0x00010001u;
  for (std::size_t c = 0; c < dst.zero_point.size(); ++c) {
    words[c] = ones * static_cast<std::uint32_t>(dst.zero_point[c]);
  }
  return border;
}

// Calls place(put), where put(at, byte) sets value `at` of packed weights, whose words hold
// per_word values.
template <typename Place>
void place_bytes(Buffer<float>& words, int per_word, Place place) {
  if (per_word == 4) {
    auto* const values = reinterpret_cast<std::int8_t*>(words.data());
    place([&](std::size_t at, std::int8_t byte) { values[at] = byte; });
  } else {
    auto* const values = reinterpret_cast<std::int16_t*>(words.data());
    place([&](std::size_t at, std::int8_t byte) { values[at] = byte; });
  }
}

void add_destination(PackedPointwise& packed, const Node& node, const ChannelScales& dst,
                     const KernelTable& table) {
  const auto [scale, shift] = to_bytes_of(dst, node.affine, node.oc);
  const int count = packed.tiles * table.oc_tile;
  packed.scale = padded(scale, 0, node.oc, count);
  packed.shift = padded(shift, 0, node.oc, count);
  packed.border = border_of(dst, count, table.per_word);
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
  const ByteWeights weights = depthwise_bytes(node, src);
  PackedDepthwise packed;
  packed.kernel_size = k;
  packed.activation = kernel_activation(node.activation);
  packed.weights = Buffer<float>(static_cast<std::size_t>(blocks * lanes) *
                                 static_cast<std::size_t>(depthwise_words(k, table.per_word)));
  packed.row_zero =
      Buffer<float>(static_cast<std::size_t>(blocks * lanes) * static_cast<std::size_t>(k));
  std::vector<double> src_scale(channels), scale(channels), shift(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    const double a = node.affine.scale.empty() ? 1 : node.affine.scale[c];
    src_scale[c] = src.scale[c] / dst.scale[c];
    scale[c] = a / dst.scale[c];
    shift[c] = dst.zero_point[c] - src.zero_point[c] * src_scale[c];
  }
  const auto row = [&](int c, int ky) {
    return weights.int8s.int8s + (static_cast<std::ptrdiff_t>(c) * k + ky) * k;
  };
  place_bytes(packed.weights, table.per_word, [&](auto put) {
    place_taps(node.oc, k, table,
               [&](std::size_t at, int c, int ky, int kx) { put(at, row(c, ky)[kx]); });
  });
  auto* const zeros = reinterpret_cast<std::int32_t*>(packed.row_zero.data());
  for (int c = 0; c < node.oc; ++c) {
    for (int ky = 0; ky < k; ++ky) {
      zeros[(c / lanes * k + ky) * lanes + c % lanes] =
          std::accumulate(row(c, ky), row(c, ky) + k, 0) *
          static_cast<int>(src.zero_point[static_cast<std::size_t>(c)]);
    }
  }
  node.weights.let_go();
  packed.bias = padded(node.bias, 0, node.oc, blocks * lanes);
  packed.unscale = padded(doubles(weights.scale), 0, node.oc, blocks * lanes);
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
  const ByteWeights weights = pointwise_bytes(node, src);
  PackedPointwise packed = pack_epilogue(node, node.affine, table, ic);
  packed.weights = Buffer<float>(product_words(packed, table, table.per_word));
  const auto row = [&](int o) { return weights.int8s.int8s + static_cast<std::ptrdiff_t>(o) * ic; };
  place_bytes(packed.weights, table.per_word, [&](auto put) {
    place_product(ic, node.oc, table.per_word, table,
                  [&](std::size_t at, int o, int i) { put(at, row(o)[i]); });
  });
  const std::vector<float> own_bias = float_bias(node);
  std::vector<double> bias(own_bias.size());
  for (int o = 0; o < node.oc; ++o) {
    const auto at = static_cast<std::size_t>(o);
    const double zeros = std::inner_product(row(o), row(o) + ic, src.zero_point.begin(), 0.0);
    bias[at] = own_bias[at] - weights.scale[at] * zeros;
  }
  node.weights.let_go();
  packed.bias = padded(bias, 0, node.oc, count);
  packed.unscale = padded(doubles(weights.scale), 0, node.oc, count);
  add_destination(packed, node, dst, table);
  return packed;
}

}  // namespace convmixer
