// SPDX-License-Identifier: Apache-2.0
#include "capi/config.h"

#include <algorithm>

#include "capi/failure.h"
#include "capi/image_options.h"
#include "capi/structs.h"
#include "engine/threads.h"

namespace convmixer {

PlanOptions plan_options_of(const convmixer_model_options& options) {
  PlanOptions plan;
  if (options.isa != nullptr) {
    // Inside, an empty name means the best; the header has a null pointer for that.
    if (options.isa[0] == '\0') refuse("isa is \"\": expected a name, or NULL for the best");
    plan.isa = options.isa;
  }
  plan.onednn =
      value_of("onednn", number_of(options.onednn), {OneDnn::kAuto, OneDnn::kOn, OneDnn::kOff});
  plan.strassen = value_of("strassen", number_of(options.strassen),
                           {Strassen::kAuto, Strassen::kOn, Strassen::kOff, Strassen::kTwo});
  plan.low_memory = options.low_memory != 0;
  plan.precision = value_of("precision", number_of(options.precision),
                            {PrecisionOption::kFp32, PrecisionOption::kFp32, PrecisionOption::kBf16,
                             PrecisionOption::kInt8, PrecisionOption::kAuto});
  return plan;
}

ConfigOverrides overrides_of(const convmixer_model_options& options) {
  ConfigOverrides overrides;
  overrides.activation = value_of("activation", number_of(options.activation),
                                  {std::optional<Activation>(), std::optional(Activation::kGelu),
                                   std::optional(Activation::kRelu)});
  const int height = options.image_height, width = options.image_width;
  if (height < 0 || width < 0 || (height == 0) != (width == 0)) {
    refuse(
        fmt::format("image_height and image_width: expected both 0 or both more, found {} and {}",
                    height, width));
  }
  if (height > 0) {
    overrides.image_height = height;
    overrides.image_width = width;
  }
  if (options.mean != nullptr) overrides.mean = {options.mean[0], options.mean[1], options.mean[2]};
  if (options.std != nullptr) overrides.std = {options.std[0], options.std[1], options.std[2]};
  // A NaN is not 0 either: read_config refuses it like any value out of range.
  if (options.crop_pct != 0) overrides.crop_pct = options.crop_pct;
  if (options.bn_eps != 0) overrides.bn_eps = options.bn_eps;
  return overrides;
}

ConfigOverrides overrides_of(const convmixer_convert_options& options) {
  convmixer_model_options shared = CONVMIXER_MODEL_OPTIONS_INIT;
  shared.activation = options.activation;
  shared.image_height = options.image_height;
  shared.image_width = options.image_width;
  shared.mean = options.mean;
  shared.std = options.std;
  shared.crop_pct = options.crop_pct;
  shared.bn_eps = options.bn_eps;
  ConfigOverrides overrides = overrides_of(shared);
  if (options.interpolation != nullptr) overrides.interpolation = options.interpolation;
  if ((options.labels == nullptr) != (options.num_labels == 0)) {
    refuse(fmt::format("labels and num_labels: expected both or neither, found {} and {}",
                       options.labels == nullptr ? "NULL" : "a list", options.num_labels));
  }
  if (options.num_labels > kMaxClasses) {
    refuse(
        fmt::format("num_labels: expected at most {}, found {}", kMaxClasses, options.num_labels));
  }
  if (options.labels == nullptr) return overrides;
  overrides.labels.emplace();
  for (std::size_t i = 0; i < options.num_labels; ++i) {
    if (options.labels[i] == nullptr) refuse(fmt::format("labels[{}] is null", i));
    overrides.labels->emplace_back(options.labels[i]);
  }
  return overrides;
}

int threads_of(std::int32_t threads) {
  constexpr int kMaxThreads = 1024;
  if (threads < 0 || threads > kMaxThreads) {
    refuse(fmt::format("threads is {}, expected 0 to {}", threads, kMaxThreads));
  }
  return threads == 0 ? std::min(default_threads(), kMaxThreads) : threads;
}

convmixer_model_info info_of(const ModelConfig& config) {
  convmixer_model_info info{};
  info.dim = config.dim;
  info.depth = config.depth;
  info.kernel_size = config.kernel_size;
  info.patch_size = config.patch_size;
  info.num_classes = config.num_classes;
  info.activation = config.activation == Activation::kRelu ? CONVMIXER_ACTIVATION_RELU
                                                           : CONVMIXER_ACTIVATION_GELU;
  info.image_height = config.image_height;
  info.image_width = config.image_width;
  std::copy(config.mean.begin(), config.mean.end(), info.mean);
  std::copy(config.std.begin(), config.std.end(), info.std);
  info.crop_pct = config.crop_pct;
  info.bn_eps = config.bn_eps;
  info.interpolation = interpolation_named(config.interpolation).name;
  info.num_labels = static_cast<std::int32_t>(config.labels.size());
  return info;
}

std::uint64_t count_parameters(const std::vector<Node>& nodes) {
  std::uint64_t count = 0;
  for (const Node& node : nodes) {
    count += node.weights.size + node.bias.size() + node.batchnorm.weight.size() +
             node.batchnorm.bias.size() + count_parameters(node.body);
  }
  return count;
}

}  // namespace convmixer
