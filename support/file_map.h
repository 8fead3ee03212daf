// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace convmixer {

// The bytes of a regular file, read once: whoever changes the file meanwhile changes at most what
// is read. Throws Error(kIo) as FileMap does, and where reading fails; Error(kLimit)
// for more than `most_bytes`.
std::vector<std::uint8_t> read_file(const std::string& path, std::size_t most_bytes);

// A regular file, mapped read-only for the lifetime of the object. It must not be truncated
// meanwhile: the system answers a read beyond a file's new end with SIGBUS.
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

  // Tells the system that the pages wholly inside [begin, begin + bytes) are not needed now, so
  // that they leave the process's resident memory. Reading them again stays valid and brings them
  // back. A range outside the mapping is ignored.
  void let_go(const void* begin, std::size_t bytes) const;

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace convmixer
