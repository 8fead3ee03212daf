// SPDX-License-Identifier: Apache-2.0
#include "engine/strassen.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

namespace convmixer {
namespace {

constexpr int kMostStripPixels = 2 * kMostSumPixels;  // the kernel's limit

// The largest that √K·‖a‖₂ / ‖a‖₁ may be over the balanced rows a of K weights. Against inputs of
// size 1, the first is what Strassen's roundings are proportional to, the second what a plain
// product's are. Normally distributed weights have √(π/2) = 1.25, rows of trained networks up to
// about 4; 16 means that 1 weight in 256 does all the work.
constexpr double kMostSpread = 16;

constexpr double kNotFinite = std::numeric_limits<double>::infinity();

// Exponents are kept where neither weights nor sums can overflow or lose bits to denormals.
constexpr int kMostExponent = 24;

// The power of two nearest to 1 / size; 1 for a channel that is always zero.
float reciprocal_power(double size) {
  if (!(size > 0) || !std::isfinite(size)) return 1.0f;
  const auto exponent = static_cast<int>(std::lround(-std::log2(size)));
  return std::ldexp(1.0f, std::clamp(exponent, -kMostExponent, kMostExponent));
}

std::vector<float> reciprocals(const std::vector<float>& powers) {
  std::vector<float> result;
  for (const float power : powers) result.push_back(1 / power);
  return result;
}

double value(const std::vector<double>& values, std::size_t i, double otherwise) {
  return values.empty() ? otherwise : values[i];
}

// E[(scale·x + shift)²], where x has the node's statistics; 1 where they are unknown.
double mean_square(const Node& node, std::size_t c) {
  if (node.mean.empty()) return 1;
  const double scale = value(node.affine.scale, c, 1), shift = value(node.affine.shift, c, 0);
  const double mean = scale * node.mean[c] + shift;
  return mean * mean + scale * scale * node.variance[c];
}

struct Norms {
  double one, two;
};
// Of row[i] · reciprocal[i].
Norms norms_of(const float* row, const std::vector<float>& reciprocal) {
  constexpr std::size_t kSums = 8;
  float one[kSums] = {}, two[kSums] = {};
  const std::size_t n = reciprocal.size();
  double sum_one = 0, sum_two = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const float v = row[i] * reciprocal[i];
    one[i % kSums] += std::fabs(v);
    two[i % kSums] += v * v;
  }
  for (std::size_t j = 0; j < kSums; ++j) {
    sum_one += double{one[j]};
    sum_two += double{two[j]};
  }
  return {sum_one, std::sqrt(sum_two)};
}

// A square matrix within a larger one.
struct Matrix {
  const float* data;
  std::size_t size, stride;  // of a row; from row to row
  Matrix quarter(std::size_t row, std::size_t column) const {
    return {data + row * (size / 2) * stride + column * (size / 2), size / 2, stride};
  }
};

// What the seven products multiply, of n values of A's quarters, `stride` floats apart and in the
// order of kernels/strassen.inl.h.
void combine(const float* a11, const float* a12, const float* a21, const float* a22, std::size_t n,
             float* dst, std::size_t stride) {
  for (std::size_t i = 0; i < n; ++i) {
    dst[i] = a11[i] + a22[i];
    dst[stride + i] = a21[i] + a22[i];
    dst[2 * stride + i] = a22[i];
    dst[3 * stride + i] = a11[i];
    dst[4 * stride + i] = a21[i] - a11[i];
    dst[5 * stride + i] = a11[i] + a12[i];
    dst[6 * stride + i] = a12[i] - a22[i];
  }
}

// [oc tile][7][ic][tile] of the quarters of `a`, tiles `tile_stride` floats apart. A tile's
// quarters are turned kColumns input channels at a time, a cache line of each row.
void pack_products(const Matrix& a, std::size_t tile, float* dst, std::size_t tile_stride) {
  constexpr std::size_t kColumns = 16;
  const std::size_t half = a.size / 2, floats = kColumns * tile;
  std::vector<float> turned(4 * floats);
  for (std::size_t t = 0; t < half; t += tile, dst += tile_stride) {
    for (std::size_t first = 0; first < half; first += kColumns) {
      for (std::size_t q = 0; q < 4; ++q) {
        const Matrix part = a.quarter(q / 2, q % 2);
        for (std::size_t o = 0; o < tile; ++o) {
          const float* const src = part.data + (t + o) * part.stride + first;
          for (std::size_t i = 0; i < kColumns; ++i) turned[q * floats + i * tile + o] = src[i];
        }
      }
      const float* const q = turned.data();
      combine(q, q + floats, q + 2 * floats, q + 3 * floats, floats, dst + first * tile,
              half * tile);
    }
  }
}

// [oc][ic]: the node's weights times 2^f[o] / 2^d[i].
Buffer<float> balanced(const Node& node, const Balance& balance) {
  const auto ic = static_cast<std::size_t>(node.ic);
  Buffer<float> a(node.weights.size);
  const std::vector<float> reciprocal = reciprocals(balance.ic);
  for (std::size_t o = 0; o < balance.oc.size(); ++o) {
    for (std::size_t i = 0; i < ic; ++i) {
      a[o * ic + i] = node.weights.data[o * ic + i] * (balance.oc[o] * reciprocal[i]);
    }
  }
  node.weights.let_go();
  return a;
}

// The most of a strip, unless a row has more: short ones leave more threads something to do, but
// fetch the weights more often. Those of 1024 channels, 7 MB a block, are more than L2 holds, and a
// second level's products have a quarter of the pixels.
int most_pixels(const Geometry& g, const KernelTable& table, int levels) {
  constexpr int kFew = 128, kWideDim = 1024;
  return levels == 2 || (g.dim >= kWideDim && table.precision == kFp32) ? 2 * kFew : kFew;
}

}  // namespace

int strassen_rows(const Geometry& g, const KernelTable& table, int levels) {
  const int parts = 1 << levels;
  const auto can_be_cut = [&](int rows) {
    if (rows * g.w % parts != 0) return false;
    return table.per_word == 1 || (rows % parts == 0 && rows / parts * g.w % table.per_word == 0);
  };
  const int least = table.per_word == 1 ? 1 : parts;
  for (int rows = std::min(std::max(least, most_pixels(g, table, levels) / g.w), g.h); rows >= 1;
       --rows) {
    if (can_be_cut(rows) && can_be_cut(g.h % rows) && rows * g.w <= kMostStripPixels) return rows;
  }
  return 0;
}

Balance balance(const Node& before, const Node& depthwise, const Node& pointwise) {
  const auto ic = static_cast<std::size_t>(pointwise.ic),
             oc = static_cast<std::size_t>(pointwise.oc);
  Balance b;
  b.ic.resize(ic);
  b.oc.resize(oc);
  for (std::size_t i = 0; i < ic; ++i) {
    const double square = mean_square(before, i) + mean_square(depthwise, i);
    if (!std::isfinite(square)) b.spread = kNotFinite;
    b.ic[i] = reciprocal_power(std::sqrt(square));
  }
  const std::vector<float> reciprocal = reciprocals(b.ic);
  for (std::size_t o = 0; o < oc; ++o) {
    const Norms norms = norms_of(pointwise.weights.data + o * ic, reciprocal);
    b.oc[o] = reciprocal_power(norms.two);
    if (norms.two == 0) continue;
    const double spread = std::sqrt(static_cast<double>(ic)) * norms.two / norms.one;
    b.spread = std::isfinite(spread) ? std::max(b.spread, spread) : kNotFinite;
  }
  return b;
}

std::string refuse_strassen(const Geometry& g, const KernelTable& table, int levels) {
  const int parts = 1 << levels;
  if (g.dim % (parts * table.oc_tile) != 0) {
    return fmt::format("dim {} is no multiple of {}", g.dim, parts * table.oc_tile);
  }
  const int longest = table.per_word == 1 ? kMostStripPixels : kMostStripPixels / parts;
  if (g.w > longest) return fmt::format("rows of {} pixels are longer than {}", g.w, longest);
  if (strassen_rows(g, table, levels) == 0) {
    return fmt::format("{}×{} pixels make no strips, of {} pixels or fewer, of {} {}", g.h, g.w,
                       most_pixels(g, table, levels), parts,
                       table.per_word == 1 ? "parts" : "parts of whole rows and even pixels");
  }
  return "";
}

// Measured (docs/performance.md), products alone: with avx512 on Zen 4 a level gains 3 % at 256
// channels and 10 % from 768 on, with avx2 2 % or less of a model at 256 and 5 % and more from 512
// on, of bytes nothing at 256 and 6 to 10 % from 512 on; a second one gains up to 12 % from 768 on.
// On a Granite Rapids with avx512 whole models gain 6 % at 1536 channels, 4 at 1024, and lose 1 to
// 3 at 768.
std::string doubt_strassen(const Geometry& g, const KernelTable& table, int levels) {
  if (table.name == std::string_view("portable")) return "portable gains nothing";
  const int least_dim = levels == 2 ? 768 : table.lanes >= 16 ? 256 : 512;
  if (g.dim < least_dim) return fmt::format("dim {} is below {}", g.dim, least_dim);
  // Products of 8 pixels take 1 to 5 % longer than plain ones, those of 16 gain 4 to 8 %: weights
  // that are 7/4 as many have to be used often enough.
  const int pixels = strassen_rows(g, table, levels) * g.w, least_pixels = 32 * levels;
  if (pixels < least_pixels) {
    return fmt::format("strips of {} pixels are below {}", pixels, least_pixels);
  }
  return "";
}

std::string refuse_strassen(const Balance& balance) {
  if (balance.spread <= kMostSpread) return "";
  if (!std::isfinite(balance.spread)) return "weights or statistics are not finite";
  return fmt::format("its weights' spread is {:.3g}, above {}", balance.spread, kMostSpread);
}

Buffer<float> strassen_weights(const float* weights, int dim, int oc_tile, int levels) {
  const auto size = static_cast<std::size_t>(dim), tile = static_cast<std::size_t>(oc_tile);
  const Matrix a{weights, size, size};
  const std::size_t half = size / 2, quarter = half * half;
  if (levels == 1) {
    Buffer<float> packed(7 * quarter);
    pack_products(a, tile, packed.data(), 7 * half * tile);
    return packed;
  }
  Buffer<float> halves(7 * quarter);  // row by row, for the next level
  const Matrix a11 = a.quarter(0, 0), a12 = a.quarter(0, 1), a21 = a.quarter(1, 0),
               a22 = a.quarter(1, 1);
  for (std::size_t o = 0; o < half; ++o) {
    const std::size_t row = o * size;
    combine(a11.data + row, a12.data + row, a21.data + row, a22.data + row, half,
            halves.data() + o * half, quarter);
  }
  const std::size_t product = half / 2 * tile;  // one of a tile
  Buffer<float> packed(7 * 7 * quarter / 4);
  for (std::size_t m = 0; m < 7; ++m) {
    pack_products({halves.data() + m * quarter, half, half}, tile, packed.data() + 7 * m * product,
                  7 * 7 * product);
  }
  return packed;
}

PackedPointwise pack_strassen(const Node& node, const Balance& balance, const KernelTable& table,
                              int levels) {
  PackedPointwise packed = pack_epilogue(node, epilogue_of(node), table, node.ic);
  packed.strassen = levels;
  packed.tiles >>= levels;
  const std::vector<float> unscale = reciprocals(balance.oc);
  packed.unscale = Buffer<float>(unscale.size());
  std::copy(unscale.begin(), unscale.end(), packed.unscale.data());
  packed.weights = strassen_weights(balanced(node, balance).data(), node.oc, table.oc_tile, levels);
  return packed;
}

}  // namespace convmixer
