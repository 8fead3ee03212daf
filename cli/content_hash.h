// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace convmixer::cli {

// Tells contents apart that changed by accident (FNV-1a, 64 bits); no guard against malice.
class ContentHash {
 public:
  // A part: ("ab", "c") and ("a", "bc") differ.
  void add(std::string_view part);
  std::string text() const;  // 16 hexadecimal digits

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

// Of a file's bytes; of a folder, of the names and bytes of the files in it. Throws Failure.
std::string hash_of_path(const std::string& path);

}  // namespace convmixer::cli
