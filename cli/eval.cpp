// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
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
#include "cli/evaluation.h"
#include "cli/model_options.h"
#include "cli/places.h"
#include "cli/predictions.h"
#include "cli/ranks.h"
#include "support/output_file.h"

namespace convmixer::cli {
namespace {

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
std::vector<int> tops_of(const EvalOptions& o, int num_classes) {
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
nlohmann::ordered_json settings_of(const EvalOptions& o, const EvalReport& report) {
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

// The model's file may be another on each machine, and its CPU too.
void refuse_differences(const Ranks& ranks, const std::vector<nlohmann::ordered_json>& said) {
  for (std::size_t rank = 0; rank < said.size(); ++rank) {
    const std::string who =
        fmt::format("rank {} on {}: ", rank, std::string(said[rank]["machine"]));
    if (said[rank].contains("error")) {
      throw Failure(said[rank]["code"], who + std::string(said[rank]["error"]));
    }
    for (const auto& [name, value] : said[0]["settings"].items()) {
      const nlohmann::ordered_json other =
          said[rank]["settings"].value(name, nlohmann::ordered_json());
      if (other == value) continue;
      throw Failure(kFailed, fmt::format("{}expected the same {} as rank 0 on {} has, {}, found {}",
                                         who, name, ranks.machine(), value.dump(), other.dump()));
    }
  }
}

// What an evaluation is made of.
class Job {
 public:
  Job(const EvalOptions& o, const Ranks& ranks)
      : o_(o),
        model_(open_model(o.model)),
        names_(model_.get()),
        dataset_(open_dataset(o.images, o.root, names_)),
        report_{find_model(o.model.model),
                o.images,
                o.model.precision,
                CONVMIXER_MODEL_INFO_INIT,
                CONVMIXER_SESSION_INFO_INIT,
                o.image,
                names_,
                dataset_,
                Tally(names_.count(), tops_of(o, names_.count())),
                {}} {
    check(convmixer_model_get_info(model_.get(), &report_.info));
    session_ = make_session(model_, o.model);
    check(convmixer_session_get_info(session_.get(), &report_.session));
    if (o.model.threads == 0 && ranks.sharing_cpus() > 1) share_cpus(ranks.sharing_cpus());
    report_.ranks = ranks.size();
    report_.threads = report_.session.threads;
  }
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  const EvalReport& report() const { return report_; }
  nlohmann::ordered_json settings() const { return settings_of(o_, report_); }
  void add_threads(int more) { report_.threads += more; }

  void run(Ranks& ranks) {
    std::optional<PredictionsFile> predictions;
    if (ranks.leads() && !o_.predictions.empty()) {
      predictions.emplace(o_.predictions, settings(), o_.resume);
    }
    Evaluation evaluation(o_, session_.get(), ranks, report_,
                          predictions ? &*predictions : nullptr);
    if (predictions) evaluation.resume();
    evaluation.run();
  }

 private:
  // The CPUs among as many ranks as may use them.
  void share_cpus(int ranks) {
    ModelOptions options = o_.model;
    options.threads = std::max(1, report_.session.threads / ranks);
    session_.reset();
    session_ = make_session(model_, options);
    check(convmixer_session_get_info(session_.get(), &report_.session));
  }

  const EvalOptions& o_;
  Model model_;
  ClassNames names_;
  Dataset dataset_;
  EvalReport report_;
  Session session_;
};

// Where any rank cannot begin, the first one tells of it, once.
std::unique_ptr<Job> make_job(const EvalOptions& o, Ranks& ranks) {
  if (ranks.size() == 1) return std::make_unique<Job>(o, ranks);
  std::unique_ptr<Job> job;
  nlohmann::ordered_json mine;
  mine["machine"] = ranks.machine();
  try {
    job = std::make_unique<Job>(o, ranks);
    mine["settings"] = job->settings();
    mine["threads"] = job->report().threads;
  } catch (const Failure& e) {
    if (ranks.leads()) throw;
    mine["code"] = e.code;
    mine["error"] = e.what();
  }
  std::vector<nlohmann::ordered_json> said;
  for (const std::string& text :
       ranks.gather(mine.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))) {
    said.push_back(nlohmann::ordered_json::parse(text));
  }
  if (ranks.leads()) refuse_differences(ranks, said);
  ranks.broadcast("begin");  // where the first rank has refused, the others are ended as they wait
  for (std::size_t rank = 1; rank < said.size(); ++rank) job->add_threads(said[rank]["threads"]);
  return job;
}

void evaluate(const EvalOptions& o) {
  Ranks ranks;
  if (o.resume && o.predictions.empty()) {
    throw Failure(kWrongUsage,
                  "--resume: expected --predictions, the file to continue, found none");
  }
  std::vector<Place> inputs = places_of_model(find_model(o.model.model));
  inputs.push_back({"--images", o.images});
  refuse_same_files(
      inputs, {{"--output", o.output}, {"--predictions", o.predictions}, {"--report", o.report}});
  // A place that cannot be written is found out before the work.
  std::optional<OutputFile> json_file, html_file;
  if (ranks.leads() && !o.output.empty()) json_file.emplace(o.output);
  if (ranks.leads() && !o.report.empty()) html_file.emplace(o.report);
  const std::unique_ptr<Job> job = make_job(o, ranks);
  job->run(ranks);
  if (!ranks.leads()) return;
  const EvalReport& report = job->report();
  if (report.tally.images() == 0) {
    throw Failure(kFailed, fmt::format("none of the {} images of {} could be evaluated",
                                       report.dataset.size(), o.images));
  }
  const std::string json = o.json || json_file ? eval_json(report) : "";
  try_each({[&] { print(o.json ? json : eval_text(report)); },
            [&] {
              if (json_file) write_whole(*json_file, json);
            },
            [&] {
              if (html_file) write_whole(*html_file, eval_html(report));
            }});
}

void add_output_options(CLI::App& command, EvalOptions& o) {
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
  auto o = std::make_shared<EvalOptions>();
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
      "Under 'mpirun -n N' the processes share the images; the numbers are the same bits for every "
      "N. 'auto' threads\nare then the CPUs by the processes that may use them.\n"
      "Exit status: 0 success, 1 failure (no image could be read; with --strict, any could not), 2 "
      "wrong usage.\n"
      "Example: convmixer eval --model model.safetensors --images val/ --report report.html");
  command.callback([o] { evaluate(*o); });
}

}  // namespace convmixer::cli
