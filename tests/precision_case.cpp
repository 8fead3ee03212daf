// SPDX-License-Identifier: Apache-2.0
#include "tests/precision_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "tests/strassen_data.h"

namespace convmixer::test {
namespace {

Framed words_of(const KernelTable& table, const std::vector<float>& zero) {
  const std::uint32_t ones = table.per_word == 4 ? 0x01010101u : 0x00010001u;
  std::vector<float> words;
  for (const float z : zero) {
    words.push_back(std::bit_cast<float>(ones * static_cast<std::uint32_t>(z)));
  }
  return pack_channels(words, table.oc_tile);
}

Words run_product(const LayerCase& t, bool in_pieces) {
  const int gap = 2, tiles = ceil_div(t.s.oc, t.table.oc_tile);
  Words src = Words::panel(t.table, t.s.ic, t.s.h, t.s.w, t.per_word());
  // NaN, and the largest byte, where no value is.
  std::memset(static_cast<void*>(src.words.data()), 0xff, src.words.size() * sizeof(float));
  for (int i = 0; i < ceil_div(t.s.ic, t.table.lanes) * t.table.lanes; ++i) {
    for (int p = 0; p < t.s.h * t.s.w; ++p) {
      const int y = p / t.s.w, x = p % t.s.w;
      src.set(i, y, x, i < t.s.ic ? t.src_at(i, y, x) : 0);
    }
  }
  Words dst = Words::planes(t.table, t.s.oc, t.s.h, t.s.w, gap);
  for (int o = 0; t.table.precision != kInt8 && o < ceil_div(t.s.oc, t.table.lanes) * t.table.lanes;
       ++o) {
    dst.fill_border(o, 0);
  }
  const Framed weights = pack_words(t.table, t.per_word(), t.s.ic, t.s.oc, t.weights);
  const Framed bias = pack_channels(t.bias, t.table.oc_tile),
               scale = pack_channels(t.scale, t.table.oc_tile),
               shift = pack_channels(t.shift, t.table.oc_tile),
               unscale = pack_channels(t.unscale, t.table.oc_tile),
               border = words_of(t.table, t.zero);
  const std::vector<std::int32_t> offsets = dst.offsets();
  PointwiseParams p{};
  p.panel_block_stride = src.block_stride;
  p.ic = t.s.ic;
  p.oc_blk = ceil_div(t.s.oc, t.table.lanes);
  p.weights = weights.data();
  p.bias = bias.data();
  p.scale = scale.data();
  p.shift = shift.data();
  p.unscale = unscale.data();
  p.border = border.data();
  p.dst = dst.pixel(0, 0);
  p.dst_block_stride = dst.block_stride;
  p.row_pixels = t.s.w;
  p.gap = gap;
  const int rows = in_pieces && t.levels == 0 ? 1 : t.s.h;
  for (int y = 0; y < t.s.h; y += rows) {
    p.panel = src.pixel(y, 0);
    p.pixels = rows * t.s.w;
    p.dst_offset = offsets.data() + y * t.s.w;
    p.gap_before = y == 0;
    if (t.levels > 0) {
      run_strassen(t.table, t.activation, t.weights, t.levels, p, in_pieces);
      continue;
    }
    for (int tile = 0; tile < tiles; tile += in_pieces ? 1 : tiles) {
      p.tile_begin = tile;
      p.tile_end = in_pieces ? tile + 1 : tiles;
      (t.patch ? t.table.patch_embed : t.table.pointwise)[t.activation](&p);
    }
  }
  EXPECT_TRUE(dst.words.frame_intact());
  for (int o = 0; o < t.s.oc; ++o) {
    EXPECT_TRUE(
        dst.border_is(o, t.table.precision == kInt8 ? t.zero[static_cast<std::size_t>(o)] : 0));
  }
  return dst;
}

Words run_depthwise(const LayerCase& t, bool in_pieces) {
  const int k = t.s.k, lanes = t.table.lanes, blocks = ceil_div(t.s.ic, lanes);
  const int gap = ceil_div(k / 2, t.table.per_word) + 1;
  Words src = Words::planes(t.table, t.s.ic, t.s.h, t.s.w, gap);
  for (int c = 0; c < blocks * lanes; ++c) {
    const bool there = c < t.s.ic;
    src.fill_border(c, there && t.bytes() ? t.zero[static_cast<std::size_t>(c)] : 0);
    for (int y = 0; y < t.s.h; ++y) {
      for (int x = 0; x < t.s.w; ++x) src.set(c, y, x, there ? t.src_at(c, y, x) : 0);
    }
  }
  Words dst = Words::panel(t.table, t.s.ic, t.s.h, t.s.w, t.table.per_word);
  std::vector<float> row_zero(static_cast<std::size_t>(blocks * k * lanes));
  for (int c = 0; t.bytes() && c < t.s.ic; ++c) {
    for (int ky = 0; ky < k; ++ky) {
      std::int32_t sum = 0;
      for (int kx = 0; kx < k; ++kx) {
        sum +=
            static_cast<std::int32_t>(t.weights[static_cast<std::size_t>((c * k + ky) * k + kx)] *
                                      t.zero[static_cast<std::size_t>(c)]);
      }
      std::memcpy(&row_zero[static_cast<std::size_t>((c / lanes * k + ky) * lanes + c % lanes)],
                  &sum, sizeof(sum));
    }
  }
  const Framed weights = pack_taps(t.table, t.s.ic, k, t.weights);
  const Framed bias = pack_channels(t.bias, lanes), scale = pack_channels(t.scale, lanes),
               shift = pack_channels(t.shift, lanes), unscale = pack_channels(t.unscale, lanes),
               src_scale = pack_channels(t.src_scale, lanes),
               zeros = pack_channels(row_zero, lanes);
  const std::ptrdiff_t taps = static_cast<std::ptrdiff_t>(weights.size()) / blocks;
  const int rows = !in_pieces ? t.s.h : t.s.h % 2 == 0 ? 1 : 3;
  for (int block = 0; block < blocks; ++block) {
    for (int y = 0; y < t.s.h; y += rows) {
      DepthwiseParams p{};
      p.src = src.pixel(0, 0, block);
      p.h = t.s.h;
      p.w = t.s.w;
      p.kernel_size = k;
      p.row_stride = static_cast<int>(src.row_stride);
      p.y_begin = y;
      p.y_end = std::min(y + rows, t.s.h);
      p.weights = weights.data() + block * taps;
      p.bias = bias.data() + block * lanes;
      p.src_scale = src_scale.data() + block * lanes;
      p.scale = scale.data() + block * lanes;
      p.shift = shift.data() + block * lanes;
      p.unscale = unscale.data() + block * lanes;
      p.row_zero = zeros.data() + block * k * lanes;
      p.dst = dst.pixel(y, 0, block);
      t.table.depthwise[t.activation](&p);
    }
  }
  EXPECT_TRUE(dst.words.frame_intact());
  EXPECT_TRUE(src.words.frame_intact());
  return dst;
}

}  // namespace

std::string text(const LayerShape& s) {
  return fmt::format("ic{}_oc{}_k{}_{}x{}", s.ic, s.oc, s.k, s.h, s.w);
}

LayerCase::LayerCase(const KernelTable& t, const LayerShape& shape, bool is_depthwise,
                     bool is_patch, KernelActivation a)
    : table(t), s(shape), depthwise(is_depthwise), patch(is_patch), activation(a) {
  Random random(
      static_cast<std::uint64_t>(s.ic * 1000003 + s.oc * 1009 + s.k * 101 + s.h * 11 + s.w));
  const auto channels = static_cast<std::size_t>(depthwise ? s.ic : s.oc);
  src = values(random, static_cast<std::size_t>(s.ic * s.h * s.w), patch ? -most_src() : 0,
               most_src());
  const int terms = depthwise ? s.k * s.k : s.ic;
  const float size = integers() ? most_src() * most_weight() / 6 : 1.0f;
  weights =
      values(random, channels * static_cast<std::size_t>(terms), -most_weight(), most_weight());
  bias = random.uniforms(channels, -1, 1);
  scale = random.uniforms(channels, -2, 2);
  shift = random.uniforms(channels, -1, 1);
  src_scale = random.uniforms(channels, 0.5f, 1.5f);
  for (std::size_t c = 0; c < channels; ++c) {
    zero.push_back(static_cast<float>(random.integer(0, 255)));
    unscale.push_back(1 / (size * std::sqrt(static_cast<float>(terms))) * random.uniform(0.5f, 1));
  }
  if (table.precision == kInt8) {  // results all over the bytes, some beyond: check() counts
    for (float& v : scale) v *= 50;
    for (float& v : shift) v = 128 + 30 * v;
    for (float& v : src_scale) v *= 0.3f;
  }
}

LayerCase::LayerCase(const LayerCase& other, const KernelTable& t)
    : LayerCase(t, other.s, other.depthwise, other.patch, other.activation) {
  src = other.src, weights = other.weights, bias = other.bias, scale = other.scale;
  shift = other.shift, unscale = other.unscale, zero = other.zero, src_scale = other.src_scale;
}

std::vector<float> LayerCase::values(Random& random, std::size_t count, int least, int most) const {
  std::vector<float> list;
  for (std::size_t i = 0; i < count; ++i) {
    list.push_back(integers() ? static_cast<float>(random.integer(least, most))
                              : cut_to_bf16(random.uniform(-2, 2)));
  }
  return list;
}

Words run(const LayerCase& t, bool in_pieces) {
  return t.depthwise ? run_depthwise(t, in_pieces) : run_product(t, in_pieces);
}

}  // namespace convmixer::test
