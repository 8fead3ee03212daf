// SPDX-License-Identifier: Apache-2.0
// The classes of ImageNet-1k, in the order that every published model uses.
#pragma once

#include <string>
#include <vector>

namespace convmixer {

constexpr int kImageNetClasses = 1000;

// A name a class. "crane" and "maillot" are two classes each.
std::vector<std::string> imagenet_labels();

// "n01440764" of the tench, class 0: how ImageNet's folders are named. Null where the index is out
// of range.
const char* imagenet_wordnet_id(int index);

}  // namespace convmixer
