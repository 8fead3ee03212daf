// SPDX-License-Identifier: Apache-2.0
// How layers are cut into strips of rows.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/split.h"
#include "kernels/registry.h"

namespace convmixer::test {
namespace {

Geometry layer(int dim, int kernel_size, int h, int w) {
  Geometry g{};
  g.dim = dim;
  g.kernel_size = kernel_size;
  g.h = h;
  g.w = w;
  return g;
}

// What fits depends on the cache, which is not this CPU's.
constexpr std::size_t kL2 = 2 << 20;

NativePlan free_rows(const KernelTable& table) {
  NativePlan native;
  native.table = &table;
  native.strip_pixels = 96;
  native.l2_bytes = kL2;
  return native;
}

// Of 96 pixels; of 128 where that makes pairs of rows for Winograd's products.
TEST(Split, StripsAreCutAtEvenRowsWhereTheySharePairs) {
  const NativePlan native = free_rows(*variants().back().table);
  ASSERT_TRUE(native.table->winograd);
  const auto rows = [&](const Geometry& g) { return most_strip_rows(g, native); };
  for (const int k : {7, 9}) {
    SCOPED_TRACE(k);
    EXPECT_EQ(rows(layer(16, k, 32, 32)), 4);  // of 3, and 128 pixels
    EXPECT_EQ(rows(layer(16, k, 33, 33)), 2);
    EXPECT_EQ(rows(layer(16, k, 32, 19)), 6);  // of 5
    EXPECT_EQ(rows(layer(16, k, 5, 19)), 5);   // the whole image
    EXPECT_EQ(rows(layer(16, k, 90, 64)), 2);  // of 1
    EXPECT_EQ(rows(layer(16, k, 90, 65)), 1);  // 130 pixels would be too many
  }
  for (const int k : {5, 8, 11}) EXPECT_EQ(rows(layer(16, k, 32, 32)), 3) << k;
  // A panel of 128 pixels that takes half of L2 leaves it at 3 rows.
  const int most_dim = static_cast<int>(kL2 / 2 / (128 * sizeof(float)));
  EXPECT_EQ(rows(layer(most_dim, 9, 32, 32)), 4);
  EXPECT_EQ(rows(layer(most_dim + 1, 9, 32, 32)), 3);
}

TEST(Split, RowsThatAreGivenStay) {
  NativePlan native = free_rows(*variants().back().table);
  native.strip_rows = 3;
  EXPECT_EQ(most_strip_rows(layer(16, 9, 32, 32), native), 3);
  for (const int threads : {1, 2, 7}) {
    EXPECT_EQ(choose_split(layer(16, 9, 32, 32), native, 1, threads).rows, 3);
  }
}

// Strips and their panels cover the image, strips within the rows that buffers are made for, panels
// within the cache; output channels are split, and panels shared, only between threads.
void check_split(const Geometry& g, const NativePlan& native, int n, int threads) {
  const KernelTable& table = *native.table;
  const Split split = choose_split(g, native, n, threads);
  EXPECT_GE(split.rows, 1);
  EXPECT_LE(split.rows, most_strip_rows(g, native));
  EXPECT_GE(split.rows * split.strips, g.h);
  EXPECT_LT(split.rows * (split.strips - 1), g.h);
  EXPECT_GE(split.panel_strips, 1);
  EXPECT_GE(split.panels() * split.panel_rows(g.h), g.h);
  EXPECT_LT((split.panels() - 1) * split.panel_rows(g.h), g.h);
  EXPECT_GE(split.parts, 1);
  EXPECT_LE(split.parts, split.shared ? std::min(2 * threads, ceil_div(g.dim, table.oc_tile)) : 1);
  EXPECT_FALSE(split.shared && n >= threads);
  EXPECT_FALSE(split.shared && native.low_memory && 2 * n * split.strips > threads);
  EXPECT_GE(split.patch_rows, 1);
  EXPECT_LE(split.patch_rows, split.rows);
  EXPECT_TRUE(split.shared || split.patch_rows == split.rows);
  for (const int tiles : {ceil_div(g.dim, table.oc_tile), ceil_div(g.dim, 2 * table.oc_tile)}) {
    EXPECT_EQ(split.part_begin(tiles, 0), 0);
    EXPECT_EQ(split.part_begin(tiles, split.parts), tiles);
    for (int tile = 0; tile < tiles; ++tile) {
      const int part = split.part_of(tiles, tile);
      EXPECT_LE(split.part_begin(tiles, part), tile);
      EXPECT_GT(split.part_begin(tiles, part + 1), tile);
    }
  }
  if (split.panel_strips == 1) return;
  EXPECT_GT(table.panel_blocks, 1);
  const int blocks = ceil_div(g.dim, table.lanes * table.panel_blocks) * table.panel_blocks;
  const int values = split.panel_rows(g.h) * g.w * blocks * table.lanes;
  EXPECT_LE(sizeof(float) * static_cast<std::size_t>(values / table.panel_per_word * table.pieces),
            native.low_memory ? native.l2_bytes / 2 : native.l2_bytes * 2);
}

TEST(Split, StripsCoverTheImage) {
  for (const Precision precision : {kFp32, kBf16, kInt8}) {
    for (const KernelTable* table : available_tables(precision)) {
      for (const Geometry& g : {layer(256, 9, 32, 32), layer(64, 7, 31, 17), layer(768, 7, 33, 95),
                                layer(8, 5, 200, 3), layer(1536, 9, 3, 300), layer(2, 9, 40, 61),
                                layer(256, 9, 224, 224), layer(1536, 9, 64, 64)}) {
        for (const std::size_t l2_bytes : {kL2 / 8, kL2 / 2, kL2, kL2 * 4}) {
          NativePlan native = free_rows(*table);
          native.l2_bytes = l2_bytes;
          native.strip_pixels = most_strip_pixels(g, *table, l2_bytes);
          for (const int n : {1, 2, 5}) {
            for (const int threads : {1, 2, 3, 8, 100}) {
              SCOPED_TRACE(fmt::format("{}, {} channels, {}×{}, {} images, {} threads, {} of L2",
                                       table->name, g.dim, g.h, g.w, n, threads, l2_bytes));
              native.low_memory = (n + threads) % 2 == 0;
              check_split(g, native, n, threads);
            }
          }
        }
      }
    }
  }
}

// Two threads share the one panel of an image of 16×16 pixels; of more images each has its own.
// Matrix tiles make 32 rows of a depthwise layer in bf16 at less than the cost of four times 8.
TEST(Split, PanelsOfMatrixTilesAreTallOrShared) {
  KernelTable table = *variants().back().table;
  table.winograd = false;
  table.taps_in_tiles = true;
  table.panel_blocks = table.panel_per_word = 2;
  NativePlan native = free_rows(table);
  native.strip_pixels = 256;
  const auto split = [&](const Geometry& g, int n, int threads) {
    return choose_split(g, native, n, threads);
  };
  const Geometry small = layer(1024, 9, 16, 16), large = layer(1536, 9, 32, 32);
  EXPECT_TRUE(split(small, 1, 2).shared);
  EXPECT_EQ(split(small, 1, 2).panels(), 1);
  EXPECT_FALSE(split(small, 1, 1).shared);
  EXPECT_FALSE(split(small, 2, 2).shared);
  EXPECT_FALSE(split(small, 16, 2).shared);
  for (const int images : {1, 2}) {
    SCOPED_TRACE(images);
    const Split own = split(large, images, images);
    EXPECT_FALSE(own.shared);
    EXPECT_EQ(own.rows, 8);
    EXPECT_EQ(own.panel_rows(32), 32);
  }
  EXPECT_TRUE(split(large, 1, 4).shared);
  // Four threads would lay out each channel's taps four times; a layer may cost less than
  // waiting.
  EXPECT_TRUE(split(layer(64, 9, 32, 32), 1, 4).shared);
  EXPECT_FALSE(split(layer(32, 9, 8, 8), 1, 2).shared);
  table.taps_in_tiles = false;
  EXPECT_FALSE(split(small, 1, 2).shared);
}

// Panels of pieces gain little by being tall: nothing where L2 does not keep them.
TEST(Split, PanelsOfPiecesStayInTheCache) {
  KernelTable table = *variants().back().table;
  table.panel_blocks = table.panel_per_word = 2;
  table.pieces = 3;
  NativePlan native = free_rows(table);
  native.strip_pixels = 128;
  // Two strips of 4 rows, 6 bytes a value, of whole rows of blocks.
  const int row = 2 * table.lanes;
  const int most_dim = static_cast<int>(kL2 / 2 / (2 * 4 * 32 * 6)) / row * row;
  EXPECT_EQ(choose_split(layer(most_dim, 9, 32, 32), native, 1, 1).panel_rows(32), 8);
  EXPECT_EQ(choose_split(layer(most_dim + 1, 9, 32, 32), native, 1, 1).panel_rows(32), 4);
}

// More threads than strips: each has some of their output channels, and of the panel's. Patches are
// as many rows for each.
TEST(Split, ThreadsWithoutAStripShareOne) {
  NativePlan native = free_rows(*variants().back().table);
  native.strip_rows = 8;
  const Geometry g = layer(1024, 9, 16, 16);
  EXPECT_FALSE(choose_split(g, native, 1, 2).shared);
  const Split split = choose_split(g, native, 1, 4);
  EXPECT_TRUE(split.shared);
  EXPECT_EQ(split.parts, 4);
  EXPECT_EQ(split.patch_rows, 4);
  EXPECT_EQ(split.panel_strips, 1);  // Strassen's
  EXPECT_FALSE(choose_split(g, native, 2, 4).shared);
}

// One thread has no reason to make a pair of rows twice, nor to shun a last strip of fewer rows: of
// 30, 7 strips of 4 and one of 2.
TEST(Split, AThreadAloneHasStripsOfPairs) {
  const NativePlan native = free_rows(*variants().back().table);
  for (const Geometry& g : {layer(256, 9, 32, 32), layer(768, 7, 32, 30), layer(64, 9, 64, 24)}) {
    EXPECT_EQ(choose_split(g, native, 1, 1).rows % 2, 0) << g.w;
  }
  EXPECT_EQ(choose_split(layer(256, 9, 9, 32), native, 1, 1).rows, 4);  // of 3 without pairs
  const Geometry thirty = layer(768, 7, 30, 30);
  EXPECT_EQ(choose_split(thirty, native, 1, 1).rows, 4);
  EXPECT_EQ(choose_split(thirty, native, 6, 3).rows, 4);
}

}  // namespace
}  // namespace convmixer::test
