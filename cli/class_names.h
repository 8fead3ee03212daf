// SPDX-License-Identifier: Apache-2.0
// What a model's classes are called, and which class a name means.
#pragma once

#include <convmixer.h>

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace convmixer::cli {

// A part of a file, fit for a message: at most 80 bytes, without control characters, which would
// steer the terminal.
std::string shown(std::string_view text);

// The model's labels, which the library takes to be ImageNet's for 1,000 classes without any. The
// WordNet ids (n01440764) are known for every model of 1,000 classes, whose order is taken to be
// ImageNet's.
class ClassNames {
 public:
  explicit ClassNames(const convmixer_model* model);  // throws Failure

  int count() const { return count_; }
  // Empty where the classes have no labels.
  const std::string& label(int index) const;
  // For a person: the label, with the index where another class is called the same ("crane (134)"),
  // or "class 7".
  std::string name(int index) const;

  // The class that has this WordNet id, or −1.
  int of_wordnet_id(const std::string& id) const;
  // The classes that have this label, in which `_` may stand for a space; ImageNet has "crane" and
  // "maillot" twice.
  std::vector<int> of_label(const std::string& label) const;
  // The class that a list's label means: an index, a WordNet id or a label that only one class has,
  // looked at in this order. −1 where it is none of these; `why` then holds the reason.
  int find(const std::string& text, std::string& why) const;

 private:
  int count_ = 0;
  std::vector<std::string> labels_;  // as many as classes, or none
  std::unordered_map<std::string, std::vector<int>> classes_of_label_;
  std::unordered_map<std::string, int> class_of_id_;
};

}  // namespace convmixer::cli
