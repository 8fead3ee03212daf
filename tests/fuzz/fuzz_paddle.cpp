// SPDX-License-Identifier: Apache-2.0
#include "checkpoint_target.h"
#include "models/pickle.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace convmixer;  // NOLINT(google-build-using-namespace)
  return open_as_model([&](Checkpoint& checkpoint) {
    const pickle::Pickle pickle(checkpoint.name, data, size);
    if (!is_torch_magic(pickle)) read_paddle(pickle, size, checkpoint);
  });
}
