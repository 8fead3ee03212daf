// SPDX-License-Identifier: Apache-2.0
// The options that several commands share.
#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <optional>
#include <string>

#include "cli/handles.h"

namespace convmixer::cli {

struct ImageSize {
  int height = 0, width = 0;  // 0: not given
};

struct ModelOptions {
  std::string model;  // empty: looked for
  std::string isa, onednn = "auto", strassen = "auto", activation;
  bool low_memory = false;
  ImageSize image_size;
  std::optional<std::array<double, 3>> mean, std;
  double crop_pct = 0, bn_eps = 0;
  int threads = 0, batch = 0;  // 0: by the library
  std::string precision = "fp32";
};

// --activation, --image-size, --mean, --std, --crop-pct, --bn-eps
void add_config_options(CLI::App& command, ModelOptions& options);
void add_isa_option(CLI::App& command, ModelOptions& options, const char* names);
// --isa, --onednn, --strassen, --low-memory
void add_variant_options(CLI::App& command, ModelOptions& options);
void add_model_option(CLI::App& command, ModelOptions& options);  // --model
// --model, --precision, and those above
void add_model_options(CLI::App& command, ModelOptions& options);
void add_threads_option(CLI::App& command, ModelOptions& options);
void add_session_options(CLI::App& command, ModelOptions& options);  // --threads, --batch
void add_crop_pct_option(CLI::App& command, double& crop_pct, const std::string& default_text);
// bicubic or bilinear
void add_interpolation_option(CLI::App& command, std::string& name,
                              const std::string& default_text);
void add_image_size_option(CLI::App& command, ImageSize& size, const std::string& default_text);

// Accepts numbers within [least, most]; CLI11 puts the option's name in front of the sentence.
template <typename T>
CLI::Validator in_range(const std::string& expected, T least, T most) {
  return CLI::Validator(
      [=](std::string& text) {
        T value{};
        if (CLI::detail::lexical_cast(text, value) && value >= least && value <= most) {
          return std::string();
        }
        return "expected " + expected + ", found \"" + text + "\"";
      },
      "", "");
}

// For the C interface; points into `options`.
convmixer_model_options c_options_of(const ModelOptions& options);
Model open_model(const ModelOptions& options);
Session make_session(const Model& model, const ModelOptions& options);

const char* precision_name(convmixer_precision precision);  // "fp32", "bf16", "int8"

// Where the model is: --model, else CONVMIXER_MODEL, else the bundled one. Throws Failure, listing
// where it looked.
std::string find_model(const std::string& option);

// --exif and --max-pixels
void add_decode_options(CLI::App& command, convmixer_image_options& options);

}  // namespace convmixer::cli
