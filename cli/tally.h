// SPDX-License-Identifier: Apache-2.0
// What an evaluation counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace convmixer::cli {

// What came of one image.
struct Outcome {
  std::int32_t label = 0, predicted = 0;
  std::int32_t rank = 0;  // of the label: 1 is right, 2 second best, …
  float probability = 0;  // of the predicted class
  double loss = 0;        // −log of the label's probability
};

// Logits → outcome. Classes rank as convmixer_classify ranks them: by falling probability, a float,
// equal ones by rising index; where a NaN or +inf leaves no probabilities, by falling logit, NaN
// last. The loss is computed in double. Keeps its scratch; for one thread.
class Scorer {
 public:
  explicit Scorer(int num_classes);
  Outcome score(const float* logits, int label);

 private:
  std::vector<double> powers_;
  std::vector<float> keys_;
};

// The counts of a list.
class Tally {
 public:
  struct Class {
    std::uint64_t images = 0, right = 0;
  };
  struct Mistake {
    std::uint64_t index = 0;  // in the list
    Outcome outcome;
  };
  using Confusions = std::map<std::pair<std::int32_t, std::int32_t>, std::uint64_t>;
  static constexpr std::size_t kMistakes = 24;

  // `tops`: the k whose top-k accuracy is counted.
  Tally(int num_classes, std::vector<int> tops);

  void add(std::uint64_t index, const Outcome& outcome);  // in list order
  void add_failed() { ++failed_; }

  std::uint64_t images() const { return images_; }
  std::uint64_t failed() const { return failed_; }
  const std::vector<int>& tops() const { return tops_; }
  std::uint64_t in_top(std::size_t i) const { return in_top_[i]; }  // of tops()[i]
  double accuracy(std::size_t i) const;                             // in 0…1
  // The mean of the losses, summed in list order: the same bits whatever the batch and the numbers
  // of threads and ranks.
  double mean_loss() const;
  const std::vector<Class>& classes() const { return classes_; }
  // (label, predicted) → images, those that are right as well.
  const Confusions& confusions() const { return confusions_; }
  // The wrong ones of the greatest loss, greatest first, equal ones in list order.
  const std::vector<Mistake>& mistakes() const { return mistakes_; }

 private:
  void add_mistake(const Mistake& mistake);

  std::vector<int> tops_;
  std::vector<std::uint64_t> in_top_;
  std::uint64_t failed_ = 0;
  std::uint64_t images_ = 0;
  double losses_ = 0;  // their sum
  std::vector<Class> classes_;
  Confusions confusions_;
  std::vector<Mistake> mistakes_;
};

struct Confusion {
  std::int32_t label = 0, predicted = 0;
  std::uint64_t images = 0;
};

// The most frequent mistakes, at most `most`, most frequent first, equal ones by class.
std::vector<Confusion> most_confused(const Tally& tally, std::size_t most);

}  // namespace convmixer::cli
