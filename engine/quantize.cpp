// SPDX-License-Identifier: Apache-2.0
#include "engine/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>

#include "engine/byte_weights.h"
#include "engine/strassen.h"
#include "support/error.h"

namespace convmixer {
namespace {

void check_scale(float scale, const std::string& name, std::size_t channel) {
  if (std::isfinite(scale) && scale > 0) return;
  throw Error(Code::kFormat, fmt::format("{}: channel {}: expected a positive scale, found {}",
                                         name, channel, scale));
}

void check_tensor(const ChannelScales& scales, const std::string& name, int dim) {
  const auto count = static_cast<std::size_t>(dim);
  if (scales.scale.size() != count || scales.zero_point.size() != count) {
    throw Error(Code::kFormat,
                fmt::format("{}: expected {} scales and zero points, found {} and {}", name, dim,
                            scales.scale.size(), scales.zero_point.size()));
  }
  for (std::size_t c = 0; c < count; ++c) {
    const float scale = scales.scale[c], zero = scales.zero_point[c];
    check_scale(scale, name, c);
    if (!(zero >= 0 && zero <= 255) || zero != std::floor(zero)) {
      throw Error(Code::kFormat,
                  fmt::format("{}: channel {}: expected a zero point of 0, 1, … 255, found {}",
                              name, c, zero));
    }
  }
}

void check_weights(const ByteWeights& weights, const std::string& name, int dim) {
  const auto rows = static_cast<std::size_t>(dim);
  if (weights.int8s.size != rows * rows || weights.scale.size() != rows) {
    throw Error(Code::kFormat,
                fmt::format("{}: expected {} int8 weights and {} scales, found {} and {}", name,
                            rows * rows, rows, weights.int8s.size, weights.scale.size()));
  }
  for (std::size_t o = 0; o < rows; ++o) check_scale(weights.scale[o], name + ".weight_scale", o);
}

std::vector<double> doubles(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

// Scales that are in range each may be too far apart for floats.
template <typename T>
void check_finite(const Node& node, const std::vector<T>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(static_cast<float>(values[i]))) continue;
    if (has_non_finite(node)) return;  // the model's own, which describe_plan tells
    throw Error(Code::kFormat,
                fmt::format("{}: channel {}: its int8 scales are too small or too far apart",
                            node.name, i));
  }
}

void check_finite(const Node& node, const Epilogue& e) {
  for (const auto* values : {&e.bias, &e.scale, &e.shift, &e.src_scale})
    check_finite(node, *values);
}

// y = scale·x + shift behind the activation → bytes of dst.
Epilogue to_bytes_of(const ChannelScales& dst, const Affine& affine, std::vector<double> bias) {
  const std::size_t channels = dst.scale.size();
  Epilogue e;
  e.bias = std::move(bias);
  e.bias.resize(channels);
  e.scale.resize(channels);
  e.shift.resize(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    e.scale[c] = (affine.scale.empty() ? 1 : affine.scale[c]) / dst.scale[c];
    e.shift[c] = (affine.shift.empty() ? 0 : affine.shift[c]) / dst.scale[c] + dst.zero_point[c];
  }
  return e;
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

// Sums of larger patches would leave too little of the weights (engine/byte_weights.h).
constexpr int kMostPatchSize = 64;

// What Strassen products multiply, of dim × dim weights: two values of neighbouring input channels
// a word.
Buffer<float> strassen_words(const std::int8_t* int8s, int dim, int oc_tile, int levels) {
  const std::size_t size = static_cast<std::size_t>(dim) * static_cast<std::size_t>(dim),
                    tile = static_cast<std::size_t>(oc_tile);
  Buffer<float> floats(size);
  std::copy(int8s, int8s + size, floats.data());
  const Buffer<float> values = strassen_weights(floats.data(), dim, oc_tile, levels);
  Buffer<float> words(values.size() / 2);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const float* const two = values.data() + i / tile * 2 * tile + i % tile;
    const auto low = static_cast<std::uint16_t>(static_cast<std::int16_t>(two[0])),
               high = static_cast<std::uint16_t>(static_cast<std::int16_t>(two[tile]));
    words[i] = std::bit_cast<float>(low | std::uint32_t{high} << 16);
  }
  return words;
}

}  // namespace

void check_quantization(const Quantization& quantization, int dim, int depth) {
  const auto blocks = static_cast<std::size_t>(depth);
  for (const std::size_t found : {quantization.depthwise.size(), quantization.pointwise.size()}) {
    if (found == blocks) continue;
    throw Error(Code::kFormat, fmt::format("expected scales of {} blocks, found {}", depth, found));
  }
  for (std::size_t i = 0; i < quantization.tensors(); ++i) {
    check_tensor(quantization.tensor(i), tensor_name(i), dim);
  }
  if (quantization.pointwise_weights.empty()) return;
  if (quantization.pointwise_weights.size() != blocks) {
    throw Error(Code::kFormat, fmt::format("expected the int8 weights of {} blocks, found {}",
                                           depth, quantization.pointwise_weights.size()));
  }
  for (std::size_t i = 0; i < blocks; ++i) {
    check_weights(quantization.pointwise_weights[i], pointwise_name(i), dim);
  }
}

std::string tensor_name(std::size_t i) {
  if (i == 0) return kStemName;
  return i % 2 == 1 ? depthwise_name((i - 1) / 2) : pointwise_name((i - 1) / 2);
}

Epilogue patch_embed_epilogue(const Node& node, const ChannelScales& dst) {
  Epilogue e = to_bytes_of(dst, node.affine, node.bias);
  check_finite(node, e);
  return e;
}

ByteLayer depthwise_layer(const Node& node, const ChannelScales& src, const ChannelScales& dst) {
  ByteLayer layer{depthwise_bytes(node, src), to_bytes_of(dst, node.affine, node.bias)};
  Epilogue& e = layer.epilogue;
  e.src_scale.resize(e.scale.size());
  for (std::size_t c = 0; c < e.scale.size(); ++c) {
    e.src_scale[c] = src.scale[c] / dst.scale[c];
    e.shift[c] -= src.zero_point[c] * e.src_scale[c];
  }
  check_finite(node, e);
  check_finite(node, layer.weights.scale);
  return layer;
}

ByteLayer bordered_depthwise_layer(const Node& node, const ChannelScales& src,
                                   const ChannelScales& dst) {
  ByteLayer layer = depthwise_layer(node, src, dst);
  const std::ptrdiff_t taps = static_cast<std::ptrdiff_t>(node.kernel_size) * node.kernel_size;
  const std::int8_t* row = layer.weights.int8s.int8s;
  for (std::size_t c = 0; c < src.zero_point.size(); ++c, row += taps) {
    const double zeros = std::accumulate(row, row + taps, 0) * double{src.zero_point[c]};
    layer.epilogue.bias[c] -= layer.weights.scale[c] * zeros;
  }
  check_finite(node, layer.epilogue.bias);
  return layer;
}

ByteLayer pointwise_layer(const Node& node, const Quantization& quantization, std::size_t block) {
  const ChannelScales &src = quantization.depthwise.at(block),
                      &dst = quantization.pointwise.at(block);
  const std::vector<float> bias = float_bias(node);
  ByteLayer layer{pointwise_bytes(node, quantization, block),
                  to_bytes_of(dst, node.affine, {bias.begin(), bias.end()})};
  const std::int8_t* row = layer.weights.int8s.int8s;
  for (std::size_t o = 0; o < bias.size(); ++o, row += node.ic) {
    const double zeros = std::inner_product(row, row + node.ic, src.zero_point.begin(), 0.0);
    layer.epilogue.bias[o] -= layer.weights.scale[o] * zeros;
  }
  check_finite(node, layer.epilogue);
  check_finite(node, layer.weights.scale);
  return layer;
}

MeanScales mean_scales(const Quantization& quantization) {
  const ChannelScales& src = quantization.src(quantization.pointwise.size());
  MeanScales mean{{src.scale.begin(), src.scale.end()}, {}};
  for (std::size_t c = 0; c < mean.scale.size(); ++c) {
    mean.shift.push_back(-mean.scale[c] * src.zero_point[c]);
  }
  return mean;
}

PackedPointwise quantize_patch_embed(const Node& node, float src_scale, const ChannelScales& dst,
                                     const KernelTable& table, PatchOrder order) {
  if (node.kernel_size > kMostPatchSize) {
    throw Error(Code::kUnsupported,
                fmt::format("{0}: our int8 takes patches of up to {1}×{1} pixels, found {2}×{2}",
                            node.name, kMostPatchSize, node.kernel_size));
  }
  const bool floats = order == PatchOrder::kChannelsFirst;
  const PatchWeights weights = patch_weights(node, floats ? kMostPatchValue : 255);
  const int ic = node.ic * node.kernel_size * node.kernel_size;
  PackedPointwise packed = pack_epilogue(node, patch_embed_epilogue(node, dst), table, ic);
  packed.weights = Buffer<float>(product_words(packed, table, patch_per_word(table)));
  auto* const values = reinterpret_cast<std::int16_t*>(packed.weights.data());
  place_product(ic, node.oc, patch_per_word(table), table, [&](std::size_t at, int o, int i) {
    values[at] = weights.int16s[static_cast<std::size_t>(o * ic + patch_column(node, order, i))];
  });
  node.weights.let_go();
  std::vector<double> unscale = doubles(weights.scale);
  for (double& v : unscale) v /= src_scale;
  check_finite(node, unscale);
  packed.unscale = padded(unscale, 0, node.oc, packed.tiles * table.oc_tile);
  packed.border = border_of(dst, packed.tiles * table.oc_tile, table.per_word);
  return packed;
}

PackedDepthwise quantize_depthwise(const Node& node, const ChannelScales& src,
                                   const ChannelScales& dst, const KernelTable& table) {
  const int k = node.kernel_size, lanes = table.lanes, blocks = ceil_div(node.oc, lanes);
  const auto& [weights, epilogue] = depthwise_layer(node, src, dst);
  PackedDepthwise packed;
  packed.kernel_size = k;
  packed.activation = kernel_activation(node.activation);
  packed.weights = Buffer<float>(static_cast<std::size_t>(blocks * lanes) *
                                 static_cast<std::size_t>(depthwise_words(k, table)));
  packed.row_zero =
      Buffer<float>(static_cast<std::size_t>(blocks * lanes) * static_cast<std::size_t>(k));
  const std::int8_t* const int8s = weights.int8s.int8s;
  const auto row = [&](int c, int ky) {
    return int8s + (static_cast<std::ptrdiff_t>(c) * k + ky) * k;
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
  packed.unscale = padded(doubles(weights.scale), 0, node.oc, blocks * lanes);
  packed.bias = padded(epilogue.bias, 0, node.oc, blocks * lanes);
  packed.src_scale = padded(epilogue.src_scale, 0, node.oc, blocks * lanes);
  packed.scale = padded(epilogue.scale, 0, node.oc, blocks * lanes);
  packed.shift = padded(epilogue.shift, 0, node.oc, blocks * lanes);
  return packed;
}

PackedPointwise quantize_pointwise(const Node& node, const Quantization& quantization,
                                   std::size_t block, const KernelTable& table, int levels) {
  const int ic = node.ic;
  const auto& [weights, epilogue] = pointwise_layer(node, quantization, block);
  PackedPointwise packed = pack_epilogue(node, epilogue, table, ic);
  const std::int8_t* const int8s = weights.int8s.int8s;
  if (levels > 0) {
    packed.weights = strassen_words(int8s, node.oc, table.oc_tile, levels);
  } else {
    packed.weights = Buffer<float>(product_words(packed, table, table.per_word));
    place_bytes(packed.weights, table.per_word, [&](auto put) {
      place_product(ic, node.oc, table.per_word, table, [&](std::size_t at, int o, int i) {
        put(at, int8s[static_cast<std::ptrdiff_t>(o) * ic + i]);
      });
    });
  }
  node.weights.let_go();
  weights.int8s.let_go();
  packed.unscale = padded(doubles(weights.scale), 0, node.oc, packed.tiles * table.oc_tile);
  packed.border =
      border_of(quantization.pointwise[block], packed.tiles * table.oc_tile, table.per_word);
  packed.strassen = levels;
  packed.tiles >>= levels;
  return packed;
}

}  // namespace convmixer
