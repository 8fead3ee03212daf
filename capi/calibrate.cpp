// SPDX-License-Identifier: Apache-2.0
// convmixer_calibration: images → the scales and weights that int8 needs.
#include <fmt/format.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "capi/config.h"
#include "capi/failure.h"
#include "capi/pipeline.h"
#include "capi/structs.h"
#include "capi/turn.h"
#include "convmixer.h"
#include "engine/byte_weights.h"
#include "engine/calibrator.h"
#include "engine/passes.h"
#include "engine/plan.h"
#include "models/checkpoint.h"
#include "models/convmixer.h"
#include "models/quantization.h"
#include "models/safetensors_writer.h"

using namespace convmixer;  // NOLINT(google-build-using-namespace): what follows is global

struct convmixer_calibration {
  Checkpoint checkpoint;
  ModelConfig config;
  std::uint64_t num_parameters = 0, num_macs = 0;
  std::unique_ptr<Calibrator> calibrator;
  mutable std::atomic<bool> busy{false};
};

namespace {

Turn turn_of(const convmixer_calibration& calibration) {
  return {calibration.busy, "The calibration is in use by another thread."};
}

PlanOptions fp32_plan(const convmixer_model_options& options) {
  PlanOptions plan = plan_options_of(options);
  if (plan.precision != PrecisionOption::kFp32) {
    refuse("precision: calibration runs in fp32, leave it out");
  }
  if (plan.onednn == OneDnn::kOn) refuse("onednn: calibration runs our own kernels, leave it out");
  if (plan.strassen == Strassen::kOn || plan.strassen == Strassen::kTwo) {
    refuse("strassen: calibration runs plain products, leave it out");
  }
  plan.observed = true;
  return plan;
}

}  // namespace

convmixer_status convmixer_calibration_create(const char* model_path,
                                              const convmixer_model_options* options,
                                              int32_t threads,
                                              convmixer_calibration** calibration) {
  return guarded([&] {
    need(model_path, "model_path");
    need(calibration, "calibration");
    const convmixer_model_options known = read_options(options);
    const PlanOptions plan_options = fp32_plan(known);
    const int count = threads_of(threads);
    auto made = std::make_unique<convmixer_calibration>();
    made->checkpoint = open_checkpoint(model_path);
    made->config = read_config(made->checkpoint, overrides_of(known));
    const Graph graph = build_graph(made->checkpoint, made->config);
    if (has_int8_weights(graph)) {
      refuse(made->checkpoint.name +
             ": its weights are int8: expected the model that they were made from");
    }
    made->num_parameters = count_parameters(graph.nodes);
    auto plan = make_plan(graph, made->config.mean, made->config.std, plan_options);
    made->num_macs = plan->num_macs;
    made->calibrator = std::make_unique<Calibrator>(std::move(plan), count);
    *calibration = made.release();
  });
}

convmixer_status convmixer_calibration_get_info(const convmixer_calibration* calibration,
                                                convmixer_model_info* info) {
  return guarded([&] {
    need(calibration, "calibration");
    need(info, "info");
    convmixer_model_info known = info_of(calibration->config);
    known.num_parameters = calibration->num_parameters;
    known.num_macs = calibration->num_macs;
    write_info(known, info);
  });
}

convmixer_status convmixer_calibration_add_f32(convmixer_calibration* calibration, const float* src,
                                               size_t n) {
  return guarded([&] {
    need(calibration, "calibration");
    if (n == 0) return;
    need(src, "src");
    const std::size_t bytes = calibration->config.image_values() * sizeof(*src);
    need_room("n", n, bytes);
    const Turn turn = turn_of(*calibration);
    calibration->calibrator->add(src, n);
  });
}

convmixer_status convmixer_calibration_add_images(convmixer_calibration* calibration,
                                                  const convmixer_image* images, size_t count,
                                                  const convmixer_image_options* options,
                                                  convmixer_result* results) {
  return guarded([&] {
    need(calibration, "calibration");
    const ImageJob job = image_job(images, count, options, results);
    const Turn turn = turn_of(*calibration);
    const TransformOptions transform = transform_of(calibration->config);
    std::vector<std::uint8_t> pixels(transform.bytes());
    for (std::size_t i = 0; i < count; ++i) {
      results[i].error[0] = '\0';
      results[i].status = CONVMIXER_OK;
    }
    for (std::size_t i = 0; i < count; ++i) {
      try {
        load_image(images[i], fmt::format("image {}", i), job.decode, transform, pixels.data());
      } catch (...) {
        results[i].status = current_failure(results[i].error, sizeof(results[i].error));
        continue;
      }
      calibration->calibrator->add(pixels.data(), 1);
    }
  });
}

convmixer_status convmixer_calibration_write(const convmixer_calibration* calibration,
                                             const char* dst_path, convmixer_clipping clipping,
                                             convmixer_weights weights) {
  return guarded([&] {
    need(calibration, "calibration");
    need(dst_path, "dst_path");
    const auto clip =
        value_of("clipping", number_of(clipping),
                 {Clipping::kMeanSquaredError, Clipping::kMeanSquaredError, Clipping::kMinMax});
    const bool as_int8s = value_of("weights", number_of(weights), {false, true});
    const Turn turn = turn_of(*calibration);
    check_destination(dst_path, calibration->checkpoint);
    Quantization quantization = calibration->calibrator->choose(clip);
    const Graph graph =
        fold_batchnorm(fuse(build_graph(calibration->checkpoint, calibration->config)));
    quantization.pointwise_weights = calibration->calibrator->round_pointwise(graph, quantization);
    Checkpoint checkpoint = calibration->checkpoint;
    add_quantization(quantization, calibration->config, checkpoint);
    if (as_int8s) {
      add_byte_weights(
          std::make_shared<const std::vector<ByteBlock>>(quantize_blocks(graph, quantization)),
          checkpoint);
    }
    write_safetensors(dst_path, checkpoint, calibration->config);
  });
}

void convmixer_calibration_destroy(convmixer_calibration* calibration) { delete calibration; }
