// SPDX-License-Identifier: Apache-2.0
// The functions of convmixer.h but those of convert.cpp and calibrate.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "capi/config.h"
#include "capi/failure.h"
#include "capi/image_options.h"
#include "capi/pipeline.h"
#include "capi/structs.h"
#include "capi/turn.h"
#include "capi/versions.h"
#include "convmixer.h"
#include "engine/executor.h"
#include "engine/plan.h"
#include "engine/system.h"
#include "models/checkpoint.h"
#include "models/convmixer.h"
#include "models/imagenet.h"
#include "models/quantization.h"
#include "support/error.h"

namespace convmixer {
namespace {

constexpr const char* kVersion = CONVMIXER_PROJECT_VERSION;

constexpr bool is_version_of_header(std::string_view version) {
  std::size_t at = 0;
  const auto number = [&] {
    int value = 0;
    for (; at < version.size() && version[at] != '.'; ++at) value = value * 10 + version[at] - '0';
    ++at;
    return value;
  };
  return number() == CONVMIXER_VERSION_MAJOR && number() == CONVMIXER_VERSION_MINOR &&
         number() == CONVMIXER_VERSION_PATCH;
}
static_assert(is_version_of_header(CONVMIXER_PROJECT_VERSION),
              "convmixer.h and project() in CMakeLists.txt must state the same version");

void write_text(const std::string& src, char* text, std::size_t capacity, std::size_t* needed) {
  const std::size_t size = src.size() + 1;
  if (text == nullptr && capacity != 0) refuse("text is null, but capacity is not 0");
  if (needed != nullptr) *needed = size;
  if (text == nullptr) return;
  if (capacity < size) {
    refuse(fmt::format("capacity is {}, but the text needs {} bytes", capacity, size));
  }
  std::memcpy(text, src.c_str(), size);
}

// ---- Models -------------------------------------------------------------------------------------

struct ModelData {
  ModelConfig config;
  std::shared_ptr<const Plan> plan;
  std::uint64_t num_parameters;
};

// `open` gives the checkpoint once the options are known to be good. The plan holds all that is
// needed afterwards: checkpoint and graph end here.
template <typename Open>
std::shared_ptr<const ModelData> open_model(const convmixer_model_options* given,
                                            const Open& open) {
  const convmixer_model_options options = read_options(given);
  const ConfigOverrides overrides = overrides_of(options);
  PlanOptions plan_options = plan_options_of(options);
  const Checkpoint checkpoint = open();
  auto model = std::make_shared<ModelData>();
  model->config = read_config(checkpoint, overrides);
  if (plan_options.precision == PrecisionOption::kInt8) {
    plan_options.quantization = read_quantization(checkpoint, model->config);
  }
  const Graph graph = build_graph(checkpoint, model->config);
  if (has_int8_weights(graph) && plan_options.precision != PrecisionOption::kInt8) {
    refuse(checkpoint.name + ": its weights are int8: expected precision int8");
  }
  model->num_parameters = count_parameters(graph.nodes);
  try {
    model->plan = make_plan(graph, model->config.mean, model->config.std, plan_options);
  } catch (const Error& e) {
    // The plan knows layers, but not the file that they are from.
    if (e.code() != Code::kFormat) throw;
    throw Error(e.code(), fmt::format("{}: {}", checkpoint.name, e.what()));
  }
  return model;
}

convmixer_model_info info_of(const ModelData& model) {
  convmixer_model_info info = info_of(model.config);
  info.num_parameters = model.num_parameters;
  info.num_macs = model.plan->num_macs;
  info.weight_bytes = model.plan->weight_bytes;
  info.strassen_levels = model.plan->strassen_levels();
  constexpr convmixer_precision kPrecisions[kPrecisionCount] = {
      CONVMIXER_PRECISION_FP32, CONVMIXER_PRECISION_BF16, CONVMIXER_PRECISION_INT8};
  info.precision = kPrecisions[model.plan->precision()];
  info.isa = model.plan->implementation();
  return info;
}

}  // namespace
}  // namespace convmixer

// ---- Handles ------------------------------------------------------------------------------------

struct convmixer_model {
  std::shared_ptr<const convmixer::ModelData> data;
};

struct convmixer_session {
  convmixer_session(std::shared_ptr<const convmixer::ModelData> data, int threads, int chunk_size)
      : model(std::move(data)), engine(model->plan, threads, chunk_size) {}

  std::shared_ptr<const convmixer::ModelData> model;
  convmixer::Session engine;
  std::atomic<bool> busy = false;
};

namespace convmixer {
namespace {

Turn turn_of(convmixer_session& session) {
  return {session.busy, "The session is in use by another thread; make one a thread."};
}

constexpr int kMaxChunkSize = 4096;

template <typename T>
void run(convmixer_session* session, const T* src, std::size_t n, float* logits, float* features) {
  need(session, "session");
  if (n > 0) {
    need(src, "src");
    need(logits, "logits");
    const ModelConfig& config = session->model->config;
    const std::size_t bytes = std::max({config.image_values() * sizeof(T),
                                        std::size_t(config.num_classes) * sizeof(float),
                                        std::size_t(config.dim) * sizeof(float)});
    need_room("n", n, bytes);
  }
  const Turn turn = turn_of(*session);
  if (n > 0) session->engine.run(src, n, logits, features);
}

}  // namespace
}  // namespace convmixer

// ---- The functions ------------------------------------------------------------------------------

using namespace convmixer;  // NOLINT(google-build-using-namespace): what follows is global

const char* convmixer_status_string(convmixer_status status) {
  switch (number_of(status)) {
    case CONVMIXER_OK:
      return "Success.";
    case CONVMIXER_INVALID_ARGUMENT:
      return "An argument or option has a value that is not allowed.";
    case CONVMIXER_IO_ERROR:
      return "The operating system refused to read or write a file.";
    case CONVMIXER_FORMAT_ERROR:
      return "The file is truncated, damaged or of another kind.";
    case CONVMIXER_UNSUPPORTED:
      return "This build, model or CPU cannot do that.";
    case CONVMIXER_LIMIT_EXCEEDED:
      return "A size is larger than its stated limit.";
    case CONVMIXER_OUT_OF_MEMORY:
      return "There is not enough memory.";
    case CONVMIXER_BUSY:
      return "The session or calibration is in use by another thread.";
    case CONVMIXER_INTERNAL_ERROR:
      return "A defect of the library.";
    default:
      return "Not a status of this version of the library.";
  }
}

const char* convmixer_last_error(void) { return last_failure(); }

const char* convmixer_version(void) { return kVersion; }

convmixer_status convmixer_model_open(const char* path, const convmixer_model_options* options,
                                      convmixer_model** model) {
  return guarded([&] {
    need(path, "path");
    need(model, "model");
    *model = new convmixer_model{open_model(options, [&] { return open_checkpoint(path); })};
  });
}

convmixer_status convmixer_model_open_memory(const void* data, size_t size,
                                             const convmixer_model_options* options,
                                             convmixer_model** model) {
  return guarded([&] {
    need(data, "data");
    need(model, "model");
    *model = new convmixer_model{open_model(options, [&] {
      return open_checkpoint(static_cast<const std::uint8_t*>(data), size, "<memory>", nullptr);
    })};
  });
}

void convmixer_model_destroy(convmixer_model* model) { delete model; }

convmixer_status convmixer_model_get_info(const convmixer_model* model,
                                          convmixer_model_info* info) {
  return guarded([&] {
    need(model, "model");
    need(info, "info");
    write_info(info_of(*model->data), info);
  });
}

const char* convmixer_model_label(const convmixer_model* model, int32_t index) {
  if (model == nullptr || index < 0) return nullptr;
  const auto& labels = model->data->config.labels;
  const auto i = static_cast<std::size_t>(index);
  return i < labels.size() ? labels[i].c_str() : nullptr;
}

const char* convmixer_imagenet_wordnet_id(int32_t index) { return imagenet_wordnet_id(index); }

convmixer_status convmixer_model_describe(const convmixer_model* model, char* text, size_t capacity,
                                          size_t* needed) {
  return guarded([&] {
    need(model, "model");
    write_text(describe_plan(*model->data->plan), text, capacity, needed);
  });
}

convmixer_status convmixer_system_describe(char* text, size_t capacity, size_t* needed) {
  return guarded(
      [&] { write_text(describe_system() + library_versions(), text, capacity, needed); });
}

convmixer_status convmixer_session_create(convmixer_model* model,
                                          const convmixer_session_options* options,
                                          convmixer_session** session) {
  return guarded([&] {
    need(model, "model");
    need(session, "session");
    const convmixer_session_options known = read_options(options);
    const int threads = threads_of(known.threads);
    if (known.chunk_size < 0 || known.chunk_size > kMaxChunkSize) {
      refuse(fmt::format("chunk_size is {}, expected 0 to {}", known.chunk_size, kMaxChunkSize));
    }
    *session = new convmixer_session(model->data, threads, known.chunk_size);
  });
}

void convmixer_session_destroy(convmixer_session* session) { delete session; }

convmixer_status convmixer_session_get_info(const convmixer_session* session,
                                            convmixer_session_info* info) {
  return guarded([&] {
    need(session, "session");
    need(info, "info");
    const Session& engine = session->engine;
    write_info(
        convmixer_session_info{0, engine.threads(), engine.chunk_size(), engine.arena_bytes()},
        info);
  });
}

convmixer_status convmixer_run_f32(convmixer_session* session, const float* src, size_t n,
                                   float* logits, float* features) {
  return guarded([&] { run(session, src, n, logits, features); });
}

convmixer_status convmixer_run_u8(convmixer_session* session, const uint8_t* src, size_t n,
                                  float* logits, float* features) {
  return guarded([&] { run(session, src, n, logits, features); });
}

convmixer_status convmixer_session_measure_fma_peak(convmixer_session* session,
                                                    double* flops_per_second) {
  return guarded([&] {
    need(session, "session");
    need(flops_per_second, "flops_per_second");
    const Turn turn = turn_of(*session);
    *flops_per_second = session->engine.measure_fma_peak();
  });
}

convmixer_status convmixer_transform(const convmixer_image* image,
                                     const convmixer_image_options* options, uint8_t* dst,
                                     size_t dst_size) {
  return guarded([&] {
    need(image, "image");
    need(dst, "dst");
    const convmixer_image_options known = read_options(options);
    const TransformOptions transform = transform_options_of(known);
    if (dst_size != transform.bytes()) {
      refuse(fmt::format("dst_size is {}, expected {}: {} × {} × 3", dst_size, transform.bytes(),
                         transform.height, transform.width));
    }
    load_image(*image, "the image", decode_options_of(known), transform, dst);
  });
}

convmixer_status convmixer_classify(convmixer_session* session, const convmixer_image* images,
                                    size_t count, const convmixer_image_options* options,
                                    int32_t top_k, convmixer_prediction* predictions,
                                    convmixer_result* results) {
  return guarded([&] {
    need(session, "session");
    const ModelConfig& config = session->model->config;
    if (top_k < 1 || top_k > config.num_classes) {
      refuse(fmt::format("top_k is {}, expected 1 to {}, the number of classes", top_k,
                         config.num_classes));
    }
    const ImageJob job = image_job(images, count, options, results);
    if (count > 0) need(predictions, "predictions");
    need_room("count", count, sizeof(*predictions) * std::size_t(top_k));
    const Turn turn = turn_of(*session);
    classify(session->engine, config, job, top_k, predictions);
  });
}

convmixer_status convmixer_run_images(convmixer_session* session, const convmixer_image* images,
                                      size_t count, const convmixer_image_options* options,
                                      float* logits, convmixer_result* results) {
  return guarded([&] {
    need(session, "session");
    const ModelConfig& config = session->model->config;
    const auto classes = static_cast<std::size_t>(config.num_classes);
    const ImageJob job = image_job(images, count, options, results);
    if (count > 0) need(logits, "logits");
    need_room("count", count, classes * sizeof(*logits));
    const Turn turn = turn_of(*session);
    run_images(session->engine, config, job, [&](std::size_t i, const float* row) {
      std::copy_n(row, classes, logits + i * classes);
    });
  });
}
