// SPDX-License-Identifier: Apache-2.0
// The names that ConvMixer's tensors have elsewhere, and timm's, which this project uses.
#pragma once

#include <string>
#include <string_view>

namespace convmixer {

struct Checkpoint;

// Block i of `depth`, counted from 0; X stands for weight, bias and BatchNorm's others:
//
//   timm               authors              mmpretrain
//   stem.0.X           0.X                  backbone.stem.0.X           patch embedding
//   stem.2.X           2.X                  backbone.stem.2.X           BatchNorm
//   blocks.i.0.fn.0.X  (3 + i).0.fn.0.X     backbone.stages.i.0.fn.0.X  depthwise
//   blocks.i.0.fn.2.X  (3 + i).0.fn.2.X     backbone.stages.i.0.fn.2.X  BatchNorm
//   blocks.i.1.X       (3 + i).1.X          backbone.stages.i.1.X       pointwise
//   blocks.i.3.X       (3 + i).3.X          backbone.stages.i.3.X       BatchNorm
//   head.X             (3 + depth + 2).X    head.fc.X                   classifier
//
// The authors' network is one nn.Sequential, whose places count: 1 is the first activation, 3 +
// depth the pooling, 3 + depth + 1 the flattening. Paddle's is the fourth table: as the authors'
// (or either other), with _mean and _variance for running_mean and running_var, and the
// classifier's weight is transposed, [dim, classes].
enum class KeyLayout { kTimm, kAuthors, kMmpretrain };

struct KeyNames {
  KeyLayout layout = KeyLayout::kTimm;
  bool paddle = false;
  int depth = 0;       // the number of blocks; known for kAuthors only
  std::string prefix;  // what the file's names begin with: "module." and the like

  std::string to_timm(std::string_view key) const;  // a name that is in no table stays as it is
  std::string in_file(std::string_view timm) const;
};

// Renames the tensors to timm's names, whatever the file's, and transposes Paddle's classifier.
// Prefixes module., _orig_mod. and model., which wrappers of a network add, are taken away, and the
// counters n_averaged and steps of averaged networks left out. Error(kFormat) where two names
// become one.
void rename_keys(Checkpoint& checkpoint);

}  // namespace convmixer
