// SPDX-License-Identifier: Apache-2.0
#include "models/key_names.h"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <set>
#include <utility>

#include "models/checkpoint.h"
#include "models/strided.h"
#include "support/error.h"

namespace convmixer {
namespace {

constexpr std::string_view kPrefixes[] = {"module.", "_orig_mod.", "model."};
constexpr int kFirstBlock = 3, kBehindBlocks = 2;  // the authors' places

struct Replacement {
  std::string_view file, timm;
};
constexpr Replacement kMmpretrain[] = {
    {"backbone.stem.", "stem."}, {"backbone.stages.", "blocks."}, {"head.fc.", "head."}};
constexpr Replacement kPaddle[] = {{"._mean", ".running_mean"}, {"._variance", ".running_var"}};

std::string_view without_prefixes(std::string_view key) {
  for (bool again = true; again;) {
    again = false;
    for (std::string_view prefix : kPrefixes) {
      if (!key.starts_with(prefix)) continue;
      key.remove_prefix(prefix.size());
      again = true;
    }
  }
  return key;
}

// "12.1.weight" is {12, "1.weight"}; a name without a number in front has place -1.
struct Placed {
  int place = -1;
  std::string_view rest;
  bool is_leaf() const { return rest.find('.') == rest.npos; }
};

Placed placed(std::string_view key) {
  Placed result;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), result.place);
  const auto digits = static_cast<std::size_t>(end - key.data());
  if (error != std::errc() || digits >= key.size() || key[digits] != '.' || key[0] == '-')
    return {};
  result.rest = key.substr(digits + 1);
  return result;
}

std::string authors_to_timm(std::string_view key, int depth) {
  const Placed at = placed(key);
  if (at.place == -1) return std::string(key);
  if (at.is_leaf()) {
    if (at.place == kFirstBlock + depth + kBehindBlocks) return fmt::format("head.{}", at.rest);
    if (at.place < kFirstBlock) return fmt::format("stem.{}.{}", at.place, at.rest);
  } else if (at.place >= kFirstBlock) {
    return fmt::format("blocks.{}.{}", at.place - kFirstBlock, at.rest);
  }
  return std::string(key);
}

std::string authors_in_file(std::string_view timm, int depth) {
  const std::size_t dot = timm.find('.');
  if (dot == timm.npos) return std::string(timm);
  const std::string_view part = timm.substr(0, dot), rest = timm.substr(dot + 1);
  if (part == "stem") return std::string(rest);
  if (part == "head") return fmt::format("{}.{}", kFirstBlock + depth + kBehindBlocks, rest);
  const Placed block = placed(rest);
  if (part != "blocks" || block.place == -1) return std::string(timm);
  return fmt::format("{}.{}", std::int64_t{kFirstBlock} + block.place, block.rest);
}

KeyNames names_of(const std::map<std::string, TensorView>& tensors) {
  KeyNames names;
  std::set<int> blocks;
  bool timm = false, mmpretrain = false, authors = false;
  for (const auto& [full, view] : tensors) {
    const std::string_view key = without_prefixes(full);
    timm |= key.starts_with("stem.") || key.starts_with("blocks.");
    mmpretrain |= key.starts_with("backbone.");
    const Placed at = placed(key);
    authors |= at.place >= 0;
    if (at.place >= kFirstBlock && !at.is_leaf()) blocks.insert(at.place);
    for (const Replacement& suffix : kPaddle) names.paddle |= key.ends_with(suffix.file);
    if (names.prefix.empty()) names.prefix = full.substr(0, full.size() - key.size());
  }
  names.layout = timm         ? KeyLayout::kTimm
                 : mmpretrain ? KeyLayout::kMmpretrain
                 : authors    ? KeyLayout::kAuthors
                              : KeyLayout::kTimm;
  names.depth = static_cast<int>(blocks.size());
  return names;
}

}  // namespace

std::string KeyNames::to_timm(std::string_view key) const {
  std::string name(key);
  if (layout == KeyLayout::kAuthors) {
    name = authors_to_timm(key, depth);
  } else if (layout == KeyLayout::kMmpretrain) {
    for (const auto& [file, timm] : kMmpretrain) {
      if (key.starts_with(file)) name = std::string(timm).append(key.substr(file.size()));
    }
  }
  for (const auto& [file, timm] : kPaddle) {
    if (paddle && name.ends_with(file)) name.replace(name.size() - file.size(), file.size(), timm);
  }
  return name;
}

std::string KeyNames::in_file(std::string_view timm_name) const {
  std::string name(timm_name);
  if (layout == KeyLayout::kAuthors) {
    name = authors_in_file(timm_name, depth);
  } else if (layout == KeyLayout::kMmpretrain) {
    for (const auto& [file, timm] : kMmpretrain) {
      if (timm_name.starts_with(timm)) {
        name = std::string(file).append(timm_name.substr(timm.size()));
      }
    }
  }
  for (const auto& [file, timm] : kPaddle) {
    if (paddle && name.ends_with(timm)) name.replace(name.size() - timm.size(), timm.size(), file);
  }
  return prefix + name;
}

void rename_keys(Checkpoint& checkpoint) {
  const KeyNames names = names_of(checkpoint.tensors);
  std::map<std::string, TensorView> renamed;
  for (auto& [full, view] : checkpoint.tensors) {
    const std::string_view key = without_prefixes(full);
    const bool wrapped = key.size() < full.size() || !names.prefix.empty();
    if (wrapped && (key == "n_averaged" || key == "steps")) continue;
    const auto [place, added] = renamed.try_emplace(names.to_timm(key), std::move(view));
    if (!added) {
      throw Error(Code::kFormat,
                  fmt::format("{}: expected one tensor {}, found a second one named {}",
                              checkpoint.name, in_quotes(place->first), in_quotes(full)));
    }
  }
  const auto head = renamed.find("head.weight");
  if (names.paddle && head != renamed.end() && head->second.shape.size() == 2) {
    head->second = transposed(head->second);
  }
  checkpoint.tensors = std::move(renamed);
  checkpoint.key_names = names;
}

}  // namespace convmixer
