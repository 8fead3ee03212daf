// SPDX-License-Identifier: Apache-2.0
// What opening a model does with what a reader has made of a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>

#include "engine/plan.h"
#include "fuzz_target.h"
#include "models/checkpoint.h"
#include "models/convmixer.h"
#include "models/json_object.h"
#include "models/quantization.h"
#include "support/error.h"

namespace convmixer {

// 4 MiB of floats. The readers' own limit, 64 MiB for the smallest file, would cost a run the time
// of a hundred others.
constexpr std::size_t kMostValues = std::size_t{1} << 20;

inline std::size_t count_of(const TensorView& tensor) {
  std::size_t count = 1;
  for (const std::int64_t size : tensor.shape) {
    if (__builtin_mul_overflow(count, static_cast<std::size_t>(size), &count)) return SIZE_MAX;
  }
  return count;
}

// Reads the floats of the tensors, so that a view beyond its bytes is seen; those of unknown types
// are refused one by one.
inline std::size_t read_values(const Checkpoint& checkpoint) {
  std::size_t left = kMostValues;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    const std::size_t count = count_of(tensor);
    if (count > left) return 0;
    left -= count;
    takes<Error>([&, &name = name, &tensor = tensor] {
      const Weights weights = checkpoint.floats(name, tensor.shape);
      require(weights.size == count, "a tensor has the values that its shape says");
      volatile float sum = std::accumulate(weights.data, weights.data + weights.size, 0.0F);
      static_cast<void>(sum);
    });
    if (tensor.dtype != DType::kI8) continue;
    takes<Error>([&, &name = name, &tensor = tensor] {
      const Weights weights = checkpoint.int8s(name, tensor.shape);
      require(weights.size == count, "a tensor has the bytes that its shape says");
      volatile int sum = std::accumulate(weights.int8s, weights.int8s + weights.size, 0);
      static_cast<void>(sum);
    });
  }
  return left;
}

inline void open_model(Checkpoint& checkpoint) {
  rename_keys(checkpoint);
  const bool small = read_values(checkpoint) > 0;
  const ModelConfig config = read_config(checkpoint, {});
  if (!small) return;
  const Graph graph = build_graph(checkpoint, config);
  PlanOptions options;
  options.isa = "portable";
  if (!has_int8_weights(graph)) make_plan(graph, config.mean, config.std, options);
  options.precision = PrecisionOption::kInt8;
  options.quantization = read_quantization(checkpoint, config);
  make_plan(graph, config.mean, config.std, options);
}

using Reader = std::function<void(Checkpoint&)>;

inline int open_as_model(const Reader& read) {
  Checkpoint checkpoint;
  checkpoint.name = "<memory>";
  takes<Error>([&] {
    try {
      read(checkpoint);
      open_model(checkpoint);
    } catch (const Error& error) {
      require(is_utf8(error.what()), "an error's text is UTF-8");
      throw;
    }
  });
  return 0;
}

}  // namespace convmixer
