// SPDX-License-Identifier: Apache-2.0
#include "image_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return convmixer::decode_if_begins_with("\x89PNG", data, size);
}
