// SPDX-License-Identifier: Apache-2.0
// The ordinary command: one process, and no MPI.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/handles.h"
#include "cli/launcher.h"
#include "cli/ranks.h"

namespace convmixer::cli {
namespace {

// Goes on as convmixer-mpi with the same arguments; returns where that fails.
void become(const std::string& executable) {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};  // each argument ends with a zero
  std::vector<char*> arguments;
  for (std::size_t at = 0; at < text.size(); at = text.find('\0', at) + 1) {
    arguments.push_back(text.data() + at);
  }
  arguments.push_back(nullptr);
  ::execv(executable.c_str(), arguments.data());
}

}  // namespace

Ranks::Ranks() {
  const int launched = launched_ranks();
  if (launched <= 1) return;
  std::error_code error;
  const std::string executable =
      (std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "convmixer-mpi")
          .string();
  become(executable);
  throw Failure(kFailed, fmt::format("mpirun has started {} processes, which needs {}: {} (this "
                                     "project builds it where MPI is installed: CONVMIXER_MPI)",
                                     launched, executable, std::strerror(errno)));
}

Ranks::~Ranks() = default;

std::vector<std::string> Ranks::gather(const std::string& text) { return {text}; }

std::string Ranks::broadcast(const std::string& text) { return text; }

}  // namespace convmixer::cli
