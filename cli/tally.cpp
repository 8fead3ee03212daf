// SPDX-License-Identifier: Apache-2.0
#include "cli/tally.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace convmixer::cli {
namespace {

// Does the class of key `x` and index `a` rank before that of `y` and `b`?
bool ranks_before(float x, std::size_t a, float y, std::size_t b) {
  if (std::isnan(x) != std::isnan(y)) return std::isnan(y);
  return x > y || (!(x < y) && a < b);
}

bool is_worse(const Tally::Mistake& a, const Tally::Mistake& b) {
  const double x = a.outcome.loss, y = b.outcome.loss;
  if (std::isnan(x) != std::isnan(y)) return std::isnan(x);
  return x > y || (!(x < y) && a.index < b.index);
}

}  // namespace

Scorer::Scorer(int num_classes)
    : powers_(static_cast<std::size_t>(num_classes)), keys_(powers_.size()) {}

Outcome Scorer::score(const float* logits, int label) {
  float largest = -std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < keys_.size(); ++i) largest = std::max(largest, logits[i]);
  double sum = 0;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    powers_[i] = std::exp(double{logits[i]} - double{largest});
    sum += powers_[i];
  }
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    keys_[i] = std::isnan(sum) ? logits[i] : static_cast<float>(powers_[i] / sum);
  }
  const auto truth = static_cast<std::size_t>(label);
  std::size_t best = 0, before = 0;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (ranks_before(keys_[i], i, keys_[best], best)) best = i;
    before += ranks_before(keys_[i], i, keys_[truth], truth) ? 1 : 0;
  }
  Outcome outcome;
  outcome.label = label;
  outcome.predicted = static_cast<std::int32_t>(best);
  outcome.rank = static_cast<std::int32_t>(before + 1);
  outcome.probability = static_cast<float>(powers_[best] / sum);
  outcome.loss = std::log(sum) - (double{logits[truth]} - double{largest});
  return outcome;
}

Tally::Tally(int num_classes, std::vector<int> tops)
    : tops_(std::move(tops)),
      in_top_(tops_.size()),
      classes_(static_cast<std::size_t>(num_classes)) {}

void Tally::add(std::uint64_t index, const Outcome& outcome) {
  const bool right = outcome.rank == 1;
  for (std::size_t i = 0; i < tops_.size(); ++i) in_top_[i] += outcome.rank <= tops_[i] ? 1 : 0;
  ++images_;
  losses_ += outcome.loss;
  Class& c = classes_[static_cast<std::size_t>(outcome.label)];
  ++c.images;
  c.right += right ? 1 : 0;
  ++confusions_[{outcome.label, outcome.predicted}];
  if (!right) add_mistake({index, outcome});
}

void Tally::add_mistake(const Mistake& mistake) {
  mistakes_.insert(std::upper_bound(mistakes_.begin(), mistakes_.end(), mistake, is_worse),
                   mistake);
  if (mistakes_.size() > kMistakes) mistakes_.pop_back();
}

double Tally::accuracy(std::size_t i) const {
  return static_cast<double>(in_top_[i]) / static_cast<double>(images());
}

double Tally::mean_loss() const { return losses_ / static_cast<double>(images_); }

std::vector<Confusion> most_confused(const Tally& tally, std::size_t most) {
  std::vector<Confusion> all;
  for (const auto& [pair, images] : tally.confusions()) {
    if (pair.first != pair.second) all.push_back({pair.first, pair.second, images});
  }
  const std::size_t n = std::min(most, all.size());
  // The map is in the order of classes, which a stable sort keeps among equals.
  std::stable_sort(all.begin(), all.end(),
                   [](const Confusion& a, const Confusion& b) { return a.images > b.images; });
  all.resize(n);
  return all;
}

}  // namespace convmixer::cli
