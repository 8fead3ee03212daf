// SPDX-License-Identifier: Apache-2.0
// The reader takes a path: the input is a nameless file in memory, which /proc names.
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "cli/handles.h"
#include "cli/npy.h"
#include "fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace convmixer;  // NOLINT(google-build-using-namespace)
  static const int fd = ::memfd_create("npy", MFD_CLOEXEC);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const bool written =
      ::ftruncate(fd, 0) == 0 && ::pwrite(fd, data, size, 0) == static_cast<ssize_t>(size);
  require(written, "the input can be written to memory");
  takes<cli::Failure>([] {
    const cli::Array array = cli::read_npy(path);
    std::size_t count = 1;
    for (const std::size_t n : array.shape) count *= n;
    require(array.values.size() == count, "an array has the values that its shape says");
  });
  return 0;
}
