// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/find_images.h"
#include "cli/model_options.h"

namespace convmixer::cli {
namespace {

struct ClassifyOptions {
  ModelOptions model;
  convmixer_image_options image = CONVMIXER_IMAGE_OPTIONS_INIT;
  std::vector<std::string> arguments;
  int top = 5;
  bool json = false;
};

std::string label_of(const convmixer_prediction& p) {
  return p.label != nullptr ? p.label : fmt::format("class {}", p.index);
}

// path  label 93.1 %  (cat 4.0 %, deer 1.2 %)
std::string line_of(const std::string& path, const convmixer_prediction* top, int count) {
  std::string others;
  for (int i = 1; i < count; ++i) {
    others += fmt::format("{}{} {:.1f} %", i == 1 ? "" : ", ", label_of(top[i]),
                          100 * top[i].probability);
  }
  return fmt::format("{}: {} {:.1f} %{}\n", path, label_of(top[0]), 100 * top[0].probability,
                     others.empty() ? "" : "  (" + others + ")");
}

std::string json_of(const std::string& path, const convmixer_result& result,
                    const convmixer_prediction* top, int count) {
  nlohmann::ordered_json line;
  line["file"] = path;
  line["status"] = name_of(result.status);
  line["error"] = result.status == CONVMIXER_OK ? nlohmann::ordered_json() : result.error;
  line["top"] = nlohmann::ordered_json::array();
  for (int i = 0; i < (result.status == CONVMIXER_OK ? count : 0); ++i) {
    nlohmann::ordered_json entry;
    entry["index"] = top[i].index;
    entry["label"] = top[i].label == nullptr ? nlohmann::ordered_json() : top[i].label;
    entry["probability"] = top[i].probability;
    line["top"].push_back(entry);
  }
  // A file name may be any bytes; what is not UTF-8 in it is replaced.
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// On a terminal that does not show the results themselves, long work tells how far it is.
class Progress {
 public:
  explicit Progress(std::size_t total)
      : total_(total),
        shown_(total > 1 && ::isatty(STDERR_FILENO) != 0 && ::isatty(STDOUT_FILENO) == 0) {}
  ~Progress() { clear(); }
  void clear() const {
    if (shown_) std::fputs("\r\033[K", stderr);
  }
  void show(std::size_t done) const {
    if (shown_) fmt::print(stderr, "\r{} of {} images", done, total_);
  }

 private:
  std::size_t total_;
  bool shown_;
};

// Results of `count` images as text on stdout, errors of the human form on stderr; returns how many
// failed.
std::size_t report(const ClassifyOptions& o, const FoundImage* images,
                   const convmixer_result* results, const convmixer_prediction* best, int top,
                   std::size_t count) {
  std::size_t failed = 0;
  for (std::size_t i = 0; i < count; ++i, best += top) {
    const bool ok = results[i].status == CONVMIXER_OK;
    failed += ok ? 0 : 1;
    if (o.json) {
      print(json_of(images[i].path, results[i], best, top));
    } else if (ok) {
      print(line_of(images[i].path, best, top));
    } else {
      fmt::print(stderr, "convmixer: {}\n", results[i].error);
    }
  }
  return failed;
}

void classify(const ClassifyOptions& o) {
  const std::vector<FoundImage> found = find_images(o.arguments);
  const Model model = open_model(o.model);
  const Session session = make_session(model, o.model);
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  check(convmixer_model_get_info(model.get(), &info));
  const int top = std::min(o.top, info.num_classes);
  std::size_t failed = 0;
  const Progress progress(found.size());
  // Images are given to the library in slices, so that results of a long list appear as they are
  // made.
  const std::size_t slice = static_cast<std::size_t>(std::max(256, o.model.batch));
  for (std::size_t done = 0; done < found.size(); done += slice) {
    progress.show(done);
    const FoundImage* const some = found.data() + done;
    const std::size_t count = std::min(slice, found.size() - done);
    std::vector<convmixer_image> images(count);
    for (std::size_t i = 0; i < count; ++i) images[i].path = some[i].path.c_str();
    std::vector<convmixer_prediction> predictions(count * static_cast<std::size_t>(top));
    std::vector<convmixer_result> results(count);
    check(convmixer_classify(session.get(), images.data(), count, &o.image, top, predictions.data(),
                             results.data()));
    for (std::size_t i = 0; i < count; ++i) {
      if (some[i].error.empty()) continue;
      results[i].status = CONVMIXER_IO_ERROR;  // a folder, which the library refuses for that
      std::snprintf(results[i].error, sizeof(results[i].error), "%s", some[i].error.c_str());
    }
    progress.clear();
    failed += report(o, some, results.data(), predictions.data(), top, count);
  }
  if (failed != 0) {
    throw Failure(kFailed, fmt::format("{} of {} images failed", failed, found.size()));
  }
}

}  // namespace

void add_classify(CLI::App& app) {
  CLI::App& command =
      *app.add_subcommand("classify", "Classify images: files, or folders with all below them");
  auto o = std::make_shared<ClassifyOptions>();
  command.add_option("FILE|DIR", o->arguments, "JPEG, PNG or WebP files, or folders of them")
      ->required();
  command.add_option("--top", o->top, "Classes to show for each image (default: 5)")
      ->check(in_range("a number from 1 to 1000000", 1, 1000000))
      ->type_name("N");
  command.add_flag("--json", o->json,
                   "A JSON object a line: file, status, error, top (index, label, probability)");
  add_model_options(command, o->model);
  add_session_options(command, o->model);
  add_decode_options(command, o->image);
  command.footer(
      "Exit status: 0 if every image was classified, 1 if any failed (the others are printed), 2 "
      "wrong usage.\n"
      "Example: convmixer classify --model model.safetensors --top 3 photo.jpg holiday/");
  command.callback([o] { classify(*o); });
}

}  // namespace convmixer::cli
