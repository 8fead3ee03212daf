// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/dataset.h"
#include "cli/find_images.h"
#include "cli/model_options.h"
#include "cli/npy.h"
#include "cli/places.h"
#include "support/output_file.h"

namespace convmixer::cli {
namespace {

struct CalibrateOptions {
  ModelOptions model;
  convmixer_image_options image = CONVMIXER_IMAGE_OPTIONS_INIT;
  std::vector<std::string> images;
  std::string root, input, output, clip = "mse", weights = "keep";
  int samples = 256;
};

struct DestroyCalibration {
  void operator()(convmixer_calibration* c) const { convmixer_calibration_destroy(c); }
};
using Calibration = std::unique_ptr<convmixer_calibration, DestroyCalibration>;

// At most `samples` of the numbers 0 … size − 1, evenly spread: folders of one class each give some
// of every class.
std::vector<std::size_t> spread(std::size_t size, int samples) {
  const auto count = std::min(size, static_cast<std::size_t>(samples));
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < count; ++i) chosen.push_back(i * size / count);
  return chosen;
}

// Folders and images are known as such, so any other file is a list.
std::vector<FoundImage> images_of(const CalibrateOptions& o) {
  std::vector<FoundImage> images;
  bool has_list = false;
  for (const std::string& argument : o.images) {
    std::error_code error;
    if (std::filesystem::is_directory(argument, error) || has_image_extension(argument)) {
      for (FoundImage& found : find_images({argument})) images.push_back(std::move(found));
      continue;
    }
    has_list = true;
    const Dataset list = open_unlabelled_list(argument, o.root);
    for (std::size_t i = 0; i < list.size(); ++i) images.push_back({list.path(i), ""});
  }
  if (!o.root.empty() && !has_list) {
    throw Failure(kWrongUsage, "--root: expected a list file as --images, found none");
  }
  return images;
}

// Not of the usage, whatever the status: what is wrong is what was read.
void check_read(convmixer_status status, const std::string& source) {
  if (status != CONVMIXER_OK) {
    throw Failure(kFailed, fmt::format("{}: {}", source, convmixer_last_error()));
  }
}

std::size_t add_images(const CalibrateOptions& o, convmixer_calibration* calibration) {
  const std::vector<FoundImage> images = images_of(o);
  const std::vector<std::size_t> chosen = spread(images.size(), o.samples);
  std::size_t added = 0;
  for (const std::size_t i : chosen) {
    const FoundImage& found = images[i];
    convmixer_image image{};
    image.path = found.path.c_str();
    convmixer_result result{};
    result.status = CONVMIXER_IO_ERROR;
    if (found.error.empty()) {
      check_read(convmixer_calibration_add_images(calibration, &image, 1, &o.image, &result),
                 found.path);
    }
    if (result.status == CONVMIXER_OK) {
      ++added;
    } else {
      fmt::print(stderr, "convmixer: {}\n", found.error.empty() ? result.error : found.error);
    }
  }
  if (added == 0) {
    throw Failure(kFailed, fmt::format("--images: none of {} images could be read", chosen.size()));
  }
  if (added < chosen.size()) {
    fmt::print(stderr, "convmixer: {} of {} images failed and are left out\n",
               chosen.size() - added, chosen.size());
  }
  return added;
}

std::size_t add_array(const CalibrateOptions& o, convmixer_calibration* calibration) {
  const Array input = read_npy(o.input);
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  check(convmixer_calibration_get_info(calibration, &info));
  const std::vector<std::size_t> want{3, static_cast<std::size_t>(info.image_height),
                                      static_cast<std::size_t>(info.image_width)};
  if (input.shape.size() != 4 || !std::equal(want.begin(), want.end(), input.shape.begin() + 1) ||
      input.shape[0] == 0) {
    throw Failure(kFailed,
                  fmt::format("{}: expected shape (n, 3, {}, {}) and n of 1 or more, found {}",
                              o.input, want[1], want[2], shape_text(input.shape)));
  }
  const std::size_t image_size = want[0] * want[1] * want[2];
  const std::vector<std::size_t> images = spread(input.shape[0], o.samples);
  for (const std::size_t i : images) {
    check_read(convmixer_calibration_add_f32(calibration, input.values.data() + i * image_size, 1),
               o.input);
  }
  return images.size();
}

void calibrate(const CalibrateOptions& o) {
  if (o.images.empty() == o.input.empty()) {
    throw Failure(kWrongUsage, "expected one of --images and --input");
  }
  const std::string model = find_model(o.model.model);
  std::vector<Place> inputs = places_of_model(model);
  inputs.push_back({"--input", o.input});
  for (const std::string& images : o.images) inputs.push_back({"--images", images});
  refuse_same_files(inputs, {{"--output", o.output}});
  // A place that cannot be written is found out before the work.
  { const OutputFile place(o.output); }
  const convmixer_model_options options = c_options_of(o.model);
  convmixer_calibration* made = nullptr;
  check(convmixer_calibration_create(model.c_str(), &options, o.model.threads, &made));
  const Calibration calibration(made);
  const std::size_t count =
      o.input.empty() ? add_images(o, calibration.get()) : add_array(o, calibration.get());
  check(convmixer_calibration_write(
      calibration.get(), o.output.c_str(),
      o.clip == "minmax" ? CONVMIXER_CLIPPING_MIN_MAX : CONVMIXER_CLIPPING_MEAN_SQUARED_ERROR,
      o.weights == "int8" ? CONVMIXER_WEIGHTS_INT8 : CONVMIXER_WEIGHTS_DEFAULT));
  print(fmt::format("{}: scales from {} images; use it with --precision int8\n", o.output, count));
}

}  // namespace

void add_calibrate(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "calibrate",
      "Write a model with what --precision int8 needs: scales of activations, rounded weights");
  auto o = std::make_shared<CalibrateOptions>();
  command
      .add_option("--images", o->images,
                  "Images like those to be classified: files, folders of them, or lists of lines "
                  "\"path\" or \"path label\"; no labels needed")
      ->type_name("FILE|DIR|LIST");
  command
      .add_option("--root", o->root,
                  "Where a list's relative paths begin (default: the list's folder)")
      ->type_name("DIR");
  command
      .add_option("--input", o->input,
                  "Instead: float32 (n, 3, height, width), normalised as the model expects")
      ->type_name("FILE.npy");
  command
      .add_option("--samples", o->samples,
                  "At most so many images, spread over those there are (default: 256)")
      ->check(in_range("a number from 1 to 1000000", 1, 1000000))
      ->type_name("N");
  command
      .add_option("--clip", o->clip,
                  "Which values get bytes of their own: mse (the range with the least mean squared "
                  "error) or minmax (all that occur)")
      ->check(CLI::IsMember({"mse", "minmax"}))
      ->type_name("NAME")
      ->capture_default_str();
  command
      .add_option(
          "--weights", o->weights,
          "What to store: keep (the weights as they are, for any precision, and a quarter more "
          "for int8) or int8 (int8's bytes alone: a quarter of the size, for int8 only)")
      ->check(CLI::IsMember({"keep", "int8"}))
      ->type_name("NAME")
      ->capture_default_str();
  command.add_option("--output", o->output, "The safetensors file to write")
      ->required()
      ->type_name("FILE.safetensors");
  add_model_option(command, o->model);
  add_isa_option(command, o->model, "portable, avx2 or avx512");
  add_config_options(command, o->model);
  add_threads_option(command, o->model);
  add_decode_options(command, o->image);
  command.footer(
      "Take images that the model will not be judged by, as some of its training images.\n"
      "Example: convmixer calibrate --model model.safetensors --images train/ --output "
      "model8.safetensors");
  command.callback([o] { calibrate(*o); });
}

}  // namespace convmixer::cli
