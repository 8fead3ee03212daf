// SPDX-License-Identifier: Apache-2.0
#include "support/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "support/error.h"

namespace convmixer {
namespace {

std::string path_of(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

}  // namespace

// It may be a regular file, yet the path is a link to the stream: to rename over it would destroy
// the link, or replace a file that somebody appends to.
int standard_stream(const struct stat& st) {
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat open {};
    if (::fstat(fd, &open) == 0 && open.st_dev == st.st_dev && open.st_ino == st.st_ino) return fd;
  }
  return -1;
}

int write_all(int fd, const void* data, std::size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size != 0) {
    const ssize_t n = ::write(fd, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    at += n;
    size -= static_cast<std::size_t>(n);
  }
  return 0;
}

OutputFile::OutputFile(const std::string& path) : path_(path), target_(path) {
  struct stat st {};
  const bool exists = ::stat(path.c_str(), &st) == 0;
  if (!exists && errno != ENOENT) fail(errno);
  if (exists && S_ISDIR(st.st_mode)) fail(EISDIR);
  if (const int stream = exists ? standard_stream(st) : -1; stream >= 0) {
    fd_ = ::dup(stream);
    if (fd_ < 0) fail(errno);
    return;
  }
  if (exists && !S_ISREG(st.st_mode)) {
    fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd_ < 0) fail(errno);
    return;
  }
  if (exists && ::access(path.c_str(), W_OK) != 0) fail(errno);
  // Where the path is a link, the file it leads to is replaced, and the link stays. A link to
  // nothing, such as /dev/stdout where stdout is closed, must not be replaced either.
  std::error_code error;
  const bool link = std::filesystem::is_symlink(std::filesystem::symlink_status(path, error));
  error.clear();
  if (exists || link) target_ = std::filesystem::canonical(path, error).string();
  if (error) fail(error.value());
  create_temporary();
  // A result has the permissions of what it replaces.
  if (exists) ::fchmod(fd_, st.st_mode & 07777);
}

// A short name, so that every name which is itself allowed can be written.
std::string OutputFile::candidate(int i) const {
  const std::string folder = target_.substr(0, target_.rfind('/') + 1);
  return folder + ".convmixer." + std::to_string(::getpid()) + "." + std::to_string(i);
}

// Not mkstemp, whose files are for their owner only: the usual permissions could be read only by
// setting the process's umask for a moment, which other threads would notice.
void OutputFile::create_temporary() {
  direct_ = false;
#ifdef O_TMPFILE
  const std::string folder = target_.substr(0, target_.rfind('/') + 1);
  fd_ = ::open(folder.empty() ? "." : folder.c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
  if (fd_ >= 0 && ::access(path_of(fd_).c_str(), F_OK) == 0) return;
  if (fd_ >= 0) ::close(fd_);  // without /proc it could not be named
  fd_ = -1;
#endif
  for (int i = 0; fd_ < 0; ++i) {
    fd_ = ::open(candidate(i).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ >= 0) {
      temporary_ = candidate(i);
    } else if (errno != EEXIST) {
      fail(errno);
    }
  }
}

// A file without a name gets one for a moment: only a rename replaces another file.
void OutputFile::name_temporary() {
  for (int i = 0; temporary_.empty(); ++i) {
    if (::linkat(AT_FDCWD, path_of(fd_).c_str(), AT_FDCWD, candidate(i).c_str(),
                 AT_SYMLINK_FOLLOW) == 0) {
      temporary_ = candidate(i);
    } else if (errno != EEXIST) {
      fail(errno);
    }
  }
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void OutputFile::write(const void* data, std::size_t size) {
  if (const int error = write_all(fd_, data, size); error != 0) fail(error);
}

void OutputFile::commit() {
  if (!direct_) name_temporary();
  const int fd = fd_;
  fd_ = -1;
  if (::close(fd) != 0) fail(errno);
  if (direct_) return;
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail(errno);
  temporary_.clear();
}

void OutputFile::fail(int error) const {
  // Also reached from the constructor, whose object has no destructor to run.
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  throw Error(Code::kIo, path_ + ": cannot be written: " + std::strerror(error));
}

}  // namespace convmixer
