// SPDX-License-Identifier: Apache-2.0
// What a comparison found, as text and as JSON.
#pragma once

#include <convmixer.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/class_names.h"
#include "cli/comparison.h"
#include "cli/dataset.h"
#include "cli/report_parts.h"

namespace convmixer::cli {

struct ComparedNetwork {
  std::string model;
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
};

struct CompareReport {
  std::array<ComparedNetwork, 2> networks;
  std::string images, why_unlabelled;
  convmixer_session_info session = CONVMIXER_SESSION_INFO_INIT;  // of the first
  const ClassNames& names;
  const Dataset& dataset;
  Comparison comparison;
  std::vector<FailedImage> failures;  // the first of them
  double seconds = 0;                 // of all images, in both networks

  bool has_labels() const { return dataset.source() != LabelSource::kNone; }
};

std::string compare_text(const CompareReport& report);
std::string compare_json(const CompareReport& report);

}  // namespace convmixer::cli
