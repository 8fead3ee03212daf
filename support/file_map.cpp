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

// A regular file, open for reading as long as the object lives.
struct OpenFile {
  int fd;
  std::size_t size = 0;

  explicit OpenFile(const std::string& path)
      // O_NONBLOCK: opening a pipe that nobody writes to must not hang; it is refused below.
      : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (fd < 0) fail(path, std::string("cannot be opened: ") + std::strerror(errno));
    struct stat st {};
    const int error = ::fstat(fd, &st) != 0 ? errno : 0;
    if (error == 0 && S_ISREG(st.st_mode)) {
      size = static_cast<std::size_t>(st.st_size);
      return;
    }
    ::close(fd);
    if (error != 0) fail(path, std::string("cannot be examined: ") + std::strerror(error));
    fail(path, S_ISDIR(st.st_mode) ? "is a folder, expected a file" : "is not a regular file");
  }
  ~OpenFile() { ::close(fd); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
};

}  // namespace

std::vector<std::uint8_t> read_file(const std::string& path, std::size_t most_bytes) {
  const OpenFile file(path);
  if (file.size > most_bytes) {
    throw Error(Code::kLimit, path + ": expected at most " + std::to_string(most_bytes) +
                                  " bytes, found " + std::to_string(file.size));
  }
  std::vector<std::uint8_t> bytes(file.size);
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::read(file.fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(path, std::string("cannot be read: ") + std::strerror(errno));
    if (n == 0) break;  // it has become shorter
    done += static_cast<std::size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

FileMap::FileMap(const std::string& path) {
  const OpenFile file(path);
  size_ = file.size;
  if (size_ == 0) return;
  void* p = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (p == MAP_FAILED)
    fail(path, std::string("cannot be mapped into memory: ") + std::strerror(errno));
  data_ = static_cast<const std::uint8_t*>(p);
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
