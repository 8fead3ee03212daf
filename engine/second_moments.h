// SPDX-License-Identifier: Apache-2.0
// How the channels of a layer's input go together: what rounding its weights needs to know.
#pragma once

#include <cstddef>
#include <vector>

namespace convmixer {

// Σ x·xᵀ over samples x of `dim` values each. In floats: 4 · dim² bytes.
class SecondMoments {
 public:
  explicit SecondMoments(int dim);

  // Floats from sample to sample in add(): `dim` of them, and then zeros.
  int row_size() const { return row_size_; }
  // samples [count][row_size()]. Sums go in ascending order, from 0 in each call.
  void add(const float* samples, int count);

  int dim() const { return dim_; }
  double at(int i, int j) const;  // Σ x[i]·x[j]; infinite or NaN where floats could not hold a sum

 private:
  int dim_, row_size_;
  std::vector<float> sums_;  // [row_size][row_size], of which those right of the diagonal count
};

}  // namespace convmixer
