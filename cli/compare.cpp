// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cli/class_names.h"
#include "cli/clock.h"
#include "cli/commands.h"
#include "cli/compare_report.h"
#include "cli/dataset.h"
#include "cli/image_slices.h"
#include "cli/model_options.h"
#include "cli/places.h"
#include "cli/progress_bar.h"
#include "support/output_file.h"

namespace convmixer::cli {
namespace {

struct CompareOptions {
  ModelOptions model;  // of both but for model and precision
  convmixer_image_options image = CONVMIXER_IMAGE_OPTIONS_INIT;
  std::vector<std::string> models, precisions;
  std::string images, root, output;
  std::size_t worst = 10;
  bool json = false;
};

std::vector<std::string> parse_precisions(const std::string& text) {
  std::vector<std::string> names;
  std::istringstream stream(text + ",");
  bool known = true;
  for (std::string name; std::getline(stream, name, ',');) {
    known = known && (name == "fp32" || name == "bf16" || name == "int8" || name == "auto");
    names.push_back(name);
  }
  if (!known || names.size() > 2) {
    throw CLI::ValidationError(
        "--precision",
        fmt::format("expected one or two of fp32, bf16, int8 and auto as fp32,int8, found \"{}\"",
                    text));
  }
  return names;
}

// The options of the two networks.
std::array<ModelOptions, 2> sides_of(const CompareOptions& o) {
  std::array<ModelOptions, 2> sides{o.model, o.model};
  std::vector<std::string> precisions = o.precisions;
  if (precisions.empty()) precisions = {"fp32"};
  if (o.models.size() < 2 && precisions == std::vector<std::string>{"fp32"}) {
    throw Failure(kWrongUsage,
                  "expected two networks to compare: --model twice, or --precision with another "
                  "name than fp32, or two, found one");
  }
  if (precisions.size() == 1) {
    precisions.insert(precisions.begin(), o.models.size() < 2 ? "fp32" : precisions[0]);
  }
  for (std::size_t i = 0; i < 2; ++i) {
    if (!o.models.empty()) sides[i].model = o.models[std::min(i, o.models.size() - 1)];
    sides[i].precision = precisions[i];
  }
  return sides;
}

// A network of the comparison, ready to run.
struct Network {
  explicit Network(const ModelOptions& o)
      : path(find_model(o.model)), model(open_model(o)), names(model.get()) {}

  std::string path;
  Model model;
  ClassNames names;
};

// Logits are compared class by class, so the classes must be the same.
void check_same_classes(const Network& a, const Network& b) {
  if (a.names.count() != b.names.count()) {
    throw Failure(kWrongUsage, fmt::format("{}: expected {} classes as in {}, found {}", b.path,
                                           a.names.count(), a.path, b.names.count()));
  }
  for (int i = 0; i < a.names.count(); ++i) {
    const std::string &x = a.names.label(i), &y = b.names.label(i);
    if (x.empty() || y.empty()) return;  // one of them has no labels
    if (x != y) {
      throw Failure(kWrongUsage,
                    fmt::format("{}: expected class {} to be called \"{}\" as in {}, found \"{}\"",
                                b.path, i, x, a.path, y));
    }
  }
}

// The images, slice by slice, in one network and then in the other. Each decodes for itself, beside
// its own work: their crops may differ, and decoding once would leave the network waiting for it.
class Run {
 public:
  Run(const CompareOptions& o, const std::array<Session, 2>& sessions, CompareReport& report)
      : o_(o), sessions_(sessions), report_(report), bar_(report.dataset.size(), 0) {}

  void run();

 private:
  void run_slice(std::size_t first, std::size_t count);
  void add_failed(std::size_t index, const convmixer_result& result);

  const CompareOptions& o_;
  const std::array<Session, 2>& sessions_;
  CompareReport& report_;
  ProgressBar bar_;
  std::vector<std::string> paths_;
  std::vector<convmixer_image> images_;
  std::array<std::vector<convmixer_result>, 2> results_;
  std::array<std::vector<float>, 2> logits_;
};

void Run::run() {
  const auto begin = Clock::now();
  const Comparison& c = report_.comparison;
  for_each_slice(
      0, report_.dataset.size(), report_.session, report_.names.count(),
      [&](std::size_t first, std::size_t count) {
        bar_.show(first, c.images() == 0
                             ? ""
                             : fmt::format("  equal {:.2f} %", 100 * share(c.equal(), c.images())));
        run_slice(first, count);
      });
  bar_.clear();
  report_.seconds = seconds_since(begin);
}

void Run::add_failed(std::size_t index, const convmixer_result& result) {
  if (!is_about_image(result.status)) throw Failure(kFailed, result.error);
  report_.comparison.add_failed();
  if (report_.failures.size() < kMostFailures) {
    report_.failures.push_back(
        {std::string(report_.dataset.name(index)), name_of(result.status), result.error});
  }
  bar_.clear();
  fmt::print(stderr, "convmixer: {}\n", result.error);
}

void Run::run_slice(std::size_t first, std::size_t count) {
  const auto classes = static_cast<std::size_t>(report_.names.count());
  paths_.resize(count);
  images_.assign(count, {});
  for (std::size_t i = 0; i < count; ++i) {
    paths_[i] = report_.dataset.path(first + i);
    images_[i].path = paths_[i].c_str();
  }
  for (std::size_t side = 0; side < 2; ++side) {
    results_[side].resize(count);
    logits_[side].resize(count * classes);
    check(convmixer_run_images(sessions_[side].get(), images_.data(), count, &o_.image,
                               logits_[side].data(), results_[side].data()));
  }
  for (std::size_t i = 0; i < count; ++i) {
    const bool first_ok = results_[0][i].status == CONVMIXER_OK;
    if (first_ok && results_[1][i].status == CONVMIXER_OK) {
      report_.comparison.add(first + i, logits_[0].data() + i * classes,
                             logits_[1].data() + i * classes, report_.dataset.label(first + i));
    } else {
      add_failed(first + i, results_[first_ok ? 1 : 0][i]);
    }
  }
}

void compare(const CompareOptions& o) {
  const std::array<ModelOptions, 2> sides = sides_of(o);
  std::vector<Place> inputs{{"--images", o.images}};
  for (const ModelOptions& side : sides) {
    for (Place& place : places_of_model(find_model(side.model))) inputs.push_back(std::move(place));
  }
  refuse_same_files(inputs, {{"--output", o.output}});
  std::optional<OutputFile> json_file;  // a place that cannot be written is found out at once
  if (!o.output.empty()) json_file.emplace(o.output);
  const Network first(sides[0]), second(sides[1]);
  check_same_classes(first, second);
  const ClassNames& names = first.names.label(0).empty() ? second.names : first.names;
  std::string why;
  const Dataset dataset = open_any_dataset(o.images, o.root, names, why);
  CompareReport report{{{{first.path}, {second.path}}},    o.images, why,
                       CONVMIXER_SESSION_INFO_INIT,        names,    dataset,
                       Comparison(names.count(), o.worst), {}};
  check(convmixer_model_get_info(first.model.get(), &report.networks[0].info));
  check(convmixer_model_get_info(second.model.get(), &report.networks[1].info));
  const std::array<Session, 2> sessions{make_session(first.model, sides[0]),
                                        make_session(second.model, sides[1])};
  check(convmixer_session_get_info(sessions[0].get(), &report.session));
  Run(o, sessions, report).run();
  if (report.comparison.images() == 0) {
    throw Failure(kFailed, fmt::format("none of the {} images of {} could be compared",
                                       dataset.size(), o.images));
  }
  const std::string json = o.json || json_file ? compare_json(report) : "";
  try_each({[&] { print(o.json ? json : compare_text(report)); },
            [&] {
              if (json_file) write_whole(*json_file, json);
            }});
}

void add_network_options(CLI::App& command, CompareOptions& o) {
  command
      .add_option("--model", o.models,
                  "A checkpoint as 'convmixer classify' takes it; given twice, the two to compare "
                  "(default: the environment variable CONVMIXER_MODEL, else the bundled model)")
      ->take_all()
      ->expected(1)
      ->type_name("FILE|DIR");
  command
      .add_option_function<std::string>(
          "--precision", [&o](const std::string& text) { o.precisions = parse_precisions(text); },
          "fp32, bf16, int8 or auto, of the first and the second network (default: fp32); one "
          "name is for both of two models, and of one model it is compared with fp32")
      ->type_name("NAME[,NAME]");
  add_variant_options(command, o.model);
  add_config_options(command, o.model);
  add_session_options(command, o.model);
}

}  // namespace

void add_compare(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "compare", "Compare two models, or two precisions of one, on the same images");
  auto o = std::make_shared<CompareOptions>();
  command
      .add_option("--images", o->images,
                  "A list of lines \"path label\" or \"path\", or a folder; with classes, where "
                  "they are known, as 'convmixer eval' takes them")
      ->required()
      ->type_name("LIST|DIR");
  command
      .add_option("--root", o->root,
                  "Where a list's relative paths begin (default: the list's folder)")
      ->type_name("DIR");
  command.add_flag("--json", o->json, "One JSON object instead of the text");
  command.add_option("--output", o->output, "Receives the JSON object")->type_name("FILE.json");
  command
      .add_option("--worst", o->worst,
                  "Name so many images, those of the largest change (default: 10)")
      ->check(in_range<std::size_t>("a number from 0 to 100000", 0, 100000))
      ->type_name("N");
  add_network_options(command, *o);
  add_decode_options(command, o->image);
  command.footer(
      "A list's lines are paths where the first as a whole names a file. A folder has classes "
      "where "
      "the\nfolders in it can be matched with the model's; else all images in it and below are "
      "taken.\nImages that cannot be read are named on stderr, counted and left out.\n"
      "Exit status: 0 success, 1 failure (no image could be read), 2 wrong usage.\n"
      "Example: convmixer compare --model model8.safetensors --precision int8 --images val/");
  command.callback([o] {
    if (o->models.size() > 2) {
      throw Failure(kWrongUsage,
                    fmt::format("--model: expected one or two, found {}", o->models.size()));
    }
    compare(*o);
  });
}

}  // namespace convmixer::cli
