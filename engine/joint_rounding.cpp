// SPDX-License-Identifier: Apache-2.0
#include "engine/joint_rounding.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace convmixer {
namespace {

constexpr double kDamping = 0.01;  // as in GPTQ; 0.001 to 0.1 make no difference here

// Of a square matrix, in place: R with RᵀR = a, whose part below the diagonal is not touched. A is
// positive definite. Rows, so that all loops run along them.
void factorise(std::vector<double>& a, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    double* const row = &a[i * n];
    for (std::size_t k = 0; k < i; ++k) {
      const double* const above = &a[k * n];
      const double factor = above[i];
      for (std::size_t j = i; j < n; ++j) row[j] -= factor * above[j];
    }
    const double root = std::sqrt(row[i]);
    for (std::size_t j = i; j < n; ++j) row[j] /= root;
  }
}

constexpr std::size_t kRows = 16;  // side by side

// sums[r] = Σ factor[j] · errors[j][r] over j < count. In four vectors of the compiler's, for any
// instruction set: of loops over arrays it makes transpositions that take most of the time.
void product(const float* factor, const float* errors, std::size_t count, float (&sums)[kRows]) {
  typedef float Quad __attribute__((vector_size(16), aligned(4), may_alias));
  static_assert(kRows == 4 * sizeof(Quad) / sizeof(float), "four vectors are written out");
  Quad a{}, b{}, c{}, d{};
  for (std::size_t j = 0; j < count; ++j, errors += kRows) {
    const auto* const e = reinterpret_cast<const Quad*>(errors);
    a += factor[j] * e[0];
    b += factor[j] * e[1];
    c += factor[j] * e[2];
    d += factor[j] * e[3];
  }
  auto* const to = reinterpret_cast<Quad*>(sums);
  to[0] = a;
  to[1] = b;
  to[2] = c;
  to[3] = d;
}

}  // namespace

JointRounding::JointRounding(const SecondMoments& moments, const std::vector<float>& scale)
    : dim_(static_cast<std::size_t>(moments.dim())), order_(dim_) {
  const auto moment = [&](std::size_t i, std::size_t j) {
    return moments.at(static_cast<int>(i), static_cast<int>(j)) / scale[i] / scale[j];
  };
  std::vector<double> diagonal(dim_);
  for (std::size_t i = 0; i < dim_; ++i) diagonal[i] = moment(i, i);
  const double sum = std::accumulate(diagonal.begin(), diagonal.end(), 0.0);
  const double damping = kDamping * sum / static_cast<double>(dim_);
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  if (!std::isfinite(sum) || damping <= 0) return;
  std::stable_sort(order_.begin(), order_.end(),
                   [&](std::size_t i, std::size_t j) { return diagonal[i] < diagonal[j]; });
  std::vector<double> r(dim_ * dim_);
  for (std::size_t i = 0; i < dim_; ++i) {
    for (std::size_t j = i; j < dim_; ++j) r[i * dim_ + j] = moment(order_[i], order_[j]);
    r[i * dim_ + i] += damping;
  }
  factorise(r, dim_);
  factor_.resize(dim_ * dim_);
  for (std::size_t i = 0; i < dim_; ++i) {
    for (std::size_t j = i; j < dim_; ++j) {
      factor_[i * dim_ + j] = static_cast<float>(r[i * dim_ + j] / r[i * dim_ + i]);
    }
  }
  const auto finite = [](float f) { return std::isfinite(f); };
  if (!std::all_of(factor_.begin(), factor_.end(), finite)) factor_.clear();
}

void JointRounding::round(const std::vector<float>& values, int most,
                          std::vector<std::int8_t>& integers) const {
  const std::size_t rows = values.size() / dim_;
  const auto limit = static_cast<float>(most);
  std::vector<float> errors(dim_ * kRows);  // v − q, in the order of rounding
  integers.resize(values.size());
  for (std::size_t first = 0; first < rows; first += kRows) {
    const std::size_t count = std::min(kRows, rows - first);
    for (std::size_t i = dim_; i-- > 0;) {
      float sums[kRows] = {};
      if (!factor_.empty()) {
        const std::size_t next = i + 1;
        product(factor_.data() + i * dim_ + next, errors.data() + next * kRows, dim_ - next, sums);
      }
      for (std::size_t r = 0; r < count; ++r) {
        const std::size_t at = (first + r) * dim_ + order_[i];
        const float v = values[at], q = std::clamp(std::nearbyint(v + sums[r]), -limit, limit);
        errors[i * kRows + r] = v - q;
        integers[at] = static_cast<std::int8_t>(q);
      }
    }
  }
}

}  // namespace convmixer
