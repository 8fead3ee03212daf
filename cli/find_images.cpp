// SPDX-License-Identifier: Apache-2.0
#include "cli/find_images.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <utility>

#include "cli/handles.h"

namespace convmixer::cli {
namespace {

namespace fs = std::filesystem;

bool has_image_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png" || extension == ".webp";
}

using Identity = std::pair<dev_t, ino_t>;

// `above` are the folders that lead here: one of them again is a loop.
void add_folder(const fs::path& folder, std::vector<Identity>& above,
                std::vector<std::string>& found) {
  struct stat st {};
  if (::stat(folder.c_str(), &st) != 0) return;
  const Identity identity{st.st_dev, st.st_ino};
  if (std::find(above.begin(), above.end(), identity) != above.end()) return;
  above.push_back(identity);
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    entries.push_back(it->path());
  }
  if (error) throw Failure(kFailed, folder.string() + ": cannot be read: " + error.message());
  std::sort(entries.begin(), entries.end(),
            [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  for (const fs::path& entry : entries) {
    if (fs::is_directory(entry, error)) {
      add_folder(entry, above, found);
    } else if (has_image_extension(entry)) {
      found.push_back(entry.native());
    }
  }
  above.pop_back();
}

}  // namespace

std::vector<std::string> find_images(const std::vector<std::string>& arguments) {
  std::vector<std::string> found;
  for (const std::string& argument : arguments) {
    std::error_code error;
    if (!fs::is_directory(argument, error)) {
      found.push_back(argument);
      continue;
    }
    std::vector<Identity> above;
    const std::size_t before = found.size();
    add_folder(argument, above, found);
    if (found.size() == before) {
      throw Failure(kFailed, argument + ": expected .jpg, .jpeg, .png or .webp files, found none");
    }
  }
  return found;
}

}  // namespace convmixer::cli
