// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/npy.h"
#include "cli/places.h"

namespace convmixer::cli {
namespace {

struct RunOptions {
  ModelOptions model;
  std::string input, output, features;
};

void run(const RunOptions& o) {
  std::vector<Place> inputs = places_of_model(find_model(o.model.model));
  inputs.push_back({"--input", o.input});
  refuse_same_files(inputs, {{"--output", o.output}, {"--features", o.features}});
  // A place that cannot be written is found out before the work.
  OutputFile logits_file(o.output);
  std::optional<OutputFile> features_file;
  if (!o.features.empty()) features_file.emplace(o.features);
  const Model model = open_model(o.model);
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  check(convmixer_model_get_info(model.get(), &info));
  const Array input = read_npy(o.input);
  const auto h = static_cast<std::size_t>(info.image_height),
             w = static_cast<std::size_t>(info.image_width);
  if (input.shape.size() != 4 || input.shape[1] != 3 || input.shape[2] != h ||
      input.shape[3] != w) {
    throw Failure(
        kFailed,
        fmt::format(
            "{}: expected shape (n, 3, {}, {}), found {} (--image-size changes the model's)",
            o.input, h, w, shape_text(input.shape)));
  }
  const std::size_t n = input.shape[0];
  const auto classes = static_cast<std::size_t>(info.num_classes),
             dim = static_cast<std::size_t>(info.dim);
  std::vector<float> logits(n * classes), features(features_file ? n * dim : 0);
  const Session session = make_session(model, o.model);
  check(convmixer_run_f32(session.get(), input.values.data(), n, logits.data(),
                          features_file ? features.data() : nullptr));
  write_npy(logits_file, {n, classes}, logits);
  if (features_file) write_npy(*features_file, {n, dim}, features);
  logits_file.commit();
  if (features_file) features_file->commit();
}

}  // namespace

void add_run(CLI::App& app) {
  CLI::App& command =
      *app.add_subcommand("run", "Run a model on a NumPy array of normalised images");
  auto o = std::make_shared<RunOptions>();
  command
      .add_option("--input", o->input,
                  "float32 (n, 3, height, width), normalised as the model expects")
      ->required()
      ->type_name("FILE.npy");
  command.add_option("--output", o->output, "Receives the logits, float32 (n, classes)")
      ->required()
      ->type_name("FILE.npy");
  command.add_option("--features", o->features, "Receives the pooled features, float32 (n, dim)")
      ->type_name("FILE.npy");
  add_model_options(command, o->model);
  add_session_options(command, o->model);
  command.footer(
      "Example: convmixer run --model model.safetensors --input x.npy --output logits.npy");
  command.callback([o] { run(*o); });
}

}  // namespace convmixer::cli
