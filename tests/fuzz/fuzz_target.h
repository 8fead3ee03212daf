// SPDX-License-Identifier: Apache-2.0
// What every target does: an input is taken or refused, and a refusal is the project's own
// exception with a sentence for a person. Whatever else happens ends the process, which is a
// finding.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace convmixer {

// A property of the code that an input has shown to be false.
inline void require(bool holds, std::string_view property) {
  if (holds) return;
  std::fprintf(stderr, "expected: %.*s\n", static_cast<int>(property.size()), property.data());
  std::abort();
}

// What a file holds must not steer the terminal that a message is shown on.
inline void check_message(std::string_view text) {
  require(!text.empty(), "an error has a text");
  require(std::none_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }),
          "an error's text has no control characters");
}

// False where `take` refused its input.
template <typename Refusal, typename Take>
bool takes(Take take) {
  try {
    take();
    return true;
  } catch (const Refusal& refusal) {
    check_message(refusal.what());
    return false;
  }
}

}  // namespace convmixer
