// SPDX-License-Identifier: Apache-2.0
// Runs a target over the files that are given, and over those of folders, in place of libFuzzer: so
// that every compiler can.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz_target.h"

namespace {

namespace fs = std::filesystem;

// In memory of exactly its size, so that AddressSanitizer sees a read beyond it.
void run(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (file.bad() || !file.is_open()) throw fs::filesystem_error("cannot be read", path, {});
  const std::vector<std::uint8_t> data(bytes.begin(), bytes.end());
  try {
    LLVMFuzzerTestOneInput(data.data(), data.size());
  } catch (...) {
    std::fprintf(stderr, "%s: the target threw\n", path.c_str());
    throw;
  }
}

}  // namespace

int main(int argc, char** argv) try {
  std::size_t files = 0;
  for (int i = 1; i < argc; ++i) {
    if (!fs::is_directory(argv[i])) {
      run(argv[i]);
      ++files;
      continue;
    }
    const std::size_t before = files;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(argv[i])) {
      if (!entry.is_regular_file()) continue;
      run(entry.path());
      ++files;
    }
    if (files == before) std::fprintf(stderr, "%s: no files\n", argv[i]);
    if (files == before) return 1;
  }
  std::printf("%zu files\n", files);
  return files > 0 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
