// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/class_names.h"
#include "cli/commands.h"
#include "cli/content_hash.h"
#include "cli/dataset.h"
#include "cli/eval_report.h"
#include "cli/image_slices.h"
#include "cli/model_options.h"
#include "cli/predictions.h"
#include "cli/progress_bar.h"
#include "cli/tally.h"
#include "support/output_file.h"

namespace convmixer::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  ModelOptions model;
  convmixer_image_options image = CONVMIXER_IMAGE_OPTIONS_INIT;
  std::string images, root, output, predictions, report;
  std::vector<int> tops;
  bool json = false, resume = false, strict = false;
};

std::vector<int> parse_tops(const std::string& text) {
  std::vector<int> tops;
  for (const char *at = text.data(), *const end = at + text.size();; ++at) {
    int k = 0;
    const auto [next, error] = std::from_chars(at, end, k);
    if (error != std::errc() || k < 1 || (next != end && *next != ',')) {
      throw CLI::ValidationError(
          "--top", fmt::format("expected positive numbers as 1,5, found \"{}\"", text));
    }
    tops.push_back(k);
    at = next;
    if (at == end) return tops;
  }
}

// The k to count, rising; of the usual ones those that the model has classes for.
std::vector<int> tops_of(const Options& o, int num_classes) {
  std::vector<int> tops = o.tops.empty() ? std::vector<int>{1, 5} : o.tops;
  std::sort(tops.begin(), tops.end());
  tops.erase(std::unique(tops.begin(), tops.end()), tops.end());
  if (o.tops.empty()) {
    while (tops.back() > num_classes) tops.pop_back();
  }
  if (tops.back() > num_classes) {
    throw Failure(kWrongUsage, fmt::format("--top: expected at most {}, the number of classes, "
                                           "found {}",
                                           num_classes, tops.back()));
  }
  return tops;
}

// All that decides a prediction or its loss.
nlohmann::ordered_json settings_of(const Options& o, const EvalReport& report) {
  const convmixer_model_info& info = report.info;
  nlohmann::ordered_json settings;
  settings["version"] = convmixer_version();
  settings["model"] = hash_of_path(report.model);
  settings["list"] = report.dataset.hash();
  settings["images"] = report.dataset.size();
  settings["isa"] = info.isa;
  settings["onednn"] = o.model.onednn;
  settings["strassen"] = o.model.strassen;
  settings["low_memory"] = o.model.low_memory;
  settings["precision"] = o.model.precision;
  settings["activation"] = info.activation == CONVMIXER_ACTIVATION_RELU ? "relu" : "gelu";
  settings["image_size"] = {info.image_height, info.image_width};
  settings["mean"] = info.mean;
  settings["std"] = info.std;
  settings["crop_pct"] = info.crop_pct;
  settings["interpolation"] = info.interpolation;
  settings["bn_eps"] = info.bn_eps;
  settings["exif"] = o.image.exif_orientation != 0;
  settings["max_pixels"] = o.image.max_pixels;
  return settings;
}

// The accuracy so far, for the bar.
std::string accuracy_text(const Tally& tally) {
  std::string text;
  for (std::size_t i = 0; i < tally.tops().size() && tally.images() > 0; ++i) {
    text += fmt::format("  top-{} {:.2f} %", tally.tops()[i], 100 * tally.accuracy(i));
  }
  return text;
}

// Runs the images of a list in slices, one call of the library each.
class Evaluation {
 public:
  Evaluation(const Options& o, convmixer_session* session, EvalReport& report,
             PredictionsFile* predictions)
      : o_(o),
        session_(session),
        report_(report),
        predictions_(predictions),
        scorer_(report.names.count()) {}

  // Takes what an earlier run has done; returns how many images that is.
  std::size_t resume();
  // The images from `first` to before `last`.
  void run(std::size_t first, std::size_t last);

 private:
  void run_slice(std::size_t first, std::size_t count);
  void take(std::size_t index, const Prediction& p);

  const Options& o_;
  convmixer_session* session_;
  EvalReport& report_;
  PredictionsFile* predictions_;
  Scorer scorer_;
  std::optional<ProgressBar> bar_;
  std::vector<std::string> paths_;
  std::vector<convmixer_image> images_;
  std::vector<convmixer_result> results_;
  std::vector<float> logits_;
};

void Evaluation::take(std::size_t index, const Prediction& p) {
  if (p.ok()) {
    report_.tally.add(index, p.outcome);
    return;
  }
  report_.tally.add_failed();
  if (report_.failures.size() < kMostFailures) {
    report_.failures.push_back({std::string(p.name), p.status, p.error});
  }
  if (bar_) bar_->clear();
  fmt::print(stderr, "convmixer: {}\n", p.error);
}

std::size_t Evaluation::resume() {
  const Dataset& dataset = report_.dataset;
  std::size_t done = 0;
  predictions_->read_rows([&](std::uint64_t row, const Prediction& p) {
    const int classes = report_.names.count();
    if (row >= dataset.size() || p.name != dataset.name(row) ||
        p.outcome.label != dataset.label(row) || p.outcome.predicted >= classes ||
        p.outcome.rank > classes || (p.ok() && p.outcome.rank < 1)) {
      throw Failure(kFailed, fmt::format("{}: cannot be continued: row {} is not about image {} of "
                                         "the list",
                                         o_.predictions, row + 1, row + 1));
    }
    if (o_.strict && !p.ok()) throw Failure(kFailed, p.error);
    take(row, p);
    ++done;
  });
  return done;
}

void Evaluation::run(std::size_t first, std::size_t last) {
  const Clock::time_point begin = Clock::now();
  bar_.emplace(last, first);
  for_each_slice(first, last, report_.session, report_.names.count(),
                 [&](std::size_t done, std::size_t count) {
                   bar_->show(done, accuracy_text(report_.tally));
                   run_slice(done, count);
                 });
  bar_->clear();
  bar_.reset();
  report_.ran = last - first;
  report_.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
}

void Evaluation::run_slice(std::size_t first, std::size_t count) {
  const auto classes = static_cast<std::size_t>(report_.names.count());
  paths_.resize(count);
  images_.assign(count, {});
  results_.resize(count);
  logits_.resize(count * classes);
  for (std::size_t i = 0; i < count; ++i) {
    paths_[i] = report_.dataset.path(first + i);
    images_[i].path = paths_[i].c_str();
  }
  check(convmixer_run_images(session_, images_.data(), count, &o_.image, logits_.data(),
                             results_.data()));
  std::vector<Prediction> rows;
  std::string stop;
  for (std::size_t i = 0; i < count; ++i) {
    Prediction p;
    p.name = report_.dataset.name(first + i);
    p.status = name_of(results_[i].status);
    p.outcome.label = report_.dataset.label(first + i);
    if (p.ok()) {
      p.outcome = scorer_.score(logits_.data() + i * classes, p.outcome.label);
    } else {
      p.error = results_[i].error;
      if (o_.strict || !is_about_image(results_[i].status)) stop = p.error;
    }
    if (!stop.empty()) break;  // without its row: once it is mended the run can be continued
    take(first + i, p);
    if (predictions_ != nullptr) rows.push_back(std::move(p));
  }
  if (predictions_ != nullptr) predictions_->write(rows);
  if (!stop.empty()) throw Failure(kFailed, stop);
}

void refuse_same_files(const Options& o) {
  const std::pair<const char*, const std::string&> files[] = {
      {"--output", o.output}, {"--predictions", o.predictions}, {"--report", o.report}};
  for (const auto& a : files) {
    for (const auto& b : files) {
      if (&a < &b && !a.second.empty() && a.second == b.second && a.second != "/dev/null") {
        throw Failure(kWrongUsage, fmt::format("{}: expected another file than {}, found \"{}\"",
                                               b.first, a.first, b.second));
      }
    }
  }
}

void write_whole(OutputFile& file, const std::string& text) {
  file.write(text.data(), text.size());
  file.commit();
}

void evaluate(const Options& o) {
  if (o.resume && o.predictions.empty()) {
    throw Failure(kWrongUsage,
                  "--resume: expected --predictions, the file to continue, found none");
  }
  refuse_same_files(o);
  // A place that cannot be written is found out before the work.
  std::optional<OutputFile> json_file, html_file;
  if (!o.output.empty()) json_file.emplace(o.output);
  if (!o.report.empty()) html_file.emplace(o.report);
  const Model model = open_model(o.model);
  const ClassNames names(model.get());
  const Dataset dataset = open_dataset(o.images, o.root, names);
  EvalReport report{find_model(o.model.model),
                    o.images,
                    o.model.precision,
                    CONVMIXER_MODEL_INFO_INIT,
                    CONVMIXER_SESSION_INFO_INIT,
                    o.image,
                    names,
                    dataset,
                    Tally(names.count(), tops_of(o, names.count())),
                    {}};
  check(convmixer_model_get_info(model.get(), &report.info));
  std::optional<PredictionsFile> predictions;
  if (!o.predictions.empty()) {
    predictions.emplace(o.predictions, settings_of(o, report), o.resume);
  }
  const Session session = make_session(model, o.model);
  check(convmixer_session_get_info(session.get(), &report.session));
  Evaluation evaluation(o, session.get(), report, predictions ? &*predictions : nullptr);
  if (predictions) report.earlier = evaluation.resume();
  evaluation.run(report.earlier, dataset.size());
  if (report.tally.images() == 0) {
    throw Failure(kFailed, fmt::format("none of the {} images of {} could be evaluated",
                                       dataset.size(), o.images));
  }
  if (json_file) write_whole(*json_file, eval_json(report));
  if (html_file) write_whole(*html_file, eval_html(report));
  print(o.json ? eval_json(report) : eval_text(report));
}

void add_output_options(CLI::App& command, Options& o) {
  command.add_flag("--json", o.json, "One JSON object instead of the text");
  command.add_option("--output", o.output, "Receives the JSON object")->type_name("FILE.json");
  command
      .add_option("--predictions", o.predictions,
                  "Receives a row an image as the work goes; must not exist, but for --resume")
      ->type_name("FILE.csv");
  command.add_flag(
      "--resume", o.resume,
      "Continue --predictions where an interrupted run left it, and give the numbers of "
      "the whole");
  command
      .add_option("--report", o.report,
                  "Receives a page: confusion matrix, classes, the worst mistakes as pictures")
      ->type_name("FILE.html");
}

}  // namespace

void add_eval(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "eval", "Measure a model's accuracy and loss on images whose classes are known");
  auto o = std::make_shared<Options>();
  command
      .add_option("--images", o->images,
                  "A list of lines \"path label\", or a folder with a folder of images a class")
      ->required()
      ->type_name("LIST|DIR");
  command
      .add_option("--root", o->root,
                  "Where a list's relative paths begin (default: the list's folder)")
      ->type_name("DIR");
  command
      .add_option_function<std::string>(
          "--top", [tops = &o->tops](const std::string& text) { *tops = parse_tops(text); },
          "Count the images whose label is among the best K classes, for each K (default: 1,5)")
      ->type_name("K,K");
  command.add_flag("--strict", o->strict, "Stop at the first image that cannot be read");
  add_output_options(command, *o);
  add_model_options(command, o->model);
  add_session_options(command, o->model);
  add_decode_options(command, o->image);
  command.footer(
      "A list's label is an index, a WordNet id (n01440764) or a label that one class has. Folders "
      "are "
      "matched by\nWordNet ids, else by labels, else by their sorted order where there is one for "
      "each "
      "class.\n"
      "Images that cannot be read are named on stderr, counted and left out.\n"
      "Exit status: 0 success, 1 failure (no image could be read; with --strict, any could not), 2 "
      "wrong usage.\n"
      "Example: convmixer eval --model model.safetensors --images val/ --report report.html");
  command.callback([o] { evaluate(*o); });
}

}  // namespace convmixer::cli
