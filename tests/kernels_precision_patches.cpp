// SPDX-License-Identifier: Apache-2.0
// Patches and the mean in bf16 and int8.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "tests/kernel_data.h"
#include "tests/kernel_tests.h"
#include "tests/precision_data.h"

namespace convmixer::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                kInfinity = std::numeric_limits<float>::infinity();

void check_mean(const KernelTable& table) {
  const bool bytes = table.precision == kInt8;
  for (const auto& [h, w] : {std::pair{1, 1}, {3, 5}, {7, 8}, {2, 18}, {32, 32}}) {
    const int c = table.lanes;
    Random random(static_cast<std::uint64_t>(h * 100 + w));
    const std::vector<float> scales = random.uniforms(static_cast<std::size_t>(c), 0.1f, 0.5f),
                             shifts = random.uniforms(static_cast<std::size_t>(c), -1, 1);
    std::vector<double> sums, magnitudes;
    Words src = Words::planes(table, c, h, w, 1);
    for (int i = 0; i < c; ++i) {
      src.fill_border(i, bytes ? random.integer(0, 255) : 0);
      sums.push_back(0);
      magnitudes.push_back(0);
      for (int p = 0; p < h * w; ++p) {
        const double v = bytes ? random.integer(0, 255) : cut_to_bf16(random.uniform(-2, 2));
        src.set(i, p / w, p % w, v);
        sums.back() += v / (h * w);
        magnitudes.back() += std::abs(v) / (h * w);
      }
    }
    Framed dst(static_cast<std::size_t>(c));
    const Framed scale = pack_channels(scales, c), shift = pack_channels(shifts, c);
    const MeanParams p{
        src.pixel(0, 0), h,           w, static_cast<int>(src.row_stride), dst.data(),
        scale.data(),    shift.data()};
    table.mean(&p);
    for (int i = 0; i < c; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double value = bytes ? sums[at] * scales[at] + shifts[at] : sums[at];
      EXPECT_NEAR(dst[at], value, 1e-6 * (1 + magnitudes[at])) << h << "×" << w << ", " << i;
    }
    EXPECT_TRUE(dst.frame_intact());
  }
}

// Of floats, in steps of 1/512 where the panel has 16 bits.
struct Rounded {
  double value, limit;
};
Rounded rounded(const KernelTable& table, float v) {
  if (table.precision == kBf16) return {v, 0x1p-8 * std::abs(v)};
  const double whole = std::nearbyint(static_cast<double>(v) * 512);
  return {std::isnan(v) ? -4095 : std::clamp(whole, -4095.0, 4095.0), 0};
}

// Patches of bytes and floats: rounded to the panel's precision, zeros behind the last.
void check_patches(const KernelTable& table, int size, int h, int w) {
  const int columns = w / size, count = h / size * columns, values = 3 * size * size;
  Random random(5);
  std::vector<float> floats = random.uniforms(3 * h * w, -2, 2);
  std::vector<std::uint8_t> bytes;
  for (int i = 0; i < 3 * h * w; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(random.integer(0, 255)));
  }
  if (table.precision == kInt8) {  // in rows and columns of patches
    const float edges[] = {0x1p-10f, 0x3p-10f, -0x5p-10f, -0.0f, 7.998f, 7.9995f, -8, 1e30f, kNan};
    std::copy(std::begin(edges), std::end(edges), floats.begin());
    floats[w] = kInfinity;
    floats[w + 1] = -kInfinity;
  }
  for (const auto& [u8, first] : {std::pair{false, 0}, {true, 0}, {false, 1}, {true, 1}}) {
    Words dst = Words::panel(table, values, 1, count - first, 2);
    PatchParams p{};
    p.src = u8 ? static_cast<const void*>(bytes.data()) : floats.data();
    p.h = h;
    p.w = w;
    p.patch_size = size;
    p.w_out = columns;
    p.first = first;
    p.count = count - first;
    p.scale = 512;
    p.panel = dst.pixel(0, 0);
    p.panel_block_stride = dst.block_stride;
    (u8 ? table.patches_u8 : table.patches_f32)(&p);
    EXPECT_TRUE(dst.words.frame_intact());
    for (int i = 0; i < ceil_div(values, table.lanes) * table.lanes; ++i) {
      for (int patch = first; patch < count; ++patch) {
        Rounded want{0, 0};
        if (i < values) {
          const int area = size * size;
          const int c = u8 ? i % 3 : i / area, tap = u8 ? i / 3 : i % area;
          const int y = patch / columns * size + tap / size,
                    x = patch % columns * size + tap % size;
          want = u8 ? Rounded{static_cast<double>(
                                  bytes[static_cast<std::size_t>((y * w + x) * 3 + c)]),
                              0}
                    : rounded(table, floats[static_cast<std::size_t>((c * h + y) * w + x)]);
        }
        EXPECT_NEAR(dst.get(i, 0, patch - first), want.value, want.limit)
            << i << ", patch " << patch;
      }
    }
  }
}

}  // namespace

KernelTests precision_patch_tests() {
  return {{"mean", "any_size", check_mean},
          {"patches", "any_source", [](const KernelTable& t) { check_patches(t, 3, 7, 10); }},
          {"patches", "in_parts", [](const KernelTable& t) { check_patches(t, 14, 30, 45); }}};
}

}  // namespace convmixer::test
