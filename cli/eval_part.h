// SPDX-License-Identifier: Apache-2.0
// What a process sends of the images it has run.
#pragma once

#include <string>
#include <vector>

#include "cli/predictions.h"

namespace convmixer::cli {

// The rows of a stretch of the list, in its order. Where `stop` is not empty the evaluation must
// end with that sentence, and the rows are those of the images before.
struct EvalPart {
  std::vector<Prediction> rows;
  std::string stop;
  double seconds = 0;  // that they took
};

// To bytes, for a process of the same version on a machine of the same kind, every bit of the
// numbers kept; the names, which the receiver knows, are not sent.
std::string pack(const EvalPart& part);
EvalPart unpack(const std::string& bytes);  // throws Failure where they are not whole

}  // namespace convmixer::cli
