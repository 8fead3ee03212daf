// SPDX-License-Identifier: Apache-2.0
#include "cli/model_options.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace convmixer::cli {
namespace {

constexpr const char* kBundledModel = "cifar10_256_8.safetensors";

// ../share/convmixer beside the executable's folder, which is right in the build tree and after
// installing.
std::string bundled_model() {
  std::error_code error;
  const std::filesystem::path executable = std::filesystem::read_symlink("/proc/self/exe", error);
  return (executable.parent_path().parent_path() / "share" / "convmixer" / kBundledModel).string();
}

// CLI11 puts the option's name in front of the sentence.
[[noreturn]] void refuse(const std::string& name, const std::string& expected,
                         const std::string& found) {
  throw CLI::ValidationError(name, fmt::format("expected {}, found \"{}\"", expected, found));
}

// A whole number from 1 to `most`.
template <typename T = int>
T parse_number(const std::string& name, const std::string& text, T most,
               const std::string& expected) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > most) {
    refuse(name, expected, text);
  }
  return value;
}

ImageSize parse_size(const std::string& text) {  // "224" or "224x320"
  ImageSize size{};
  const char *const end = text.data() + text.size(), *at = text.data();
  const auto side = [&](int& value) {
    const auto [next, error] = std::from_chars(at, end, value);
    at = next;
    return error == std::errc() && value >= 1 && value <= 16384;
  };
  bool good = side(size.height);
  size.width = size.height;
  if (good && at != end && *at == 'x') {
    ++at;
    good = side(size.width);
  }
  if (!good || at != end) refuse("--image-size", "HEIGHT or HEIGHTxWIDTH, 1 to 16384 each", text);
  return size;
}

void add_triple_option(CLI::App& command, const std::string& name, const std::string& help,
                       std::optional<std::array<double, 3>>& values) {
  const auto parse = [name, &values](const std::string& text) {
    std::array<double, 3> v{};
    int used = 0;
    const int n = std::sscanf(text.c_str(), "%lf,%lf,%lf%n", &v[0], &v[1], &v[2], &used);
    if (n != 3 || text[static_cast<std::size_t>(used)] != '\0')
      refuse(name, "three numbers as r,g,b", text);
    values = v;
  };
  command.add_option_function<std::string>(name, parse, help)->type_name("R,G,B");
}

}  // namespace

void add_image_size_option(CLI::App& command, ImageSize& size, const std::string& default_text) {
  command
      .add_option_function<std::string>(
          "--image-size", [&size](const std::string& text) { size = parse_size(text); },
          "Pixels of the crop, one side or HEIGHTxWIDTH (default: " + default_text + ")")
      ->type_name("H[xW]");
}

void add_crop_pct_option(CLI::App& command, double& crop_pct, const std::string& default_text) {
  command
      .add_option("--crop-pct", crop_pct,
                  "Crop size / resized size (default: " + default_text + ")")
      ->check(in_range("a number from 1e-9 to 1", 1e-9, 1.0))
      ->type_name("NUMBER");
}

void add_interpolation_option(CLI::App& command, std::string& name,
                              const std::string& default_text) {
  command
      .add_option("--interpolation", name, "bicubic or bilinear (default: " + default_text + ")")
      ->check(CLI::IsMember({"bicubic", "bilinear"}))
      ->type_name("NAME");
}

void add_config_options(CLI::App& command, ModelOptions& o) {
  command.add_option("--activation", o.activation, "gelu or relu (default: the file's)")
      ->check(CLI::IsMember({"gelu", "relu"}))
      ->type_name("NAME");
  add_image_size_option(command, o.image_size, "the file's, else 224");
  add_triple_option(command, "--mean",
                    "Mean of the pixels in 0…1 (default: the file's, else ImageNet's)", o.mean);
  add_triple_option(command, "--std",
                    "Standard deviation of the pixels (default: the file's, else ImageNet's)",
                    o.std);
  add_crop_pct_option(command, o.crop_pct, "the file's, else 0.96");
  command.add_option("--bn-eps", o.bn_eps, "Epsilon of BatchNorm (default: the file's, else 1e-5)")
      ->check(in_range("a positive number", 1e-300, 1e300))
      ->type_name("NUMBER");
}

void add_isa_option(CLI::App& command, ModelOptions& o, const char* names) {
  command
      .add_option("--isa", o.isa,
                  std::string("Exactly this instruction set: ") + names +
                      " (default: the best for this CPU and the model, up to the environment "
                      "variable CONVMIXER_ISA)")
      ->type_name("NAME");
}

void add_variant_options(CLI::App& command, ModelOptions& o) {
  add_isa_option(command, o, "portable, avx2, avx512 or amx");
  command.add_option("--onednn", o.onednn, "Run every layer by oneDNN: auto, on or off")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->type_name("WHEN")
      ->capture_default_str();
  command
      .add_option(
          "--strassen", o.strassen,
          "Pointwise products by Strassen's algorithm: auto (where it is faster and keeps "
          "the accuracy), on, off, or two (two levels where they are faster still, three times "
          "the memory; else auto)")
      ->check(CLI::IsMember({"auto", "on", "off", "two"}))
      ->type_name("WHEN")
      ->capture_default_str();
  command.add_flag(
      "--low-memory", o.low_memory,
      "Leave out what takes more memory for speed (Strassen's weights, more images at once "
      "than the threads need)");
}

void add_model_option(CLI::App& command, ModelOptions& o) {
  command
      .add_option("--model", o.model,
                  "A checkpoint: safetensors, PyTorch or Paddle, or a folder of config.json and "
                  "weights (default: the environment variable CONVMIXER_MODEL, else the bundled "
                  "CIFAR-10 model)")
      ->type_name("FILE|DIR");
}

void add_model_options(CLI::App& command, ModelOptions& o) {
  add_model_option(command, o);
  add_variant_options(command, o);
  command
      .add_option("--precision", o.precision,
                  "Arithmetic of the blocks: fp32, bf16, int8 (of a model with scales, see "
                  "'convmixer calibrate'), or auto (bf16 where it is faster, else fp32)")
      ->check(CLI::IsMember({"fp32", "bf16", "int8", "auto"}))
      ->type_name("NAME")
      ->capture_default_str();
  add_config_options(command, o);
}

void add_threads_option(CLI::App& command, ModelOptions& o) {
  command
      .add_option_function<std::string>(
          "--threads",
          [&o](const std::string& text) {
            o.threads = text == "auto" ? 0
                                       : parse_number("--threads", text, 1024,
                                                      "auto or a number from 1 to 1024");
          },
          "Threads, 1 to 1024, or auto: the CPUs this process may use (default: auto)")
      ->type_name("N|auto");
}

void add_session_options(CLI::App& command, ModelOptions& o) {
  add_threads_option(command, o);
  command
      .add_option_function<std::string>(
          "--batch",
          [&o](const std::string& text) {
            o.batch = parse_number("--batch", text, 4096, "a number from 1 to 4096");
          },
          "Images worked on at once, 1 to 4096, which bounds the memory (default: by the cache "
          "sizes)")
      ->type_name("N");
}

void add_decode_options(CLI::App& command, convmixer_image_options& options) {
  command.add_flag_function(
      "--exif", [&options](std::int64_t n) { options.exif_orientation = n > 0 ? 1 : 0; },
      "Turn and mirror images as their EXIF orientation says");
  command
      .add_option_function<std::string>(
          "--max-pixels",
          [&options](const std::string& text) {
            options.max_pixels = parse_number<std::uint64_t>("--max-pixels", text, UINT64_MAX,
                                                             "a whole number from 1 to 2^64 - 1");
          },
          "Refuse images of more pixels (default: 178956970)")
      ->type_name("N");
}

std::string find_model(const std::string& option) {
  if (!option.empty()) return option;
  const char* const environment = std::getenv("CONVMIXER_MODEL");
  if (environment != nullptr && *environment != '\0') return environment;
  const std::string bundled = bundled_model();
  std::error_code error;
  if (std::filesystem::exists(bundled, error)) return bundled;
  throw Failure(
      kFailed,
      fmt::format("no model: --model was not given, CONVMIXER_MODEL is not set, and {} does not "
                  "exist",
                  bundled));
}

const char* precision_name(convmixer_precision precision) {
  return precision == CONVMIXER_PRECISION_BF16   ? "bf16"
         : precision == CONVMIXER_PRECISION_INT8 ? "int8"
                                                 : "fp32";
}

convmixer_model_options c_options_of(const ModelOptions& o) {
  convmixer_model_options options = CONVMIXER_MODEL_OPTIONS_INIT;
  if (!o.isa.empty()) options.isa = o.isa.c_str();
  options.onednn = o.onednn == "on"    ? CONVMIXER_ONEDNN_ON
                   : o.onednn == "off" ? CONVMIXER_ONEDNN_OFF
                                       : CONVMIXER_ONEDNN_AUTO;
  options.strassen = o.strassen == "on"    ? CONVMIXER_STRASSEN_ON
                     : o.strassen == "off" ? CONVMIXER_STRASSEN_OFF
                     : o.strassen == "two" ? CONVMIXER_STRASSEN_TWO
                                           : CONVMIXER_STRASSEN_AUTO;
  options.low_memory = o.low_memory ? 1 : 0;
  options.precision = o.precision == "bf16"   ? CONVMIXER_PRECISION_BF16
                      : o.precision == "int8" ? CONVMIXER_PRECISION_INT8
                      : o.precision == "auto" ? CONVMIXER_PRECISION_AUTO
                                              : CONVMIXER_PRECISION_FP32;
  options.activation = o.activation == "gelu"   ? CONVMIXER_ACTIVATION_GELU
                       : o.activation == "relu" ? CONVMIXER_ACTIVATION_RELU
                                                : CONVMIXER_ACTIVATION_DEFAULT;
  options.image_height = o.image_size.height;
  options.image_width = o.image_size.width;
  options.mean = o.mean ? o.mean->data() : nullptr;
  options.std = o.std ? o.std->data() : nullptr;
  options.crop_pct = o.crop_pct;
  options.bn_eps = o.bn_eps;
  return options;
}

Model open_model(const ModelOptions& o) {
  const convmixer_model_options options = c_options_of(o);
  convmixer_model* model = nullptr;
  check(convmixer_model_open(find_model(o.model).c_str(), &options, &model));
  return Model(model);
}

Session make_session(const Model& model, const ModelOptions& o) {
  convmixer_session_options options = CONVMIXER_SESSION_OPTIONS_INIT;
  options.threads = o.threads;
  options.chunk_size = o.batch;
  convmixer_session* session = nullptr;
  check(convmixer_session_create(model.get(), &options, &session));
  return Session(session);
}

}  // namespace convmixer::cli
