// SPDX-License-Identifier: Apache-2.0
#include "checkpoint_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace convmixer;  // NOLINT(google-build-using-namespace)
  return open_as_model([&](Checkpoint& checkpoint) { read_torch_legacy(data, size, checkpoint); });
}
