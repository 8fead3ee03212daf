// SPDX-License-Identifier: Apache-2.0
#include "cli/launcher.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace convmixer::cli {

int launched_ranks() {
  for (const char* const variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    const char* const value = std::getenv(variable);
    if (value == nullptr) continue;
    const std::string_view text(value);
    int ranks = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ranks);
    if (error == std::errc() && end == text.data() + text.size() && ranks > 0) return ranks;
  }
  return 0;
}

bool connect_terminal() {
  static const bool connected = [] {
    if (::isatty(STDERR_FILENO) != 0) return true;
    struct stat file {};
    const bool pipe = ::fstat(STDERR_FILENO, &file) == 0 && S_ISFIFO(file.st_mode);
    if (launched_ranks() == 0 || !pipe) return false;  // a file is where somebody wants it
    const int fd = ::open(fmt::format("/proc/{}/fd/2", ::getppid()).c_str(),
                          O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    const bool terminal = ::isatty(fd) != 0 && ::fcntl(fd, F_SETFL, 0) == 0 &&
                          ::dup2(fd, STDERR_FILENO) == STDERR_FILENO;
    ::close(fd);
    return terminal;
  }();
  return connected;
}

}  // namespace convmixer::cli
