// SPDX-License-Identifier: Apache-2.0
#include "cli/class_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>

#include "cli/handles.h"

namespace convmixer::cli {
namespace {

constexpr int kImageNetClasses = 1000;

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](unsigned char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

ClassNames::ClassNames(const convmixer_model* model) {
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  check(convmixer_model_get_info(model, &info));
  count_ = info.num_classes;
  for (int i = 0; i < info.num_labels; ++i) labels_.emplace_back(convmixer_model_label(model, i));
  if (count_ == kImageNetClasses) {
    for (int i = 0; i < count_; ++i) class_of_id_[convmixer_imagenet_wordnet_id(i)] = i;
  }
  for (std::size_t i = 0; i < labels_.size(); ++i) {
    classes_of_label_[labels_[i]].push_back(static_cast<int>(i));
  }
}

const std::string& ClassNames::label(int index) const {
  static const std::string none;
  return labels_.empty() ? none : labels_[static_cast<std::size_t>(index)];
}

std::string ClassNames::name(int index) const {
  if (labels_.empty()) return fmt::format("class {}", index);
  const std::string& text = label(index);
  return classes_of_label_.at(text).size() == 1 ? text : fmt::format("{} ({})", text, index);
}

int ClassNames::of_wordnet_id(const std::string& id) const {
  const auto found = class_of_id_.find(id);
  return found == class_of_id_.end() ? -1 : found->second;
}

std::vector<int> ClassNames::of_label(const std::string& label) const {
  auto found = classes_of_label_.find(label);
  if (found == classes_of_label_.end()) {
    std::string spaced = label;
    std::replace(spaced.begin(), spaced.end(), '_', ' ');
    found = classes_of_label_.find(spaced);
  }
  return found == classes_of_label_.end() ? std::vector<int>() : found->second;
}

std::string shown(std::string_view text) {
  constexpr std::size_t kMost = 80;
  std::string part(text.substr(0, kMost));
  for (char& c : part) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return part;
}

int ClassNames::find(const std::string& text, std::string& why) const {
  if (is_number(text)) {
    int index = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
    if (error == std::errc() && index < count_) return index;
    why = fmt::format("expected a class from 0 to {}, found {:.40}", count_ - 1, text);
    return -1;
  }
  if (const int index = of_wordnet_id(text); index >= 0) return index;
  const std::vector<int> classes = of_label(text);
  if (classes.size() == 1) return classes[0];
  why = classes.empty()
            ? fmt::format("expected an index, a WordNet id or a label of the model, found \"{}\"",
                          shown(text))
            : fmt::format("\"{}\" is the label of class {} and of class {}: write the index",
                          shown(text), classes[0], classes[1]);
  return -1;
}

}  // namespace convmixer::cli
