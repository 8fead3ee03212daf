// SPDX-License-Identifier: Apache-2.0
// The 200 images of data/cifar, for tests of the command.
#pragma once

#include <string>
#include <vector>

#include "cli_process.h"

namespace convmixer::test {

inline const std::string kCifar = kData + "/cifar", kList = kCifar + "/list.txt";

// Every fourth line of their list: 50 images, 5 of each class in order.
inline std::string fifty_images() {
  std::string text;
  const std::vector<std::string> lines = lines_of(read_text(kList));
  for (std::size_t i = 0; i < lines.size(); i += 4) text += lines[i] + "\n";
  return text;
}

}  // namespace convmixer::test
