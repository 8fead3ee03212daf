// SPDX-License-Identifier: Apache-2.0
// Where a command reads and writes: what must not be the same file, and outputs of which some
// cannot be written.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "support/output_file.h"

namespace convmixer::cli {

// "--output" or "IMAGE", and what it was given; an empty path was not given.
struct Place {
  std::string option, path;
};

// The files that --model's value is read from.
std::vector<Place> places_of_model(const std::string& path);

// Throws Failure(kWrongUsage) where an output is a file that is read, or another output, however
// the two are spelled. Devices and pipes may be any number of them.
void refuse_same_files(const std::vector<Place>& inputs, const std::vector<Place>& outputs);

// Calls each, also where one before it throws, and throws the first exception then: a place that
// cannot be written takes no other place's result along.
void try_each(std::initializer_list<std::function<void()>> writers);

// All that the file is to hold.
void write_whole(OutputFile& file, const std::string& text);

}  // namespace convmixer::cli
