// SPDX-License-Identifier: Apache-2.0
#include "engine/strassen.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace convmixer {
namespace {

constexpr int kMostPixels = 128;

// The largest that √K·‖a‖₂ / ‖a‖₁ may be over the balanced rows a of K weights. Against inputs of
// size 1, the first is what Strassen's roundings are proportional to, the second what a plain
// product's are. Normally distributed weights have √(π/2) = 1.25, rows of trained networks up to
// about 4; 16 means that 1 weight in 256 does all the work.
constexpr double kMostSpread = 16;

// Exponents are kept where neither weights nor sums can overflow or lose bits to denormals.
constexpr int kMostExponent = 24;

// The power of two nearest to 1 / size; 1 for a channel that is always zero.
float reciprocal_power(double size) {
  if (!(size > 0) || !std::isfinite(size)) return 1.0f;
  const auto exponent = static_cast<int>(std::lround(-std::log2(size)));
  return std::ldexp(1.0f, std::clamp(exponent, -kMostExponent, kMostExponent));
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
// Of row[i] / ic[i].
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

// A quarter's tile of 16 input channels: [ic][kOcTile].
constexpr int kColumns = 16;

}  // namespace

int strassen_rows(const Geometry& g) {
  const int most = std::max(1, kMostPixels / g.w);
  for (int rows = std::min(most, g.h); rows >= 1; --rows) {
    const bool even = rows * g.w % 2 == 0 && g.h % rows * g.w % 2 == 0;
    if (even && rows * g.w <= 2 * kMostPixels) return rows;
  }
  return 0;
}

Balance balance(const Node& before, const Node& depthwise, const Node& pointwise) {
  const auto ic = static_cast<std::size_t>(pointwise.ic),
             oc = static_cast<std::size_t>(pointwise.oc);
  Balance b;
  b.ic.resize(ic);
  b.oc.resize(oc);
  std::vector<float> reciprocal(ic);
  for (std::size_t i = 0; i < ic; ++i) {
    const double square = mean_square(before, i) + mean_square(depthwise, i);
    if (!std::isfinite(square)) b.spread = square;
    b.ic[i] = reciprocal_power(std::sqrt(square));
    reciprocal[i] = 1 / b.ic[i];
  }
  for (std::size_t o = 0; o < oc; ++o) {
    const Norms norms = norms_of(pointwise.weights.data + o * ic, reciprocal);
    b.oc[o] = reciprocal_power(norms.two);
    if (norms.two == 0) continue;
    const double spread = std::sqrt(static_cast<double>(ic)) * norms.two / norms.one;
    if (!(spread <= b.spread)) b.spread = spread;
  }
  return b;
}

std::string refuse_strassen(const Geometry& g, const KernelTable& table) {
  if (g.dim % (2 * table.oc_tile) != 0) {
    return fmt::format("dim {} is no multiple of {}", g.dim, 2 * table.oc_tile);
  }
  if (strassen_rows(g) == 0) {
    return fmt::format("{}×{} pixels make no strips of an even number", g.h, g.w);
  }
  return "";
}

// Measured (docs/performance.md): with avx512 it gains 2 % at 256 channels and 9 % at 768, with
// avx2 it loses 1 % at 256 and gains 6 % at 768.
std::string doubt_strassen(const Geometry& g, const KernelTable& table) {
  if (table.name == std::string_view("portable")) return "portable gains nothing";
  const int least_dim = table.lanes >= 16 ? 256 : 512;
  if (g.dim < least_dim) return fmt::format("dim {} is below {}", g.dim, least_dim);
  return "";
}

std::string refuse_strassen(const Balance& balance) {
  if (balance.spread <= kMostSpread) return "";
  if (!std::isfinite(balance.spread)) return "weights or statistics are not finite";
  return fmt::format("its weights' spread is {:.3g}, above {}", balance.spread, kMostSpread);
}

PackedPointwise pack_strassen(const Node& node, const Balance& balance, const KernelTable& table) {
  PackedPointwise packed;
  const int tile = table.oc_tile, half_ic = node.ic / 2, half_oc = node.oc / 2;
  packed.strassen = true;
  packed.ic = node.ic;
  packed.oc_blk = node.oc / table.lanes;
  packed.tiles = half_oc / tile;
  packed.activation = kernel_activation(node.activation);
  const auto product = static_cast<std::size_t>(half_oc) * static_cast<std::size_t>(half_ic);
  packed.weights = Buffer<float>(7 * product);
  std::vector<float> reciprocal(static_cast<std::size_t>(node.ic));
  for (std::size_t i = 0; i < reciprocal.size(); ++i) reciprocal[i] = 1 / balance.ic[i];
  std::vector<float> quarters(static_cast<std::size_t>(4 * kColumns * tile));
  const auto quarter = [&](int row, int column) {
    return quarters.data() + (2 * row + column) * kColumns * tile;
  };
  for (int t = 0; t < packed.tiles; ++t) {
    for (int first = 0; first < half_ic; first += kColumns) {
      for (int row = 0; row < 2; ++row) {
        for (int o = 0; o < tile; ++o) {
          const int oc = row * half_oc + t * tile + o;
          const float f = balance.oc[static_cast<std::size_t>(oc)];
          for (int column = 0; column < 2; ++column) {
            const int ic = column * half_ic + first;
            const float* const src =
                node.weights.data + static_cast<std::ptrdiff_t>(oc) * node.ic + ic;
            float* const dst = quarter(row, column) + o;
            for (int i = 0; i < kColumns; ++i)
              dst[i * tile] = src[i] * (f * reciprocal[static_cast<std::size_t>(ic + i)]);
          }
        }
      }
      float* const dst =
          packed.weights.data() + (static_cast<std::ptrdiff_t>(t) * half_ic + first) * tile;
      const float *const a11 = quarter(0, 0), *const a12 = quarter(0, 1),
                         *const a21 = quarter(1, 0), *const a22 = quarter(1, 1);
      const auto stride = static_cast<std::ptrdiff_t>(product);
      for (int i = 0; i < kColumns * tile; ++i) {
        dst[i] = a11[i] + a22[i];
        dst[stride + i] = a21[i] + a22[i];
        dst[2 * stride + i] = a11[i];
        dst[3 * stride + i] = a22[i];
        dst[4 * stride + i] = a11[i] + a12[i];
        dst[5 * stride + i] = a21[i] - a11[i];
        dst[6 * stride + i] = a12[i] - a22[i];
      }
    }
  }
  node.weights.let_go();
  packed.bias = padded(node.bias, 0.0, node.oc, node.oc);
  packed.scale = padded(node.affine.scale, 1.0, node.oc, node.oc);
  packed.shift = padded(node.affine.shift, 0.0, node.oc, node.oc);
  packed.unscale = Buffer<float>(balance.oc.size());
  for (std::size_t o = 0; o < balance.oc.size(); ++o) packed.unscale[o] = 1 / balance.oc[o];
  return packed;
}

}  // namespace convmixer
