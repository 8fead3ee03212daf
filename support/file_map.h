// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace convmixer {

// A regular file, mapped read-only for the lifetime of the object.
class FileMap {
 public:
  // Throws Error(kIo), naming the path and the reason, where it cannot be opened, is a folder or
  // another thing that is not a regular file, or cannot be mapped. An empty file gives size() == 0.
  explicit FileMap(const std::string& path);
  ~FileMap();
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;

  const std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }

  // Tells the system that the pages wholly inside [begin, begin + bytes) are not needed now, so that
  // they leave the process's resident memory. Reading them again stays valid and brings them back.
  // A range outside the mapping is ignored.
  void let_go(const void* begin, std::size_t bytes) const;

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace convmixer
