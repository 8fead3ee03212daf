// SPDX-License-Identifier: Apache-2.0
// The kernels of bf16 and int8. Operands are exact in the precision, so that the oracle computes
// with the same ones; results are one rounding away. In int8 sums are exact, and what is behind
// them is repeated here step by step: bytes must be equal; with GELU, equal to those of portable.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <tuple>
#include <utility>

#include "kernels/registry.h"
#include "kernels/tap_layout.h"
#include "tests/kernel_data.h"
#include "tests/kernel_tests.h"
#include "tests/precision_case.h"

namespace convmixer::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Σ |a·b| and Σ a·b in double, which is exact for bytes.
struct Sum {
  double value = 0, magnitude = 0;
  void add(double a, double b) {
    value += a * b;
    magnitude += std::abs(a * b);
  }
};

Sum sum_of(const LayerCase& t, int o, int y, int x) {
  Sum sum;
  if (!t.depthwise) {
    for (int i = 0; i < t.s.ic; ++i) {
      sum.add(t.src_at(i, y, x), t.weights[static_cast<std::size_t>(o * t.s.ic + i)]);
    }
    return sum;
  }
  const int k = t.s.k, pad = (k - 1) / 2;
  for (int ky = 0; ky < k; ++ky) {
    for (int kx = 0; kx < k; ++kx) {
      const int sy = y + ky - pad, sx = x + kx - pad;
      if (sy < 0 || sy >= t.s.h || sx < 0 || sx >= t.s.w) continue;
      const double zero = t.bytes() ? t.zero[static_cast<std::size_t>(o)] : 0;
      sum.add(t.src_at(o, sy, sx) - zero,
              t.weights[static_cast<std::size_t>((o * k + ky) * k + kx)]);
    }
  }
  return sum;
}

double to_byte(double v) { return std::isnan(v) ? 0 : std::clamp(std::nearbyint(v), 0.0, 255.0); }

// What a result must be, and how far from it it may lie.
struct Want {
  double value, limit;
};

// Before it is rounded; with GELU the limit is of its approximation.
Want want_unrounded(const LayerCase& t, std::size_t c, int y, int x) {
  const Sum sum = sum_of(t, static_cast<int>(c), y, x);
  const float unscaled = static_cast<float>(static_cast<std::int32_t>(sum.value));
  float u = std::fma(unscaled, t.unscale[c], t.bias[c]);
  float shift = t.shift[c];
  if (t.depthwise) {
    const auto src = static_cast<float>(t.src_at(static_cast<int>(c), y, x));
    shift = std::fma(t.src_scale[c], src, shift);
  }
  if (t.activation == kActGelu) {
    const double v = t.scale[c] * reference::gelu(u) + shift;
    return {v, reference::kGeluLimits[kInt8] * std::max(1.0f, u) * std::abs(t.scale[c])};
  }
  if (t.activation == kActRelu) u = std::max(0.0f, u);
  return {std::fma(t.scale[c], u, shift), 0};
}

// Of planes, with half of what rounding the pixel before left over, but for every fourth.
Want want_bytes(const LayerCase& t, std::size_t c, int y, int x) {
  if (t.activation == kActGelu) {
    const Want v = want_unrounded(t, c, y, x);
    return {v.value, v.limit + (t.depthwise || x % 4 == 0 ? 0.5001 : 0.7501)};
  }
  float left_over = 0, byte = 0;
  for (int i = t.depthwise ? x : x / 4 * 4; i <= x; ++i) {
    const float v = static_cast<float>(want_unrounded(t, c, y, i).value) + left_over / 2;
    byte = static_cast<float>(to_byte(v));
    left_over = std::isnan(v) ? 0 : std::clamp(v, 0.0f, 255.0f) - byte;
  }
  return {byte, 0};
}

Want want_bf16(const LayerCase& t, std::size_t c, int y, int x) {
  const Sum sum = sum_of(t, static_cast<int>(c), y, x);
  const double u = sum.value + t.bias[c];
  double limit = product_limit(t.depthwise ? t.s.k * t.s.k : t.s.ic, sum.magnitude + std::abs(u));
  if (t.activation == kActGelu) {
    limit = 1.13 * limit + reference::kGeluLimits[kBf16] * std::max(1.0, u);
  }
  double v = t.scale[c] * reference::activate(activation_of(t.activation), u);
  v += t.depthwise ? t.src_scale[c] * t.src_at(static_cast<int>(c), y, x) : t.shift[c];
  // Half of the last of 8 bits, a little more for the float operations before.
  return {v, limit * std::abs(t.scale[c]) + 0x1.01p-8 * (std::abs(v) + 1e-4)};
}

Want want(const LayerCase& t, int o, int y, int x) {
  const auto c = static_cast<std::size_t>(o);
  return t.table.precision == kInt8 ? want_bytes(t, c, y, x) : want_bf16(t, c, y, x);
}

void check(const LayerCase& t) {
  const Words got = run(t, false), pieces = run(t, true);
  const LayerCase portable(t, *available_tables(t.table.precision).back());
  const Words same = run(portable, false);
  Comparison comparison(fmt::format("{} {}", t.table.name, text(t.s)));
  const int channels = t.depthwise ? t.s.ic : t.s.oc;
  int inside = 0;
  for (int c = 0; c < channels; ++c) {
    for (int y = 0; y < t.s.h; ++y) {
      for (int x = 0; x < t.s.w; ++x) {
        const Want w = want(t, c, y, x);
        const bool clamped = w.limit != 0 && t.table.precision == kInt8;
        comparison.add(0, c, y, x, clamped ? std::clamp(w.value, 0.0, 255.0) : w.value,
                       got.get(c, y, x), w.limit);
        ASSERT_EQ(got.get(c, y, x), pieces.get(c, y, x)) << c << ", " << y << ", " << x;
        if (t.integers()) {
          ASSERT_EQ(got.get(c, y, x), same.get(c, y, x)) << c << ", " << y << ", " << x;
          inside += got.get(c, y, x) > 0 && got.get(c, y, x) < 255 ? 1 : 0;
        }
      }
    }
  }
  EXPECT_TRUE(comparison.result());
  if (t.integers() && channels * t.s.h * t.s.w >= 100) {
    EXPECT_GT(inside, channels * t.s.h * t.s.w / 2) << "most results are 0 or 255 and show little";
  }
  record_worst(comparison, t.activation);
}

void check_all_activations(const KernelTable& table, const LayerShape& s, bool depthwise,
                           bool patch, int levels = 0) {
  for (const KernelActivation a : {kActIdentity, kActRelu, kActGelu}) {
    SCOPED_TRACE(activation_name(activation_of(a)));
    LayerCase t(table, s, depthwise, patch, a);
    t.levels = levels;
    check(t);
  }
}

// The largest sums there are: no pair of products may be cut to 16 bits.
void check_largest_sums(const KernelTable& table) {
  const std::tuple<int, bool, bool, int> layers[] = {
      {1536, false, false, 0}, {table.lanes, true, false, 0}, {16, false, true, 0},
      {12288, false, true, 0}, {1536, false, false, 1},       {1536, false, false, 2}};
  for (const float sign : {1.0f, -1.0f}) {
    for (const auto& [ic, depthwise, patch, levels] : layers) {
      if (levels > 0 && table.strassen[kActIdentity] == nullptr) continue;
      const int oc = levels > 0 ? table.oc_tile << levels : table.lanes;
      LayerCase t(table, {ic, oc, 9, 12, 10}, depthwise, patch, kActIdentity);
      t.levels = levels;
      std::fill(t.src.begin(), t.src.end(), static_cast<float>(t.most_src()));
      std::fill(t.weights.begin(), t.weights.end(),
                sign * (ic == 12288 ? 42
                        : patch     ? 32767
                                    : 127));
      // Up to ±49.7 million, as ±95 around the middle; of patches ±2.147 billion, as ±64.
      std::fill(t.unscale.begin(), t.unscale.end(), patch ? 0x1p-25f : 0x1p-19f);
      std::fill(t.bias.begin(), t.bias.end(), 0.0f);
      std::fill(t.scale.begin(), t.scale.end(), 1.0f);
      std::fill(t.shift.begin(), t.shift.end(), 128.0f);
      std::fill(t.src_scale.begin(), t.src_scale.end(), 0.0f);
      check(t);
    }
  }
}

// Halves go to the even neighbour; NaN stays NaN in bf16 and becomes 0 in int8.
void check_rounding(const KernelTable& table) {
  const std::pair<float, float> bf16[] = {{1 + 0x1p-8f, 1},
                                          {1 + 0x3p-8f, 1 + 0x1p-6f},
                                          {-1 - 0x1p-8f, -1},
                                          {1 + 0x1.8p-8f, 1 + 0x1p-7f},
                                          {0x1.ffp127f, std::numeric_limits<float>::infinity()},
                                          {0x1.fep127f, 0x1.fep127f}};
  const std::pair<float, float> bytes[] = {
      {0.5f, 0},    {1.5f, 2},        {2.5f, 2},       {254.5f, 254},  {255.5f, 255},
      {1e30f, 255}, {0x1p31f, 255},   {-3, 0},         {-40000.0f, 0}, {-0x1p31f, 0},
      {-1e30f, 0},  {kInfinity, 255}, {-kInfinity, 0}, {kNan, 0},      {-kNan, 0}};
  // Of a pixel to which nothing is left over.
  const auto expect = [&](float value, float rounded) {
    for (const bool depthwise : {false, true}) {
      LayerCase t(table, {1, 1, 1, 2, 5}, depthwise, false, kActIdentity);
      std::fill(t.weights.begin(), t.weights.end(), 0.0f);
      std::fill(t.src.begin(), t.src.end(), 0.0f);
      t.bias = {value};
      t.scale = {1};
      t.shift = {0};
      const double got = run(t, false).get(0, 1, 4);
      EXPECT_TRUE(got == rounded || (std::isnan(rounded) && std::isnan(got)))
          << value << " became " << got << ", not " << rounded;
    }
  };
  if (table.precision == kInt8) {
    for (const auto& [value, rounded] : bytes) expect(value, rounded);
  } else {
    for (const auto& [value, rounded] : bf16) expect(value, rounded);
    expect(kNan, kNan);
  }
}

// A plane's pixels that are all 0.7, so that their mean is nearly kept, and what is cut off.
void check_diffusion(const KernelTable& table) {
  const std::pair<float, std::array<int, 6>> rows[] = {{0.7f, {1, 1, 0, 1, 1, 1}},
                                                       {-0.3f, {0, 0, 0, 0, 0, 0}},
                                                       {300.4f, {255, 255, 255, 255, 255, 255}},
                                                       {kNan, {0, 0, 0, 0, 0, 0}}};
  for (const auto& [value, bytes] : rows) {
    for (const bool patch : {false, true}) {
      LayerCase t(table, {1, 1, 1, 2, 6}, false, patch, kActIdentity);
      std::fill(t.src.begin(), t.src.end(), 0.0f);
      t.bias = {value};
      t.scale = {1};
      t.shift = {0};
      const Words got = run(t, false);
      for (int x = 0; x < 6; ++x) {
        EXPECT_EQ(got.get(0, 1, x), bytes[static_cast<std::size_t>(x)]) << value << ", pixel " << x;
      }
    }
  }
}

}  // namespace

KernelTests precision_tests(const KernelTable& table) {
  KernelTests tests;
  const auto add = [&](const char* op, const std::string& shape, auto body) {
    tests.push_back({op, shape, body});
  };
  const int lanes = table.lanes, tile = table.oc_tile, px = table.pixel_tile;
  const int ics[] = {1, 2, 3, 4, 5, lanes - 1, lanes, lanes + 3, 5 * lanes + 2};
  const std::pair<int, int> sizes[] = {{1, 1},  {1, px}, {2, px + 1}, {3, 5},  {4, 4},   {5, 7},
                                       {2, 16}, {3, 8},  {1, 131},    {9, 15}, {3, 129}, {2, 150}};
  std::size_t next = 0;
  for (const int oc : {1, lanes, lanes + 1, tile - 1, tile, 2 * tile + 3}) {
    for (const auto& [h, w] : sizes) {
      const LayerShape s{ics[next++ % std::size(ics)], oc, 1, h, w};
      add("pointwise", text(s),
          [=](const KernelTable& t) { check_all_activations(t, s, false, false); });
      if (next % 2 == 0) {
        add("patch_embed", text(s),
            [=](const KernelTable& t) { check_all_activations(t, s, false, true); });
      }
    }
  }
  const int part = 2 * table.sum_words;
  for (const int ic : {part - 1, part + 1, 2 * part + 1, 1536}) {
    const LayerShape s{ic, tile + lanes, 1, 2, px + 3};
    for (const bool patch : {false, true}) {
      add(patch ? "patch_embed" : "pointwise", text(s),
          [=](const KernelTable& t) { check_all_activations(t, s, false, patch); });
    }
  }
  const std::pair<int, int> images[] = {{1, 1},  {2, 3},  {5, 4},  {4, 6},  {7, 7},
                                        {3, 13}, {2, 17}, {9, 16}, {3, 35}, {16, 2}};
  const int channels[] = {lanes, 1, lanes + 1, 2 * lanes + 3, lanes - 1};
  next = 0;
  const auto add_depthwise = [&](const LayerShape& s) {
    add("depthwise", text(s),
        [=](const KernelTable& t) { check_all_activations(t, s, true, false); });
  };
  for (int k = 1; k <= 11; ++k) {
    for (const auto& [h, w] : images)
      add_depthwise({channels[next++ % std::size(channels)], 1, k, h, w});
  }
  for (int k = 12; k <= kMostKernelInTiles + 1; ++k) add_depthwise({lanes, 1, k, 18, 58 + k});
  for (int k = 3; k <= 9; ++k) add_depthwise({lanes, 1, k, 19 + k % 3, 30 + k});
  add_depthwise({lanes, 1, 9, 32, 32});
  for (int levels = 1; table.strassen[kActIdentity] != nullptr && levels <= 2; ++levels) {
    const int n = 1 << levels, c = n * tile;
    for (const LayerShape& s :
         {LayerShape{c, c, 1, n, 2}, LayerShape{3 * c, 3 * c, 1, 2 * n, px + 3},
          LayerShape{n * 2 * table.sum_words + c, c, 1, 2 * n, 3}}) {
      add("strassen", fmt::format("{}_levels_{}", levels, text(s)),
          [=](const KernelTable& t) { check_all_activations(t, s, false, false, levels); });
    }
  }
  add("rounding", "to_nearest_even", check_rounding);
  if (table.precision == kInt8) {
    add("sums", "largest", check_largest_sums);
    add("rounding", "diffused", check_diffusion);
  }
  return tests;
}

}  // namespace convmixer::test
