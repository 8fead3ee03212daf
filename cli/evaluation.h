// SPDX-License-Identifier: Apache-2.0
// The loop of an evaluation, of one process or of several.
#pragma once

#include <convmixer.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/eval_part.h"
#include "cli/eval_report.h"
#include "cli/model_options.h"
#include "cli/predictions.h"
#include "cli/progress_bar.h"
#include "cli/ranks.h"
#include "cli/tally.h"

namespace convmixer::cli {

struct EvalOptions {
  ModelOptions model;
  convmixer_image_options image = CONVMIXER_IMAGE_OPTIONS_INIT;
  std::string images, root, output, predictions, report;
  std::vector<int> tops;
  bool json = false, resume = false, strict = false;
};

// Runs the images of a list in rounds. A round is a stretch of the list, each rank's share of it
// one call of the library: within a call decoding goes on beside the network, so a share is long,
// and yet no more than about a second's work, since the bar and the file of predictions go on from
// round to round. The first rank gets all results and counts them in the list's order, as if it
// were alone: no result depends on rounds and ranks.
class Evaluation {
 public:
  // `predictions` may be null; at ranks but the first it is.
  Evaluation(const EvalOptions& o, convmixer_session* session, Ranks& ranks, EvalReport& report,
             PredictionsFile* predictions);

  // Of the first rank, before run(): takes what an earlier run has done.
  void resume();
  // What is left of the list; fills the first rank's report. Throws Failure.
  void run();

 private:
  std::size_t chunk() const { return static_cast<std::size_t>(report_.session.chunk_size); }
  std::size_t most_images() const;
  std::vector<std::uint64_t> share_out(std::uint64_t first, std::uint64_t last,
                                       std::size_t share) const;
  void lead();
  void follow();
  EvalPart run_part(std::uint64_t first, std::uint64_t last);
  void take_part(std::uint64_t first, std::uint64_t last, EvalPart part);
  void learn_rates(const std::vector<std::uint64_t>& bounds, const std::vector<double>& seconds);
  void take(std::uint64_t index, const Prediction& p);

  const EvalOptions& o_;
  convmixer_session* session_;
  Ranks& ranks_;
  EvalReport& report_;
  PredictionsFile* predictions_;
  Scorer scorer_;
  std::vector<double> rates_;  // of each rank, images a second; only their ratios count
  std::optional<ProgressBar> bar_;
  std::vector<std::string> paths_;
  std::vector<convmixer_image> images_;
  std::vector<convmixer_result> results_;
  std::vector<float> logits_;
};

}  // namespace convmixer::cli
