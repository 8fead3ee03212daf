// SPDX-License-Identifier: Apache-2.0
// Images with their classes: from a list file, or from a folder of class folders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/class_names.h"

namespace convmixer::cli {

// What told the classes.
enum class LabelSource { kList, kWordNetIds, kLabels, kSortedOrder, kNone };

// 16 bytes and its name an image, so that a list may be long.
class Dataset {
 public:
  Dataset(std::string prefix, LabelSource source) : prefix_(std::move(prefix)), source_(source) {}

  std::size_t size() const { return entries_.size(); }
  LabelSource source() const { return source_; }
  int label(std::size_t i) const { return entries_[i].label; }  // −1 where there are none
  // As the list writes it; below the folder.
  std::string_view name(std::size_t i) const {
    return std::string_view(text_).substr(entries_[i].begin, entries_[i].size);
  }
  std::string path(std::size_t i) const;  // to open
  // Of names, classes and the folder that relative names begin from.
  std::string hash() const;

  void add(std::string_view name, int label);  // copies the name
  // Takes `text`; the names of add_part() are parts of it.
  void take(std::string text) { text_ = std::move(text); }
  void add_part(std::size_t begin, std::size_t size, int label);
  const std::string& text() const { return text_; }

 private:
  struct Entry {
    std::uint64_t begin;
    std::uint32_t size;
    std::int32_t label;
  };
  std::string prefix_;  // empty, or ends with '/'
  LabelSource source_;
  std::string text_;
  std::vector<Entry> entries_;
};

// Lines "path label", the label after the last space or tab, whatever ends the line; empty lines
// are left out. Throws Failure, naming `file` and the line.
void parse_list(const std::string& file, std::string text, const ClassNames& classes, Dataset& dst);

// The class of each folder, and what told it. Throws Failure where nothing does.
struct FolderClasses {
  std::vector<int> classes;
  LabelSource source;
};
FolderClasses match_folders(const std::string& parent, const std::vector<std::string>& folders,
                            const ClassNames& classes);

// `images` is a folder of class folders, or a list, whose relative paths begin from `root`, or from
// the list's own folder where that is empty. Throws Failure; a data set without images is one.
Dataset open_dataset(const std::string& images, const std::string& root, const ClassNames& classes);

// The same, but images whose classes are not known serve too: of a list whose first line as a whole
// names a file, every line is a path; a folder without folders that can be matched with classes
// gives all images in it and below. `why` then says which it is.
Dataset open_any_dataset(const std::string& images, const std::string& root,
                         const ClassNames& classes, std::string& why);

// The images of a list whose lines are paths, or paths and labels, which are not looked at: told
// apart as above.
Dataset open_unlabelled_list(const std::string& file, const std::string& root);

}  // namespace convmixer::cli
