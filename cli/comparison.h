// SPDX-License-Identifier: Apache-2.0
// What a comparison of two networks counts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cli/tally.h"

namespace convmixer::cli {

// What came of one image in both.
struct Pair {
  std::uint64_t index = 0;  // in the list
  std::array<Outcome, 2> outcomes;
  // The largest |second − first| of its logits: 0 where both are the same infinity or NaN, infinite
  // where one of them alone is no finite number.
  double change = 0;
};

class Comparison {
 public:
  Comparison(int num_classes, std::size_t most_worst);

  // In list order; a label of −1 is not known.
  void add(std::uint64_t index, const float* first, const float* second, int label);
  void add_failed() { ++failed_; }

  std::uint64_t images() const { return images_; }
  std::uint64_t failed() const { return failed_; }
  std::uint64_t equal() const { return equal_; }  // images of the same best class
  // Images whose best class is the label.
  std::uint64_t right(std::size_t side) const { return right_[side]; }
  std::uint64_t only_right(std::size_t side) const { return only_right_[side]; }
  double largest_change() const { return largest_change_; }
  double largest_logit() const { return largest_logit_; }  // of the first network's |logits|
  // Over all logits of all images, summed in list order in double: no number depends on the batch.
  double root_mean_square() const;
  // The images of the largest change, largest first, equal ones in list order.
  const std::vector<Pair>& worst() const { return worst_; }

 private:
  void add_worst(const Pair& pair);

  Scorer scorer_;
  std::size_t classes_, most_worst_;
  std::uint64_t images_ = 0, failed_ = 0, equal_ = 0;
  std::array<std::uint64_t, 2> right_{}, only_right_{};
  double largest_change_ = 0, largest_logit_ = 0, squares_ = 0;
  std::vector<Pair> worst_;
};

}  // namespace convmixer::cli
