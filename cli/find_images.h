// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace convmixer::cli {

struct FoundImage {
  std::string path;
  std::string error;  // a sentence where `path` is a folder that gives no image
};

// .jpg, .jpeg, .png or .webp, in any case.
bool has_image_extension(const std::string& path);

// The images that the arguments name: a file is taken whatever its name; a folder gives its .jpg,
// .jpeg, .png and .webp files (in any case), those of its folders too, sorted by path. Links to
// folders are followed, but a folder is entered once for each argument, so that links cannot lead
// in circles. Names in folders that begin with a dot are left out. A folder that cannot be read, or
// an argument without images, is an entry with an error.
std::vector<FoundImage> find_images(const std::vector<std::string>& arguments);

}  // namespace convmixer::cli
