// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <string>

namespace convmixer {

// Writes all of it, however many calls that takes; 0, or the system's reason.
int write_all(int fd, const void* data, std::size_t size);

// The standard stream that writes to `st`, as with /dev/stdout, or -1.
int standard_stream(const struct stat& st);

// A file that appears whole or not at all: written without a name, or where the file system has no
// such files under another one beside its place, then renamed. So a process that is killed leaves
// nothing, or that other file (.convmixer.PID.N). A link is followed. Where the path names
// something that is no regular file (/dev/null, a pipe) or a standard stream (/dev/stdout), that is
// written directly. Everything that fails throws Error(kIo) with the path and the system's reason;
// what was half-written is removed.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path);  // creates the file, so that a bad path fails early
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  bool is_direct() const { return direct_; }  // written where it is
  void write(const void* data, std::size_t size);
  void commit();

 private:
  void create_temporary();
  void name_temporary();
  std::string candidate(int i) const;
  [[noreturn]] void fail(int error) const;

  std::string path_, target_;  // as given; what it leads to
  std::string temporary_;      // its name, where it has one
  bool direct_ = true;
  int fd_ = -1;
};

}  // namespace convmixer
