// SPDX-License-Identifier: Apache-2.0
#include "cli/comparison.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace convmixer::cli {
namespace {

double change_of(float first, float second) {
  if (first == second || (std::isnan(first) && std::isnan(second))) return 0;
  const double change = std::abs(double{second} - double{first});
  return std::isnan(change) ? std::numeric_limits<double>::infinity() : change;
}

}  // namespace

Comparison::Comparison(int num_classes, std::size_t most_worst)
    : scorer_(num_classes),
      classes_(static_cast<std::size_t>(num_classes)),
      most_worst_(most_worst) {}

void Comparison::add(std::uint64_t index, const float* first, const float* second, int label) {
  Pair pair;
  pair.index = index;
  const bool known = label >= 0;
  pair.outcomes = {scorer_.score(first, known ? label : 0),
                   scorer_.score(second, known ? label : 0)};
  for (Outcome& outcome : pair.outcomes) outcome.label = label;
  for (std::size_t c = 0; c < classes_; ++c) {
    const double change = change_of(first[c], second[c]);
    pair.change = std::max(pair.change, change);
    squares_ += change * change;
    largest_logit_ = std::max(largest_logit_, std::abs(double{first[c]}));
  }
  largest_change_ = std::max(largest_change_, pair.change);
  ++images_;
  equal_ += pair.outcomes[0].predicted == pair.outcomes[1].predicted ? 1 : 0;
  const bool right[2] = {known && pair.outcomes[0].rank == 1, known && pair.outcomes[1].rank == 1};
  for (std::size_t side = 0; side < 2; ++side) {
    right_[side] += right[side] ? 1 : 0;
    only_right_[side] += right[side] && !right[1 - side] ? 1 : 0;
  }
  add_worst(pair);
}

double Comparison::root_mean_square() const {
  return std::sqrt(squares_ / (static_cast<double>(images_) * static_cast<double>(classes_)));
}

void Comparison::add_worst(const Pair& pair) {
  if (worst_.size() == most_worst_ && (most_worst_ == 0 || worst_.back().change >= pair.change)) {
    return;
  }
  worst_.insert(std::upper_bound(worst_.begin(), worst_.end(), pair,
                                 [](const Pair& a, const Pair& b) { return a.change > b.change; }),
                pair);
  if (worst_.size() > most_worst_) worst_.pop_back();
}

}  // namespace convmixer::cli
