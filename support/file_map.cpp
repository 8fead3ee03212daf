// SPDX-License-Identifier: Apache-2.0
#include "support/file_map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "support/error.h"

namespace convmixer {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& why) {
  throw Error(Code::kIo, path + ": " + why);
}

}  // namespace

FileMap::FileMap(const std::string& path) {
  // O_NONBLOCK: opening a pipe that nobody writes to must not hang; it is refused below.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail(path, std::string("cannot be opened: ") + std::strerror(errno));
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    const int error = errno;
    ::close(fd);
    fail(path, std::string("cannot be examined: ") + std::strerror(error));
  }
  if (!S_ISREG(st.st_mode)) {
    ::close(fd);
    fail(path, S_ISDIR(st.st_mode) ? "is a folder, expected a file" : "is not a regular file");
  }
  size_ = static_cast<std::size_t>(st.st_size);
  if (size_ != 0) {
    void* p = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    const int error = errno;
    if (p == MAP_FAILED) {
      ::close(fd);
      fail(path, std::string("cannot be mapped into memory: ") + std::strerror(error));
    }
    data_ = static_cast<const std::uint8_t*>(p);
  }
  ::close(fd);
}

FileMap::~FileMap() {
  if (data_ != nullptr) ::munmap(const_cast<std::uint8_t*>(data_), size_);
}

void FileMap::let_go(const void* begin, std::size_t bytes) const {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto map_begin = reinterpret_cast<std::uintptr_t>(data_);
  const auto first = reinterpret_cast<std::uintptr_t>(begin);
  if (data_ == nullptr || first < map_begin || first - map_begin > size_ ||
      bytes > size_ - (first - map_begin)) {
    return;
  }
  const std::uintptr_t aligned = (first + page - 1) / page * page;
  const std::uintptr_t end = (first + bytes) / page * page;
  if (aligned < end) ::madvise(reinterpret_cast<void*>(aligned), end - aligned, MADV_DONTNEED);
}

}  // namespace convmixer
