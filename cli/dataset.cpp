// SPDX-License-Identifier: Apache-2.0
#include "cli/dataset.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <system_error>

#include "cli/content_hash.h"
#include "cli/find_images.h"
#include "cli/handles.h"

namespace convmixer::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBlank = " \t";
// Ten million lines and more; an endless pipe comes to an end.
constexpr std::size_t kMaxListBytes = std::size_t{1} << 30;

std::string with_slash(std::string folder) {
  if (!folder.empty() && folder.back() != '/') folder += '/';
  return folder;
}

bool has_duplicates(const std::vector<int>& classes) {
  return std::set<int>(classes.begin(), classes.end()).size() != classes.size();
}

// By WordNet ids or, failing that, labels: all of the folders or none, each another class.
std::vector<int> match_all(const std::vector<std::string>& folders,
                           const std::function<int(const std::string&)>& class_of) {
  std::vector<int> classes;
  for (const std::string& folder : folders) {
    const int index = class_of(folder);
    if (index < 0) return {};
    classes.push_back(index);
  }
  return has_duplicates(classes) ? std::vector<int>() : classes;
}

int only_class(const ClassNames& classes, const std::string& label) {
  const std::vector<int> found = classes.of_label(label);
  return found.size() == 1 ? found[0] : -1;
}

// Why a folder is neither a WordNet id nor the label of one class.
std::string mismatch(const std::vector<std::string>& folders, const ClassNames& classes) {
  for (const std::string& folder : folders) {
    if (classes.of_wordnet_id(folder) >= 0) continue;
    const std::vector<int> found = classes.of_label(folder);
    if (found.empty()) return fmt::format("\"{}\" is neither a WordNet id nor a label", folder);
    if (found.size() > 1) {
      return fmt::format("\"{}\" is the label of class {} and of class {}", folder, found[0],
                         found[1]);
    }
  }
  return "some are WordNet ids and some labels, or two mean the same class";
}

std::string read_list_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw Failure(kFailed, fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
  }
  std::string text, part(1 << 16, '\0');
  while (file.read(part.data(), static_cast<std::streamsize>(part.size())), file.gcount() > 0) {
    text.append(part, 0, static_cast<std::size_t>(file.gcount()));
    if (part.find('\0') < static_cast<std::size_t>(file.gcount())) break;  // see take_list
    if (text.size() > kMaxListBytes) {
      throw Failure(kFailed, fmt::format("{}: expected a list of at most {} bytes, found more",
                                         path, kMaxListBytes));
    }
  }
  if (file.bad()) throw Failure(kFailed, fmt::format("{}: cannot be read", path));
  return text;
}

std::vector<std::string> class_folders(const std::string& parent) {
  std::vector<std::string> folders;
  std::error_code error;
  for (fs::directory_iterator it(parent, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().native();
    std::error_code ignored;
    if (name[0] != '.' && fs::is_directory(it->path(), ignored)) folders.push_back(name);
  }
  if (error) {
    throw Failure(kFailed, fmt::format("{}: cannot be read: {}", parent, error.message()));
  }
  if (folders.empty()) {
    throw Failure(kFailed, fmt::format("{}: expected a folder for each class, found none", parent));
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

FolderClasses match_parent(const std::string& given, const ClassNames& classes,
                           std::vector<std::string>& folders) {
  folders = class_folders(with_slash(given));
  return match_folders(given, folders, classes);
}

Dataset read_class_folders(const std::string& given, const std::vector<std::string>& folders,
                           const FolderClasses& matched) {
  const std::string parent = with_slash(given);
  Dataset dataset(parent, matched.source);
  for (std::size_t i = 0; i < folders.size(); ++i) {
    for (const FoundImage& image : find_images({parent + folders[i]})) {
      if (!image.error.empty()) throw Failure(kFailed, image.error);
      dataset.add(std::string_view(image.path).substr(parent.size()), matched.classes[i]);
    }
  }
  return dataset;
}

// Is `images` a folder? A root is refused then.
bool is_folder(const std::string& images, const std::string& root) {
  std::error_code error;
  if (!fs::is_directory(images, error)) return false;
  if (!root.empty()) {
    throw Failure(
        kWrongUsage,
        fmt::format("--root: expected a list file as --images, found the folder \"{}\"", images));
  }
  return true;
}

std::string folder_of_list(const std::string& file, const std::string& root) {
  return with_slash(root.empty() ? fs::path(file).parent_path().string() : root);
}

// Calls body(number, begin, line) for each line of a list that is not blank, without blanks behind
// it, `begin` being where in the text it is.
template <typename Body>
void for_each_line(std::string_view text, Body body) {
  std::size_t number = 0, begin = text.rfind("\xef\xbb\xbf", 0) == 0 ? 3 : 0;
  for (std::size_t end = 0; begin < text.size(); begin = end + 1) {
    end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    ++number;
    const std::size_t last = line.find_last_not_of(" \t\r");
    if (last != std::string_view::npos) body(number, begin, line.substr(0, last + 1));
  }
}

// How long the path of "path label" is, or npos.
std::size_t path_size(std::string_view line) {
  const std::size_t gap = line.find_last_of(kBlank);
  const std::size_t last = gap == std::string_view::npos ? gap : line.find_last_not_of(kBlank, gap);
  return last == std::string_view::npos ? last : last + 1;
}

void take_list(const std::string& file, std::string text, Dataset& dst) {
  if (text.find('\0') != std::string::npos) {
    throw Failure(kFailed, fmt::format("{}: expected a text of lines \"path label\", or a folder, "
                                       "found a file with zero bytes",
                                       file));
  }
  dst.take(std::move(text));
}

void refuse_empty_list(const std::string& file, const Dataset& dataset) {
  if (dataset.size() == 0) {
    throw Failure(kFailed, fmt::format("{}: expected lines \"path label\", found none", file));
  }
}

bool is_file(const std::string& folder, std::string_view name) {
  std::error_code error;
  const fs::path path = fs::path(folder) / fs::path(name);
  return fs::exists(path, error) && !fs::is_directory(path, error);
}

// Does the first line as a whole name a file, relative ones in `folder`?
bool has_bare_paths(const std::string& text, const std::string& folder) {
  bool first = true, bare = false;
  for_each_line(text, [&](std::size_t, std::size_t, std::string_view line) {
    if (first) bare = is_file(folder, line);
    first = false;
  });
  return bare;
}

void add_bare_paths(const std::string& file, std::string text, Dataset& dst) {
  take_list(file, std::move(text), dst);
  for_each_line(dst.text(), [&](std::size_t, std::size_t begin, std::string_view line) {
    dst.add_part(begin, line.size(), -1);
  });
}

Dataset read_any_folder(const std::string& given) {
  const std::string parent = with_slash(given);
  Dataset dataset(parent, LabelSource::kNone);
  for (const FoundImage& image : find_images({parent})) {
    if (!image.error.empty()) throw Failure(kFailed, image.error);
    dataset.add(std::string_view(image.path).substr(parent.size()), -1);
  }
  return dataset;
}

}  // namespace

std::string Dataset::path(std::size_t i) const {
  const std::string_view relative = name(i);
  return relative[0] == '/' ? std::string(relative) : prefix_ + std::string(relative);
}

std::string Dataset::hash() const {
  ContentHash hash;
  std::error_code error;
  const fs::path folder = fs::weakly_canonical(prefix_.empty() ? "." : prefix_, error);
  hash.add(error ? prefix_ : folder.native());
  for (std::size_t i = 0; i < size(); ++i) {
    hash.add(name(i));
    hash.add(std::to_string(label(i)));
  }
  return hash.text();
}

void Dataset::add(std::string_view name, int label) {
  add_part(text_.size(), name.size(), label);
  text_ += name;
}

void Dataset::add_part(std::size_t begin, std::size_t size, int label) {
  entries_.push_back({begin, static_cast<std::uint32_t>(size), label});
}

void parse_list(const std::string& file, std::string text, const ClassNames& classes,
                Dataset& dst) {
  take_list(file, std::move(text), dst);
  for_each_line(dst.text(), [&](std::size_t number, std::size_t begin, std::string_view line) {
    const std::size_t size = path_size(line);
    if (size == std::string_view::npos) {
      throw Failure(kFailed, fmt::format("{}:{}: expected \"path label\", found \"{}\"", file,
                                         number, shown(line)));
    }
    std::string why;
    const std::string label(line.substr(line.find_last_of(kBlank) + 1));
    const int index = classes.find(label, why);
    if (index < 0) throw Failure(kFailed, fmt::format("{}:{}: {}", file, number, why));
    dst.add_part(begin, size, index);
  });
  refuse_empty_list(file, dst);
}

FolderClasses match_folders(const std::string& parent, const std::vector<std::string>& folders,
                            const ClassNames& classes) {
  std::vector<int> found =
      match_all(folders, [&](const std::string& f) { return classes.of_wordnet_id(f); });
  if (!found.empty()) return {found, LabelSource::kWordNetIds};
  found = match_all(folders, [&](const std::string& f) { return only_class(classes, f); });
  if (!found.empty()) return {found, LabelSource::kLabels};
  const std::string start = fmt::format("{}: the folders cannot be matched with classes: {}, ",
                                        parent, mismatch(folders, classes));
  if (folders.size() != static_cast<std::size_t>(classes.count())) {
    throw Failure(kFailed, fmt::format("{}and their sorted order would need {} folders, found {}",
                                       start, classes.count(), folders.size()));
  }
  for (int i = 0; i < classes.count(); ++i) {
    const std::string& folder = folders[static_cast<std::size_t>(i)];
    const int named = std::max(classes.of_wordnet_id(folder), only_class(classes, folder));
    if (named >= 0 && named != i) {
      throw Failure(kFailed,
                    fmt::format("{}and in sorted order \"{}\" would be class {}, not class {}",
                                start, folder, i, named));
    }
    found.push_back(i);
  }
  return {found, LabelSource::kSortedOrder};
}

Dataset open_dataset(const std::string& images, const std::string& root,
                     const ClassNames& classes) {
  if (is_folder(images, root)) {
    std::vector<std::string> folders;
    const FolderClasses matched = match_parent(images, classes, folders);
    return read_class_folders(images, folders, matched);
  }
  Dataset dataset(folder_of_list(images, root), LabelSource::kList);
  parse_list(images, read_list_text(images), classes, dataset);
  return dataset;
}

Dataset open_any_dataset(const std::string& images, const std::string& root,
                         const ClassNames& classes, std::string& why) {
  if (is_folder(images, root)) {
    std::vector<std::string> folders;
    FolderClasses matched;
    try {
      matched = match_parent(images, classes, folders);
    } catch (const Failure& e) {
      why = e.what();
      return read_any_folder(images);
    }
    return read_class_folders(images, folders, matched);
  }
  std::string text = read_list_text(images);
  const std::string folder = folder_of_list(images, root);
  const bool bare = has_bare_paths(text, folder);
  Dataset dataset(folder, bare ? LabelSource::kNone : LabelSource::kList);
  if (bare) {
    why = images + ": its lines are paths";
    add_bare_paths(images, std::move(text), dataset);
  } else {
    parse_list(images, std::move(text), classes, dataset);
  }
  return dataset;
}

Dataset open_unlabelled_list(const std::string& file, const std::string& root) {
  std::string text = read_list_text(file);
  const std::string folder = folder_of_list(file, root);
  Dataset dataset(folder, LabelSource::kNone);
  if (has_bare_paths(text, folder)) {
    add_bare_paths(file, std::move(text), dataset);
    return dataset;
  }
  take_list(file, std::move(text), dataset);
  for_each_line(dataset.text(), [&](std::size_t, std::size_t begin, std::string_view line) {
    dataset.add_part(begin, std::min(path_size(line), line.size()), -1);
  });
  refuse_empty_list(file, dataset);
  return dataset;
}

}  // namespace convmixer::cli
