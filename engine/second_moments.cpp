// SPDX-License-Identifier: Apache-2.0
#include "engine/second_moments.h"

#include <utility>

#include "engine/weight_order.h"

namespace convmixer {
namespace {

// A tile of sums, which the compiler keeps in registers of any instruction set.
constexpr int kRows = 4, kColumns = 8;

// sums[r][c] += Σ over samples of rows[r] · columns[c]
void add_tile(const float* rows, const float* columns, int row_size, int count, float* sums) {
  float tile[kRows][kColumns] = {};
  for (int s = 0; s < count; ++s, rows += row_size, columns += row_size) {
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < kColumns; ++c) tile[r][c] += rows[r] * columns[c];
    }
  }
  for (int r = 0; r < kRows; ++r, sums += row_size) {
    for (int c = 0; c < kColumns; ++c) sums[c] += tile[r][c];
  }
}

}  // namespace

SecondMoments::SecondMoments(int dim)
    : dim_(dim),
      row_size_(ceil_div(dim, kColumns) * kColumns),
      sums_(static_cast<std::size_t>(row_size_) * static_cast<std::size_t>(row_size_)) {}

void SecondMoments::add(const float* samples, int count) {
  for (int i = 0; i < row_size_; i += kRows) {
    float* const row = sums_.data() + static_cast<std::ptrdiff_t>(i) * row_size_;
    for (int j = i / kColumns * kColumns; j < row_size_; j += kColumns) {
      add_tile(samples + i, samples + j, row_size_, count, row + j);
    }
  }
}

double SecondMoments::at(int i, int j) const {
  if (i > j) std::swap(i, j);
  return sums_[static_cast<std::size_t>(i) * static_cast<std::size_t>(row_size_) +
               static_cast<std::size_t>(j)];
}

}  // namespace convmixer
