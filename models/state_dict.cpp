// SPDX-License-Identifier: Apache-2.0
#include "models/state_dict.h"

#include <fmt/format.h>

#include <set>
#include <string>

#include "models/checkpoint.h"
#include "support/error.h"

namespace convmixer {
namespace {

using pickle::Kind;
using pickle::Pickle;
using pickle::Value;

constexpr const char* kWrappers[] = {"state_dict",
                                     "model_state_dict",
                                     "model_state",
                                     "model",
                                     "module",
                                     "network",
                                     "net",
                                     "params",
                                     "state_dict_ema",
                                     "model_state_dict_ema",
                                     "model_ema",
                                     "ema_state_dict",
                                     "ema_model",
                                     "ema"};
constexpr int kMaxWrappers = 4;  // {"ema": {"model": {"state_dict": {"module": …}}}}

std::vector<StateDictEntry> tensors_of(const Pickle& pickle, const Value& dict,
                                       IsTensor is_tensor) {
  std::vector<StateDictEntry> entries;
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const Value& key = pickle[dict.items[i]];
    const Value& value = pickle[dict.items[i + 1]];
    if (key.kind == Kind::kText && is_tensor(pickle, value)) entries.push_back({key.text, &value});
  }
  return entries;
}

class Search {
 public:
  Search(const Pickle& pickle, IsTensor is_tensor) : pickle_(pickle), is_tensor_(is_tensor) {}

  // Each dict is looked at once: values can contain each other.
  std::vector<StateDictEntry> in(const Value& dict, int depth) {
    if (dict.kind != Kind::kDict || !seen_.insert(&dict).second) return {};
    for (const char* wrapper : kWrappers) {
      const Value* inner = depth < kMaxWrappers ? pickle_.find(dict, wrapper) : nullptr;
      if (inner == nullptr) continue;
      std::vector<StateDictEntry> entries = in(*inner, depth + 1);
      if (!entries.empty()) return entries;
    }
    return tensors_of(pickle_, dict, is_tensor_);
  }

 private:
  const Pickle& pickle_;
  IsTensor is_tensor_;
  std::set<const Value*> seen_;
};

std::string keys_of(const Pickle& pickle, const Value& dict) {
  constexpr std::size_t kShown = 5;
  std::string text;
  for (std::size_t i = 0; i + 1 < dict.items.size() && i < 2 * kShown; i += 2) {
    const Value& key = pickle[dict.items[i]];
    text += text.empty() ? "" : ", ";
    text += key.kind == Kind::kText ? in_quotes(key.text) : pickle.describe(key);
  }
  return text + (dict.items.size() > 2 * kShown ? ", …" : "");
}

}  // namespace

std::vector<StateDictEntry> find_state_dict(const Pickle& pickle, IsTensor is_tensor) {
  const Value& root = pickle.root();
  std::vector<StateDictEntry> entries = Search(pickle, is_tensor).in(root, 0);
  if (entries.empty()) {
    std::string found = pickle.describe(root);
    if (root.kind == Kind::kDict) found += " with the keys " + keys_of(pickle, root);
    throw Error(Code::kFormat,
                fmt::format("{}: expected a dict of tensors, bare or under 'state_dict', 'model' "
                            "or the like, found {}",
                            pickle.where(), found));
  }
  return entries;
}

}  // namespace convmixer
