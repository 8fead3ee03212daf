// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "tests/kernel_data.h"
#include "tests/kernel_tests.h"

namespace convmixer::test {
namespace {

struct Image {
  int h, w, patch;
  int count() const { return (h / patch) * (w / patch); }
  int values() const { return 3 * patch * patch; }
};

std::string text(const Image& s) { return fmt::format("p{}_{}x{}", s.patch, s.h, s.w); }

// Value i of patch `index`, as the order of the panel has it.
float patch_value(const Image& s, const std::vector<float>& chw, bool channels_last, int index,
                  int i) {
  const int p = s.patch;
  const int c = channels_last ? i % 3 : i / (p * p);
  const int y = channels_last ? i / (3 * p) : i / p % p, x = channels_last ? i / 3 % p : i % p;
  const int columns = s.w / p;
  return chw[static_cast<std::size_t>((c * s.h + index / columns * p + y) * s.w +
                                      index % columns * p + x)];
}

// Bytes (h, w, 3) or floats (3, h, w), neither of them aligned: the image is the caller's.
struct Source {
  Source(const Image& s, Random& random) : chw(static_cast<std::size_t>(3 * s.h * s.w)) {
    floats.push_back(0);
    bytes.push_back(0);
    for (float& v : chw) v = static_cast<float>(random.integer(0, 255));
    floats.insert(floats.end(), chw.begin(), chw.end());
    for (int i = 0; i < s.h * s.w; ++i) {
      for (int c = 0; c < 3; ++c) {
        bytes.push_back(
            static_cast<unsigned char>(chw[static_cast<std::size_t>(c * s.h * s.w + i)]));
      }
    }
  }
  std::vector<float> chw, floats;
  std::vector<unsigned char> bytes;
};

PatchParams params(const Image& s, const Source& source, bool u8) {
  PatchParams p{};
  p.src = u8 ? static_cast<const void*>(source.bytes.data() + 1) : source.floats.data() + 1;
  p.h = s.h;
  p.w = s.w;
  p.patch_size = s.patch;
  p.w_out = s.w / s.patch;
  return p;
}

void check_patches(const KernelTable& table, const Image& s, bool u8) {
  Random random(static_cast<std::uint64_t>(s.h * 1000 + s.w));
  Source source(s, random);
  for (std::size_t i = 0; i < source.chw.size() && !u8; ++i) {  // of all 24 bits
    source.chw[i] = source.chw[i] / 3 - 40;
    source.floats[i + 1] = source.chw[i];
  }
  for (const int step : {1, 3, s.count()}) {
    for (int first = 0; first < s.count(); first += step) {
      const int count = std::min(step, s.count() - first);
      const Placement place = Placement::operands(table, s.values(), count);
      Framed panel(static_cast<std::size_t>(place.size));
      PatchParams p = params(s, source, u8);
      p.first = first;
      p.count = count;
      p.panel = panel.data();
      p.panel_block_stride = place.block_stride;
      (u8 ? table.patches_u8 : table.patches_f32)(&p);
      Comparison comparison("patches", random.seed());
      for (int i = 0; i < s.values(); ++i) {
        for (int j = 0; j < count; ++j) {
          comparison.add(0, i, 0, first + j, patch_value(s, source.chw, u8, first + j, i),
                         placed(place, panel, i, j), 0);
        }
      }
      ASSERT_TRUE(comparison.result());
      ASSERT_TRUE(padding_intact(place, panel, s.values()));
    }
  }
}

// Patches and product together are the strided convolution.
void check_patch_embed(const KernelTable& table, const Image& s, bool u8, bool integers) {
  Random random(static_cast<std::uint64_t>(s.h * 1000 + s.w));
  Source source(s, random);
  // Within [−32, 32] where sums must be exact.
  for (std::size_t i = 0; i < source.chw.size() && !u8; ++i) {
    source.chw[i] = integers ? source.chw[i] / 4 - source.chw[i] / 8 : source.chw[i] / 64 - 2;
    if (integers) source.chw[i] = std::round(source.chw[i]);
    source.floats[i + 1] = source.chw[i];
  }
  const int oc = table.oc_tile + 3;
  const Layer layer = Layer::patch_embed(oc, s.patch, random, integers);
  Layer matrix = layer;  // the same, its columns in the panel's order
  matrix.ic = s.values();
  for (int o = 0; o < oc; ++o) {
    for (int i = 0; i < s.values() && u8; ++i) {
      const int area = s.patch * s.patch, c = i % 3, tap = i / 3;
      matrix.weights[static_cast<std::size_t>(o * s.values() + i)] =
          layer.weights[static_cast<std::size_t>(o * s.values() + c * area + tap)];
    }
  }
  const std::vector<float> unused(static_cast<std::size_t>(s.values() * s.count()));
  PointwiseCall call(table, matrix, unused, Placement::operands(table, s.values(), s.count()),
                     Placement::planes(table, oc, 1, s.count(), 1));
  PatchParams p = params(s, source, u8);
  p.count = s.count();
  p.panel = call.panel.data();
  p.panel_block_stride = call.params.panel_block_stride;
  (u8 ? table.patches_u8 : table.patches_f32)(&p);
  table.patch_embed[kActRelu](&call.params);
  const reference::Result want =
      reference::patch_embed(reference::Tensor(1, 3, s.h, s.w, source.chw.data()), oc, s.patch,
                             layer.weights.data(), layer.epilogue(kActRelu));
  Comparison comparison("patch embedding", random.seed());
  for (std::size_t i = 0; i < want.y.v.size(); ++i) {
    const int c = static_cast<int>(i) / s.count(), pixel = static_cast<int>(i) % s.count();
    comparison.add(0, c, pixel / want.y.w, pixel % want.y.w, want.y.v[i],
                   placed(call.placement, call.dst, c, pixel),
                   limit_of(want, i, s.values(), integers));
  }
  EXPECT_TRUE(comparison.result());
  EXPECT_TRUE(padding_intact(call.placement, call.dst, oc));
}

void check_mean(const KernelTable& table, int c, int h, int w, bool integers) {
  Random random(static_cast<std::uint64_t>(h * 100 + w));
  const auto count = static_cast<std::size_t>(c * h * w);
  const std::vector<float> values =
      integers ? random.integers(count) : random.uniforms(count, -1, 2);
  const int gap = 3;
  const Placement planes = Placement::planes(table, c, h, w, gap);
  const Framed src = place(planes, c, values);
  const Placement at = Placement::panel(table, c, 1, 0);
  Framed dst(static_cast<std::size_t>(at.size));
  for (int b = 0; b < ceil_div(c, table.lanes); ++b) {
    const MeanParams p{src.data() + planes.first + b * planes.block_stride, h, w,
                       (w + gap) * table.lanes, dst.data() + b * at.block_stride};
    table.mean(&p);
  }
  const reference::Result want = reference::mean(reference::Tensor(1, c, h, w, values.data()));
  Comparison comparison("mean", random.seed());
  for (int i = 0; i < c; ++i) {
    comparison.add(0, i, 0, 0, want.y.v[static_cast<std::size_t>(i)], placed(at, dst, i, 0),
                   limit_of(want, static_cast<std::size_t>(i), h * w, integers));
  }
  EXPECT_TRUE(comparison.result());
  EXPECT_TRUE(padding_intact(at, dst, c));
}

}  // namespace

KernelTests patch_tests(const KernelTable& table) {
  KernelTests tests;
  // The last that fit into a part (patch_embed.inl.h) and the first that do not: 9, 10, of vectors
  // of 8, and 13, 14, of 16.
  for (const Image s :
       {Image{1, 1, 1}, Image{5, 3, 1}, Image{7, 9, 2}, Image{10, 11, 3}, Image{32, 32, 4},
        Image{31, 17, 5}, Image{28, 22, 7}, Image{19, 28, 9}, Image{20, 31, 10}, Image{26, 40, 13},
        Image{29, 45, 14}, Image{16, 33, 16}, Image{70, 75, 35}, Image{180, 180, 180}}) {
    for (const bool u8 : {false, true}) {
      const std::string type = u8 ? "_u8" : "_f32";
      tests.push_back(
          {"patches", text(s) + type, [=](const KernelTable& t) { check_patches(t, s, u8); }});
      tests.push_back({"patch_embed", text(s) + type, [=](const KernelTable& t) {
                         check_patch_embed(t, s, u8, true);
                         check_patch_embed(t, s, u8, false);
                       }});
    }
  }
  const int lanes = table.lanes;
  for (const auto& [c, h, w] :
       {std::array{1, 1, 1}, std::array{lanes, 4, 8}, std::array{lanes + 1, 16, 16},
        std::array{2 * lanes + 3, 3, 5}, std::array{lanes - 1, 7, 31}, std::array{lanes, 32, 32},
        std::array{3, 1, 100}}) {
    tests.push_back(
        {"mean", fmt::format("c{}_{}x{}", c, h, w), [=, c = c, h = h, w = w](const KernelTable& t) {
           // Integers have an exact mean where their number is a power of two.
           if ((h * w & (h * w - 1)) == 0) check_mean(t, c, h, w, true);
           check_mean(t, c, h, w, false);
         }});
  }
  return tests;
}

}  // namespace convmixer::test
