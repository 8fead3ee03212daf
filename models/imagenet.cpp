// SPDX-License-Identifier: Apache-2.0
#include "models/imagenet.h"

#include <cstddef>
#include <iterator>

namespace convmixer {
namespace {

struct ImageNetClass {
  const char *wordnet_id, *name;
};

// share/imagenet-classes.tsv, a row a line, written by models/CMakeLists.txt into the build tree.
constexpr ImageNetClass kClasses[] = {
#include "imagenet_classes.inc"
};
static_assert(std::size(kClasses) == kImageNetClasses);

}  // namespace

std::vector<std::string> imagenet_labels() {
  std::vector<std::string> labels;
  labels.reserve(std::size(kClasses));
  for (const ImageNetClass& known : kClasses) labels.emplace_back(known.name);
  return labels;
}

const char* imagenet_wordnet_id(int index) {
  return index < 0 || index >= kImageNetClasses
             ? nullptr
             : kClasses[static_cast<std::size_t>(index)].wordnet_id;
}

}  // namespace convmixer
