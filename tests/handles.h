// SPDX-License-Identifier: Apache-2.0
// convmixer.h with owners, and the bundled model and images, for the tests that are its clients.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "convmixer.h"

namespace convmixer::test {

struct Destroy {
  void operator()(convmixer_model* model) const { convmixer_model_destroy(model); }
  void operator()(convmixer_session* session) const { convmixer_session_destroy(session); }
};
struct DestroyCalibration {
  void operator()(convmixer_calibration* c) const { convmixer_calibration_destroy(c); }
};
using CalibrationHandle = std::unique_ptr<convmixer_calibration, DestroyCalibration>;
using ModelHandle = std::unique_ptr<convmixer_model, Destroy>;
using SessionHandle = std::unique_ptr<convmixer_session, Destroy>;

inline const std::string kShare = CONVMIXER_SHARE_DIR;
inline const std::string kBundledModel = kShare + "/cifar10_256_8.safetensors";
constexpr std::size_t kImageBytes = 32 * 32 * 3, kClasses = 10, kDim = 256;

inline void succeed(convmixer_status status) {
  if (status != CONVMIXER_OK) throw std::runtime_error(convmixer_last_error());
}

inline ModelHandle open_model(const convmixer_model_options* options = nullptr) {
  convmixer_model* model = nullptr;
  succeed(convmixer_model_open(kBundledModel.c_str(), options, &model));
  return ModelHandle(model);
}

inline ModelHandle open_model(const std::vector<std::uint8_t>& bytes) {
  convmixer_model* model = nullptr;
  succeed(convmixer_model_open_memory(bytes.data(), bytes.size(), nullptr, &model));
  return ModelHandle(model);
}

inline SessionHandle open_session(const ModelHandle& model, int threads, int chunk_size = 0) {
  convmixer_session_options options = CONVMIXER_SESSION_OPTIONS_INIT;
  options.threads = threads;
  options.chunk_size = chunk_size;
  convmixer_session* session = nullptr;
  succeed(convmixer_session_create(model.get(), &options, &session));
  return SessionHandle(session);
}

inline std::vector<std::uint8_t> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The bundled sample images, in a fixed order.
inline std::vector<std::string> sample_paths() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(kShare + "/images")) {
    if (entry.path().extension() == ".jpg") paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// n images of RGB bytes that look like noise, the same every time.
inline std::vector<std::uint8_t> noise(std::size_t n) {
  std::vector<std::uint8_t> bytes(n * kImageBytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>((i * 2654435761u) >> 13);
  }
  return bytes;
}

inline std::vector<float> run(const SessionHandle& session, const std::vector<std::uint8_t>& src) {
  const std::size_t n = src.size() / kImageBytes;
  std::vector<float> logits(n * kClasses);
  succeed(convmixer_run_u8(session.get(), src.data(), n, logits.data(), nullptr));
  return logits;
}

}  // namespace convmixer::test
