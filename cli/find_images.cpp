// SPDX-License-Identifier: Apache-2.0
#include "cli/find_images.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

namespace convmixer::cli {
namespace {

namespace fs = std::filesystem;

using Identity = std::pair<dev_t, ino_t>;

void add_folder(const fs::path& folder, std::set<Identity>& visited,
                std::vector<FoundImage>& found) {
  struct stat st {};
  if (::stat(folder.c_str(), &st) == 0 && !visited.insert({st.st_dev, st.st_ino}).second) return;
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().native()[0] != '.') entries.push_back(it->path());
  }
  if (error) {
    found.push_back({folder.string(), folder.string() + ": cannot be read: " + error.message()});
    return;
  }
  std::sort(entries.begin(), entries.end(),
            [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  for (const fs::path& entry : entries) {
    if (fs::is_directory(entry, error)) {
      add_folder(entry, visited, found);
    } else if (has_image_extension(entry.native())) {
      found.push_back({entry.native(), ""});
    }
  }
}

}  // namespace

bool has_image_extension(const std::string& path) {
  std::string extension = fs::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png" || extension == ".webp";
}

std::vector<FoundImage> find_images(const std::vector<std::string>& arguments) {
  std::vector<FoundImage> found;
  for (const std::string& argument : arguments) {
    std::error_code error;
    if (!fs::is_directory(argument, error)) {
      found.push_back({argument, ""});
      continue;
    }
    std::set<Identity> visited;
    const std::size_t before = found.size();
    add_folder(argument, visited, found);
    if (found.size() == before) {
      found.push_back(
          {argument, argument + ": expected .jpg, .jpeg, .png or .webp files, found none"});
    }
  }
  return found;
}

}  // namespace convmixer::cli
