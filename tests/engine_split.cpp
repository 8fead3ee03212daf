// SPDX-License-Identifier: Apache-2.0
// How layers are cut into strips of rows.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/split.h"
#include "kernels/cpu.h"
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

NativePlan free_rows(const KernelTable& table) {
  NativePlan native;
  native.table = &table;
  native.strip_pixels = 96;
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
  const int most_dim = static_cast<int>(cache_sizes().l2 / 2 / (128 * sizeof(float)));
  EXPECT_EQ(rows(layer(most_dim, 9, 32, 32)), 4);
  EXPECT_EQ(rows(layer(most_dim + 1, 9, 32, 32)), 3);
}

TEST(Split, RowsThatAreGivenStay) {
  NativePlan native = free_rows(*variants().back().table);
  native.strip_rows = 3;
  EXPECT_EQ(most_strip_rows(layer(16, 9, 32, 32), native), 3);
  for (const int threads : {1, 2, 7}) {
    EXPECT_EQ(choose_split(layer(16, 9, 32, 32), native, 1, threads, 4).rows, 3);
  }
}

// Whatever the variant, for any number of images and threads: strips cover the image, within the
// rows that buffers are made for, and output channels are split only where there are fewer strips
// than threads.
TEST(Split, StripsCoverTheImage) {
  for (const KernelTable* table : available_tables()) {
    SCOPED_TRACE(table->name);
    NativePlan native = free_rows(*table);
    for (const Geometry& g : {layer(256, 9, 32, 32), layer(64, 7, 31, 17), layer(768, 7, 33, 95),
                              layer(8, 5, 200, 3), layer(1536, 9, 3, 300)}) {
      native.strip_pixels = most_strip_pixels(g, *table);
      for (const int n : {1, 2, 5}) {
        for (const int threads : {1, 2, 3, 8}) {
          const Split split = choose_split(g, native, n, threads, 5);
          EXPECT_GE(split.rows, 1);
          EXPECT_LE(split.rows, most_strip_rows(g, native));
          EXPECT_GE(split.rows * split.strips, g.h);
          EXPECT_LT(split.rows * (split.strips - 1), g.h);
          EXPECT_GE(split.parts, 1);
          EXPECT_LE(split.parts, 5);
          if (n * split.strips >= threads) {
            EXPECT_EQ(split.parts, 1);
          }
        }
      }
    }
  }
}

// One thread has no reason to make a pair of rows twice, nor to shun a last strip of fewer rows: of
// 30, 7 strips of 4 and one of 2.
TEST(Split, AThreadAloneHasStripsOfPairs) {
  const NativePlan native = free_rows(*variants().back().table);
  for (const Geometry& g : {layer(256, 9, 32, 32), layer(768, 7, 32, 30), layer(64, 9, 64, 24)}) {
    EXPECT_EQ(choose_split(g, native, 1, 1, 4).rows % 2, 0) << g.w;
  }
  EXPECT_EQ(choose_split(layer(256, 9, 9, 32), native, 1, 1, 4).rows, 4);  // of 3 without pairs
  const Geometry thirty = layer(768, 7, 30, 30);
  EXPECT_EQ(choose_split(thirty, native, 1, 1, 4).rows, 4);
  EXPECT_EQ(choose_split(thirty, native, 6, 3, 4).rows, 4);
}

}  // namespace
}  // namespace convmixer::test
