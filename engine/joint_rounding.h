// SPDX-License-Identifier: Apache-2.0
// Rounding the weights of a layer so that its results change little, not each weight.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/second_moments.h"

namespace convmixer {

// Of rows v of weights, whole numbers q with a small E[((v − q)·x)²] over inputs x, by Babai's
// nearest plane: with A = E[x·xᵀ] = RᵀR, R upper triangular, the error is |R·(v − q)|². From the
// last weight to the first, each is rounded to the nearest that makes up for the errors of those
// before it, q[i] = round(v[i] + Σ_{j > i} R[i][j]/R[i][i] · (v[j] − q[j])). Weights of the inputs
// with the largest mean squares go first, and A's diagonal is raised by a hundredth of its mean.
// (L. Babai, "On Lovász' lattice reduction and the nearest lattice point problem", 1986; the same
// for neural networks: E. Frantar et al., "GPTQ", 2022.)
class JointRounding {
 public:
  // Of the inputs x[i] = sample[i] / scale[i]. Where the moments leave floats' range, are all 0, or
  // are so inexact that A has no factor, each weight is rounded for itself.
  JointRounding(const SecondMoments& moments, const std::vector<float>& scale);

  // values and integers [rows][dim]; integers −most … most.
  void round(const std::vector<float>& values, int most, std::vector<std::int8_t>& integers) const;

 private:
  std::size_t dim_;
  std::vector<std::size_t> order_;  // inputs, the first to be rounded last
  std::vector<float> factor_;       // R[i][j] / R[i][i], in that order; empty: none
};

}  // namespace convmixer
