// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/places.h"

namespace convmixer::cli {
namespace {

struct ConvertOptions {
  ModelOptions model;
  std::string output, labels, interpolation;
};

// As getline, of a line of at most so many bytes and one more, which tells that there are more.
bool read_line(std::istream& file, std::string& line, std::size_t most) {
  line.clear();
  int c = file.get();
  if (c == EOF) return false;
  for (; c != EOF && c != '\n' && line.size() <= most; c = file.get()) {
    line += static_cast<char>(c);
  }
  return true;
}

// A name a line; blank lines at the end, carriage returns and a byte order mark do not count.
std::vector<std::string> read_labels(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    throw Failure(kFailed, path + ": is a folder, expected a file of labels");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw Failure(kFailed, fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
  }
  // As many classes as a model may have; what is endless comes to an end.
  constexpr std::size_t kMaxLines = 1'000'000, kMaxBytes = std::size_t{64} << 20;
  std::vector<std::string> labels;
  std::size_t bytes = 0;
  for (std::string line; read_line(file, line, kMaxBytes);) {
    bytes += line.size() + 1;
    if (bytes > kMaxBytes || labels.size() == kMaxLines) {
      throw Failure(kFailed, fmt::format("{}: expected labels, at most {} in {} bytes, found more",
                                         path, kMaxLines, kMaxBytes));
    }
    if (labels.empty() && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
    if (line.ends_with('\r')) line.pop_back();
    labels.push_back(line);
  }
  if (file.bad()) throw Failure(kFailed, path + ": cannot be read");
  while (!labels.empty() && labels.back().empty()) labels.pop_back();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i].empty() || labels[i].find('\0') != std::string::npos) {
      throw Failure(kFailed, fmt::format("{}: line {}: expected a name, found {}", path, i + 1,
                                         labels[i].empty() ? "a blank line" : "a zero byte"));
    }
  }
  if (labels.empty()) throw Failure(kFailed, path + ": expected a name a line, found none");
  return labels;
}

std::string summary_of(const std::string& output, const convmixer_model_info& info) {
  return fmt::format(
      "{}: ConvMixer-{}/{}, kernel {}, patch {}, {}, {} classes, {}, {:.2f} million parameters\n"
      "images: {}×{} pixels, crop_pct {}, {}, mean {}, {}, {}, std {}, {}, {}\n",
      output, info.dim, info.depth, info.kernel_size, info.patch_size,
      info.activation == CONVMIXER_ACTIVATION_RELU ? "ReLU" : "GELU", info.num_classes,
      info.num_labels > 0 ? fmt::format("{} labels", info.num_labels) : "no labels",
      static_cast<double>(info.num_parameters) / 1e6, info.image_height, info.image_width,
      info.crop_pct, info.interpolation, info.mean[0], info.mean[1], info.mean[2], info.std[0],
      info.std[1], info.std[2]);
}

void convert(const ConvertOptions& o) {
  std::vector<Place> inputs = places_of_model(o.model.model);
  inputs.push_back({"--labels", o.labels});
  refuse_same_files(inputs, {{"--output", o.output}});
  const convmixer_model_options model = c_options_of(o.model);
  convmixer_convert_options options = CONVMIXER_CONVERT_OPTIONS_INIT;
  options.activation = model.activation;
  options.image_height = model.image_height;
  options.image_width = model.image_width;
  options.mean = model.mean;
  options.std = model.std;
  options.crop_pct = model.crop_pct;
  options.bn_eps = model.bn_eps;
  if (!o.interpolation.empty()) options.interpolation = o.interpolation.c_str();
  std::vector<std::string> labels;
  std::vector<const char*> texts;
  if (!o.labels.empty()) {
    labels = read_labels(o.labels);
    for (const std::string& label : labels) texts.push_back(label.c_str());
    options.labels = texts.data();
    options.num_labels = texts.size();
  }
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  check(convmixer_convert(o.model.model.c_str(), o.output.c_str(), &options, &info));
  print(summary_of(o.output, info));
}

}  // namespace

void add_convert(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "convert", "Write a model as one safetensors file that says everything about itself");
  auto o = std::make_shared<ConvertOptions>();
  command
      .add_option("--model", o->model.model,
                  "What to convert: a file or folder that the other commands take too")
      ->required()
      ->type_name("FILE|DIR");
  command.add_option("--output", o->output, "The safetensors file to write")
      ->required()
      ->type_name("FILE.safetensors");
  command
      .add_option("--labels", o->labels,
                  "Names of the classes, UTF-8, one a line (default: the model's own)")
      ->type_name("FILE");
  add_config_options(command, o->model);
  add_interpolation_option(command, o->interpolation, "the file's, else bicubic");
  command.footer(
      "What is not given is the model's own, else the default. Weights keep their type, but F64 "
      "becomes F32.\n"
      "Example: convmixer convert --model checkpoint/ --output model.safetensors --labels "
      "names.txt "
      "--image-size 224");
  command.callback([o] { convert(*o); });
}

}  // namespace convmixer::cli
