// SPDX-License-Identifier: Apache-2.0
#include "cli/content_hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "cli/handles.h"

namespace convmixer::cli {
namespace {

void add_file(const std::string& path, ContentHash& hash) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> part(std::size_t{1} << 20);
  while (file) {
    file.read(part.data(), static_cast<std::streamsize>(part.size()));
    if (file.gcount() > 0) hash.add({part.data(), static_cast<std::size_t>(file.gcount())});
  }
  if (!file.eof()) {
    throw Failure(kFailed, fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
  }
}

}  // namespace

void ContentHash::add(std::string_view part) {
  constexpr std::uint64_t kPrime = 0x100000001b3u;
  for (const char c : part) state_ = (state_ ^ static_cast<unsigned char>(c)) * kPrime;
  for (std::uint64_t size = part.size(), i = 0; i < 8; ++i) {
    state_ = (state_ ^ (size >> (8 * i) & 255)) * kPrime;
  }
}

std::string ContentHash::text() const { return fmt::format("{:016x}", state_); }

std::string hash_of_path(const std::string& path) {
  ContentHash hash;
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) {
    add_file(path, hash);
    return hash.text();
  }
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    std::error_code ignored;
    if (entry.is_regular_file(ignored)) names.push_back(entry.path().filename().string());
  }
  if (error) throw Failure(kFailed, fmt::format("{}: cannot be read: {}", path, error.message()));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    hash.add(name);
    add_file(path + "/" + name, hash);
  }
  return hash.text();
}

}  // namespace convmixer::cli
