// SPDX-License-Identifier: Apache-2.0
// What an evaluation found, as text, as JSON and as a page.
#pragma once

#include <convmixer.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cli/class_names.h"
#include "cli/dataset.h"
#include "cli/report_parts.h"
#include "cli/tally.h"

namespace convmixer::cli {

struct EvalReport {
  std::string model, images, precision;
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  convmixer_session_info session = CONVMIXER_SESSION_INFO_INIT;
  convmixer_image_options decode = CONVMIXER_IMAGE_OPTIONS_INIT;
  const ClassNames& names;
  const Dataset& dataset;
  Tally tally;
  std::vector<FailedImage> failures;  // the first of them
  std::uint64_t earlier = 0;          // images whose results an earlier run had
  std::uint64_t ran = 0;              // images of this run, failed ones too
  double seconds = 0;                 // that they took
  int ranks = 1, threads = 0;         // processes, and the threads of all together

  // 0 where this run had none.
  double images_per_second() const { return seconds > 0 ? static_cast<double>(ran) / seconds : 0; }
};

// "list", "wordnet_ids", "labels", "sorted_order" or "none".
const char* name_of(LabelSource source);
const char* explain(LabelSource source);  // for a person

// Where most of a class's mistakes go, and how many: index −1 where it has none.
std::vector<Confusion> most_taken_for(const Tally& tally);

// Classes that have images, the least accurate first, equal ones by index.
std::vector<int> worst_first(const Tally& tally);

std::string eval_text(const EvalReport& report);
std::string eval_json(const EvalReport& report);
// A page that needs no other file; decodes the pictures of the worst mistakes.
std::string eval_html(const EvalReport& report);

}  // namespace convmixer::cli
