// SPDX-License-Identifier: Apache-2.0
#include "tests/precision_data.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/tap_layout.h"

namespace convmixer::test {
namespace {

// A value among others of its size at `memory`: floats, bf16, bytes, or 16 bits of int8.
void put_value(void* memory, Precision precision, int per_word, std::size_t index, double value,
               bool is_signed) {
  if (per_word == 1) {
    static_cast<float*>(memory)[index] = static_cast<float>(value);
  } else if (precision == kInt8 && per_word == 2) {
    static_cast<std::int16_t*>(memory)[index] = static_cast<std::int16_t>(value);
  } else if (per_word == 2) {
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
    static_cast<std::uint16_t*>(memory)[index] = static_cast<std::uint16_t>(bits >> 16);
  } else if (is_signed) {
    static_cast<std::int8_t*>(memory)[index] = static_cast<std::int8_t>(value);
  } else {
    static_cast<std::uint8_t*>(memory)[index] = static_cast<std::uint8_t>(value);
  }
}

Framed zeros(std::size_t size) {
  Framed words(size);
  std::memset(static_cast<void*>(words.data()), 0, size * sizeof(float));
  return words;
}

// The rows of a channel from below to above. Of kernels up to 9×9 a row of zeros, or two, stands
// before them and one behind, and a row has 16 values, else 32.
Framed pack_for_tiles(const KernelTable& table, int c, int k, const std::vector<float>& weights) {
  const bool two = k <= 9;
  const int pad = (k - 1) / 2, before = two ? round_up(pad, 4) - pad + 7 : 8 - pad + 15;
  const int rows = two ? (k % 2 == 0 ? k + 3 : k + 2) : k, row = two ? 16 : 32;
  Framed packed = zeros(static_cast<std::size_t>(round_up(c, table.lanes) * rows * row / 2));
  for (int i = 0; i < c * k * k; ++i) {
    const int channel = i / (k * k), ky = i / k % k, kx = i % k;
    const int at = channel * rows + (two ? rows - 2 : rows - 1) - ky;
    put_value(packed.data(), kBf16, 2, static_cast<std::size_t>(at * row + before + kx),
              weights[static_cast<std::size_t>(i)], true);
  }
  return packed;
}

}  // namespace

float cut_to_bf16(float value) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xffff0000u);
}

Words::Words(Precision precision_, int per_word_, int lanes_, int c_, int h_, int w_, int gap_,
             std::ptrdiff_t block_stride_, std::ptrdiff_t row_stride_, int beside)
    : words(static_cast<std::size_t>(ceil_div(ceil_div(c_, lanes_), std::max(1, beside)) *
                                     block_stride_)),
      precision(precision_),
      per_word(per_word_),
      lanes(lanes_),
      c(c_),
      h(h_),
      w(w_),
      gap(gap_),
      block_stride(block_stride_),
      row_stride(row_stride_),
      beside_(beside) {}

Words Words::planes(const KernelTable& table, int c, int h, int w, int gap) {
  const int row = (ceil_div(w, table.per_word) + gap) * table.lanes;
  return {table.precision,
          table.per_word,
          table.lanes,
          c,
          h,
          w,
          gap,
          (gap * table.lanes + h * row) + table.lanes,
          row,
          0};
}

Words Words::panel(const KernelTable& table, int c, int h, int w, int per_word) {
  const int lanes = table.lanes, beside = per_word == table.per_word ? table.panel_blocks : 1;
  const int pixels = beside > 1 ? h * w + 15 : h * w;
  const int words = round_up(ceil_div(pixels * lanes * beside, per_word), lanes) + lanes;
  const Precision precision = per_word == 1 ? kFp32 : table.precision;
  return {precision, per_word, lanes, c, h, w, 0, words, 0, beside};
}

std::size_t Words::index(int channel, int y, int x) const {
  const auto n = static_cast<std::size_t>(per_word);
  const int block = channel / lanes;
  const auto lane = static_cast<std::size_t>(channel % lanes);
  if (beside_ != 0) {
    const int in_row = ((y * w + x) * beside_ + block % beside_) * lanes;
    return static_cast<std::size_t>(block / beside_ * block_stride) * n +
           static_cast<std::size_t>(in_row) + lane;
  }
  const auto plane = static_cast<std::size_t>(block * block_stride);
  const auto group = static_cast<std::size_t>(gap * lanes + y * row_stride + x / per_word * lanes);
  return (plane + group + lane) * n + static_cast<std::size_t>(x % per_word);
}

double Words::value(std::size_t i) const {
  if (per_word == 1) return words[i];
  if (per_word == 4) return reinterpret_cast<const std::uint8_t*>(words.data())[i];
  if (precision == kInt8) return reinterpret_cast<const std::int16_t*>(words.data())[i];
  const std::uint32_t half = reinterpret_cast<const std::uint16_t*>(words.data())[i];
  return std::bit_cast<float>(half << 16);
}

void Words::put(std::size_t i, double value) {
  put_value(words.data(), precision, per_word, i, value, false);
}

template <typename Body>
void Words::each_border(int channel, Body body) const {
  for (int y = -1; y < h; ++y) {
    // Behind row y; the gap before row 0 is that behind row −1.
    const int first = y < 0 ? round_up(w, per_word) : w;
    const int end = round_up(w, per_word) + gap * per_word;
    for (int x = first; x < end; ++x) body(index(channel, y, x));
  }
}

void Words::fill_border(int channel, double value) {
  each_border(channel, [&](std::size_t i) { put(i, value); });
}

testing::AssertionResult Words::border_is(int channel, double want) const {
  int wrong = 0;
  each_border(channel, [&](std::size_t i) { wrong += value(i) == want ? 0 : 1; });
  if (wrong == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << wrong << " border values of channel " << channel << " are not " << want;
}

float* Words::pixel(int y, int x, int block) {
  if (beside_ == 0) {
    return words.data() + block * block_stride + gap * lanes + y * row_stride +
           x / per_word * lanes;
  }
  return words.data() + block / beside_ * block_stride +
         ((y * w + x) * beside_ + block % beside_) * lanes / per_word;
}

std::vector<std::int32_t> Words::offsets() const {
  std::vector<std::int32_t> offsets;
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      offsets.push_back(static_cast<std::int32_t>(y * row_stride + x / per_word * lanes));
    }
  }
  return offsets;
}

Framed pack_words(const KernelTable& table, int per_word, int ic, int oc,
                  const std::vector<float>& weights) {
  const int tile = table.oc_tile, values = round_up(ic, table.lanes);
  const int tiles = ceil_div(oc, tile);
  Framed packed = zeros(static_cast<std::size_t>(tiles * values / per_word * tile));
  for (int o = 0; o < oc; ++o) {
    for (int i = 0; i < ic; ++i) {
      const int word =
          (o / tile * values + i / per_word * per_word) * tile + o % tile * per_word + i % per_word;
      put_value(packed.data(), table.precision, per_word, static_cast<std::size_t>(word),
                weights[static_cast<std::size_t>(o * ic + i)], true);
    }
  }
  return packed;
}

Framed pack_taps(const KernelTable& table, int c, int k, const std::vector<float>& weights) {
  const int n = table.per_word, lanes = table.lanes, pad = (k - 1) / 2;
  if (table.taps_in_tiles && k <= kMostKernelInTiles) return pack_for_tiles(table, c, k, weights);
  const int before = ceil_div(pad, n), groups = before + 1 + ceil_div(k - 1 - pad, n);
  Framed packed = zeros(static_cast<std::size_t>(ceil_div(c, lanes) * k * groups * n * lanes));
  for (int channel = 0; channel < c; ++channel) {
    for (int ky = 0; ky < k; ++ky) {
      for (int kx = 0; kx < k; ++kx) {
        for (int pixel = 0; pixel < n; ++pixel) {
          const int x = before * n + pixel - pad + kx;
          const int block = ((channel / lanes * k + ky) * groups + x / n) * n + pixel;
          put_value(packed.data(), table.precision, n,
                    static_cast<std::size_t>((block * lanes + channel % lanes) * n + x % n),
                    weights[static_cast<std::size_t>((channel * k + ky) * k + kx)], true);
        }
      }
    }
  }
  return packed;
}

}  // namespace convmixer::test
