// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "support/output_file.h"

namespace convmixer::cli {

// width × height × 3 RGB bytes as a PNG. Throws Failure.
std::vector<std::uint8_t> encode_png(const std::vector<std::uint8_t>& pixels, int width,
                                     int height);
void write_png(OutputFile& file, const std::vector<std::uint8_t>& pixels, int width, int height);

}  // namespace convmixer::cli
