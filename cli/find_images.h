// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace convmixer::cli {

// The images that the arguments name: a file is taken whatever its name; a folder gives its .jpg,
// .jpeg, .png and .webp files (in any case), those of its folders too, sorted by path. A link that
// leads back to a folder above it is not followed. Throws Failure where a folder cannot be read.
std::vector<std::string> find_images(const std::vector<std::string>& arguments);

}  // namespace convmixer::cli
