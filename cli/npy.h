// SPDX-License-Identifier: Apache-2.0
// NumPy's file format, for arrays of float32
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "support/output_file.h"

namespace convmixer::cli {

struct Array {
  std::vector<std::size_t> shape;
  std::vector<float> values;  // row-major
};

// Reads versions 1 to 3 of the format. Throws Failure, naming the path, what was expected and what
// was found, for any other kind of file, type, order or size. Memory is taken only once the file's
// size fits.
Array read_npy(const std::string& path);

void write_npy(OutputFile& file, const std::vector<std::size_t>& shape,
               const std::vector<float>& values);

std::string shape_text(const std::vector<std::size_t>& shape);  // "(2, 3, 224, 224)"

}  // namespace convmixer::cli
