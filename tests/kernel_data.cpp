// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel_data.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace convmixer::test {
namespace {

std::vector<double> doubles(const std::vector<float>& values) {
  return std::vector<double>(values.begin(), values.end());
}

Layer make_layer(int ic, int oc, int kernel_size, std::size_t weights, int k, Random& random,
                 bool integers) {
  Layer layer{ic, oc, kernel_size, {}, {}, {}, {}};
  const auto n = static_cast<std::size_t>(oc);
  if (integers) {
    layer.weights = random.integers(weights);
    layer.bias = random.integers(n);
    layer.shift = random.integers(n);
    // Powers of two keep the result exact.
    for (std::size_t i = 0; i < n; ++i) {
      layer.scale.push_back(
          std::ldexp(random.integer(0, 1) == 0 ? 1.0f : -1.0f, random.integer(-2, 1)));
    }
  } else {
    const float size = std::sqrt(3.0f / static_cast<float>(k));
    layer.weights = random.uniforms(weights, -size, size);
    layer.bias = random.uniforms(n, -0.5f, 0.5f);
    layer.scale = random.uniforms(n, -1.5f, 1.5f);
    layer.shift = random.uniforms(n, -1.0f, 1.0f);
  }
  return layer;
}

// [oc tile][ic, a multiple of lanes][oc_tile]
Framed pack_product(const KernelTable& table, const Layer& layer, int ic) {
  const int ic_padded = ceil_div(ic, table.lanes) * table.lanes;
  const int tiles = ceil_div(layer.oc, table.oc_tile);
  Framed packed(static_cast<std::size_t>(tiles) * ic_padded * table.oc_tile);
  std::size_t at = 0;
  for (int t = 0; t < tiles; ++t) {
    for (int i = 0; i < ic_padded; ++i) {
      for (int o = t * table.oc_tile; o < (t + 1) * table.oc_tile; ++o, ++at) {
        packed[at] =
            i < ic && o < layer.oc ? layer.weights[static_cast<std::size_t>(o) * ic + i] : 0.0f;
      }
    }
  }
  return packed;
}

// Four rows for each three of taps, and two for the one that is left of seven.
int winograd_words(int kernel_size) { return kernel_size == 9 ? 12 * 9 : 10 * 7; }

// As kernels/params.h tells of DepthwiseParams, each product's rows one after the other.
Framed pack_winograd_taps(const KernelTable& table, const Layer& layer) {
  const int k = layer.kernel_size, lanes = table.lanes;
  Framed packed(static_cast<std::size_t>(winograd_words(k) * round_up(layer.oc, lanes)));
  std::size_t at = 0;
  for (int first = 0; first < layer.oc; first += lanes) {
    const auto put_row = [&](int ky, std::array<double, 3> factors) {
      for (int kx = 0; kx < k; ++kx) {
        for (int c = first; c < first + lanes; ++c, ++at) {
          double sum = 0;
          for (int i = 0; i < 3 && c < layer.oc; ++i) {
            const double factor = factors[static_cast<std::size_t>(i)];
            if (factor == 0) continue;
            sum +=
                factor * double{layer.weights[static_cast<std::size_t>((c * k + ky + i) * k + kx)]};
          }
          packed[at] = static_cast<float>(sum);
        }
      }
    };
    for (const std::array<double, 3>& factors :
         {std::array{0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {1.0, 0.0, 0.0}, {0.0, 0.0, 1.0}}) {
      int ky = 0;
      for (; ky + 3 <= k; ky += 3) put_row(ky, factors);
      for (; ky < k && factors[1] == 0; ++ky) put_row(ky, {1.0, 0.0, 0.0});
    }
  }
  return packed;
}

// [c_blk][k][k][lanes], or Winograd's products.
Framed pack_taps(const KernelTable& table, const Layer& layer) {
  if (in_winograd_products(table, layer.kernel_size)) return pack_winograd_taps(table, layer);
  const int lanes = table.lanes, taps = layer.kernel_size * layer.kernel_size;
  const int blocks = ceil_div(layer.oc, lanes);
  Framed packed(static_cast<std::size_t>(blocks) * taps * lanes);
  std::size_t at = 0;
  for (int b = 0; b < blocks; ++b) {
    for (int t = 0; t < taps; ++t) {
      for (int c = b * lanes; c < (b + 1) * lanes; ++c, ++at) {
        packed[at] = c < layer.oc ? layer.weights[static_cast<std::size_t>(c) * taps + t] : 0.0f;
      }
    }
  }
  return packed;
}

}  // namespace

Activation activation_of(KernelActivation activation) {
  return activation == kActGelu   ? Activation::kGelu
         : activation == kActRelu ? Activation::kRelu
                                  : Activation::kIdentity;
}

Placement Placement::planes(const KernelTable& table, int c, int h, int w, int gap) {
  Placement p;
  p.lanes = table.lanes;
  p.first = static_cast<std::int64_t>(gap) * p.lanes;
  p.zeros = p.first + static_cast<std::int64_t>(h) * (w + gap) * p.lanes;
  p.block_stride = p.zeros + 16;
  p.size = p.block_stride * ceil_div(c, p.lanes);
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) p.offset.push_back((y * (w + gap) + x) * p.lanes);
  }
  return p;
}

Placement Placement::panel(const KernelTable& table, int c, int pixels, int room) {
  Placement p;
  p.lanes = table.lanes;
  p.block_stride = static_cast<std::int64_t>(pixels + room) * p.lanes;
  p.size = p.block_stride * ceil_div(c, p.lanes) - room * p.lanes;
  for (int i = 0; i < pixels; ++i) p.offset.push_back(i * p.lanes);
  return p;
}

Placement Placement::operands(const KernelTable& table, int c, int pixels) {
  if (table.pieces == 1) return panel(table, c, pixels, 1);
  Placement p;
  p.lanes = table.lanes;
  p.blocks_beside = table.panel_blocks;
  p.pieces = table.pieces;
  const int words = p.lanes / 2 * p.blocks_beside * p.pieces;  // of a pixel
  p.block_stride = static_cast<std::int64_t>(pixels + 15) * words;
  p.size = p.block_stride * ceil_div(c, p.lanes * p.blocks_beside);
  for (int i = 0; i < pixels; ++i) p.offset.push_back(i * words);
  return p;
}

std::int64_t Placement::block(int b) const {
  return first + b / blocks_beside * block_stride + b % blocks_beside * (lanes / 2);
}

std::int64_t Placement::word(int channel, int pixel, int piece) const {
  const int lane = channel % lanes;
  return block(channel / lanes) + offset[static_cast<std::size_t>(pixel)] +
         (pieces > 1 ? piece * blocks_beside * (lanes / 2) + lane / 2 : lane);
}

namespace {

// The upper 16 bits of the float are one's value.
constexpr std::uint32_t kUpper = 0xffff0000u;

float nearest_bf16(float value) {
  if (!std::isfinite(value)) return value;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return std::bit_cast<float>((bits + 0x7fffu + (bits >> 16 & 1u)) & kUpper);
}

void put(const Placement& to, float* dst, int c, int pixel, float value) {
  if (to.pieces == 1) {
    dst[to.word(c, pixel, 0)] = value;
    return;
  }
  for (int i = 0; i < to.pieces; ++i) {
    const float piece = nearest_bf16(value);
    value -= piece;
    auto* const halves = reinterpret_cast<std::uint16_t*>(dst + to.word(c, pixel, i));
    halves[c % 2] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(piece) >> 16);
  }
}

}  // namespace

Framed place(const Placement& to, int c, const std::vector<float>& values) {
  Framed dst(static_cast<std::size_t>(to.size));
  const int blocks = ceil_div(c, to.lanes);
  for (int b = 0; b < blocks && to.zeros > 0; ++b) {
    std::fill_n(dst.data() + b * to.block_stride, to.zeros, 0.0f);
  }
  const std::size_t pixels = to.offset.size();
  for (int i = 0; i < blocks * to.lanes; ++i) {
    for (std::size_t p = 0; p < pixels; ++p) {
      put(to, dst.data(), i, static_cast<int>(p),
          i < c ? values[static_cast<std::size_t>(i) * pixels + p] : 0.0f);
    }
  }
  return dst;
}

float placed(const Placement& at, const Framed& dst, int c, int pixel) {
  if (at.pieces == 1) return dst.data()[at.word(c, pixel, 0)];
  double sum = 0;
  for (int i = 0; i < at.pieces; ++i) {
    const auto word = std::bit_cast<std::uint32_t>(dst.data()[at.word(c, pixel, i)]);
    sum += static_cast<double>(std::bit_cast<float>(c % 2 == 0 ? word << 16 : word & kUpper));
  }
  return static_cast<float>(sum);
}

testing::AssertionResult padding_intact(const Placement& at, const Framed& dst, int c,
                                        int non_finite_pixel) {
  std::vector<bool> written(dst.size());
  for (int i = 0; i < ceil_div(c, at.lanes) * at.lanes; ++i) {
    for (int p = 0; p < static_cast<int>(at.offset.size()); ++p) {
      for (int piece = 0; piece < at.pieces; ++piece) {
        written[static_cast<std::size_t>(at.word(i, p, piece))] = true;
      }
      const float value = placed(at, dst, i, p);
      const bool may_be_nan = p == non_finite_pixel && std::isnan(value);
      if (i >= c && value != 0.0f && !may_be_nan) {
        return testing::AssertionFailure() << "lane " << i << " beyond channel " << c - 1 << " is "
                                           << value << ", want 0 (pixel " << p << ")";
      }
    }
  }
  for (std::size_t f = 0; f < dst.size(); ++f) {
    if (!written[f] && !dst.untouched(f)) {
      return testing::AssertionFailure() << "the gap at word " << f << " was overwritten";
    }
  }
  return dst.frame_intact();
}

Framed pack_channels(const std::vector<float>& values, int block) {
  const int n = static_cast<int>(values.size());
  Framed packed(static_cast<std::size_t>(ceil_div(n, block)) * static_cast<std::size_t>(block));
  std::fill(packed.data(), packed.data() + packed.size(), 0.0f);
  std::copy(values.begin(), values.end(), packed.data());
  return packed;
}

Layer Layer::pointwise(int ic, int oc, Random& random, bool integers) {
  return make_layer(ic, oc, 1, static_cast<std::size_t>(ic) * static_cast<std::size_t>(oc), ic,
                    random, integers);
}

bool in_winograd_products(const KernelTable& table, int kernel_size) {
  return table.winograd && (kernel_size == 7 || kernel_size == 9);
}

Layer Layer::depthwise(int c, int kernel_size, Random& random, bool integers) {
  const int taps = kernel_size * kernel_size;
  return make_layer(c, c, kernel_size, static_cast<std::size_t>(c) * taps, taps, random, integers);
}

Layer Layer::patch_embed(int oc, int patch_size, Random& random, bool integers) {
  const int k = 3 * patch_size * patch_size;
  return make_layer(3, oc, patch_size, static_cast<std::size_t>(oc) * k, k, random, integers);
}

reference::Epilogue Layer::epilogue(KernelActivation activation) const {
  return {activation_of(activation), doubles(bias), doubles(scale), doubles(shift)};
}

double limit_of(const reference::Result& want, std::size_t i, int k, bool integers) {
  return integers
             ? 0
             : product_limit(k, want.sum.v[i]) + reference::kGeluLimits[kFp32] * want.gelu.v[i];
}

void record_worst(const Comparison& comparison, KernelActivation activation) {
  const std::string name = activation_name(activation_of(activation));
  testing::Test::RecordProperty("share_of_limit_" + name, std::to_string(comparison.worst()));
}

PointwiseCall::PointwiseCall(const KernelTable& table, const Layer& layer,
                             const std::vector<float>& src, const Placement& from,
                             const Placement& to)
    : operands(from),
      placement(to),
      panel(place(operands, layer.ic, src)),
      weights(pack_product(table, layer, layer.ic)),
      bias(pack_channels(layer.bias, table.oc_tile)),
      scale(pack_channels(layer.scale, table.oc_tile)),
      shift(pack_channels(layer.shift, table.oc_tile)),
      dst(static_cast<std::size_t>(to.size)),
      params{} {
  params.panel = panel.data();
  params.panel_block_stride = operands.block_stride;
  params.pixels = static_cast<int>(to.offset.size());
  params.ic = layer.ic;
  params.oc_blk = ceil_div(layer.oc, table.lanes);
  params.weights = weights.data();
  params.bias = bias.data();
  params.scale = scale.data();
  params.shift = shift.data();
  params.dst = dst.data() + to.first;
  params.dst_offset = placement.offset.data();
  params.dst_block_stride = to.block_stride;
  params.tile_begin = 0;
  params.tile_end = ceil_div(layer.oc, table.oc_tile);
}

DepthwiseCall::DepthwiseCall(const KernelTable& t, const Layer& layer,
                             const std::vector<float>& values, int h, int w, int gap)
    : table(t),
      c(layer.oc),
      src_placement(Placement::planes(t, c, h, w, gap)),
      dst_placement(Placement::operands(t, c, h * w)),
      src(place(src_placement, c, values)),
      weights(pack_taps(t, layer)),
      bias(pack_channels(layer.bias, t.lanes)),
      src_scale(pack_channels(std::vector<float>(static_cast<std::size_t>(c), 1.0f), t.lanes)),
      scale(pack_channels(layer.scale, t.lanes)),
      dst(static_cast<std::size_t>(dst_placement.size)),
      params{} {
  params.src = src.data() + src_placement.first;
  params.h = h;
  params.w = w;
  params.kernel_size = layer.kernel_size;
  params.row_stride = (w + gap) * t.lanes;
  params.weights = weights.data();
  params.bias = bias.data();
  params.src_scale = src_scale.data();
  params.scale = scale.data();
}

void DepthwiseCall::run(KernelActivation activation, int y_begin, int y_end) {
  for (int b = 0; b < ceil_div(c, table.lanes); ++b) {
    DepthwiseParams p = params;
    p.src += b * src_placement.block_stride;
    p.y_begin = y_begin;
    p.y_end = y_end;
    const int k = p.kernel_size;
    p.weights += static_cast<ptrdiff_t>(b) * table.lanes *
                 (in_winograd_products(table, k) ? winograd_words(k) : k * k);
    p.bias += b * table.lanes;
    p.src_scale += b * table.lanes;
    p.scale += b * table.lanes;
    p.dst = dst.data() + dst_placement.block(b) +
            dst_placement.offset[static_cast<std::size_t>(y_begin * p.w)];
    table.depthwise[activation](&p);
  }
}

}  // namespace convmixer::test
