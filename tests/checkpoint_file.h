// SPDX-License-Identifier: Apache-2.0
// Checkpoints made in memory, good and bad, for the tests of models/ and of the graph passes.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "models/checkpoint.h"
#include "support/error.h"

namespace convmixer {

// A safetensors file of any header: length, header, data.
inline std::string frame(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + header + data;
}

template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

struct FileTensor {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;
};

struct CheckpointFile {
  std::map<std::string, FileTensor> tensors;
  std::map<std::string, std::string> metadata;

  void add(const std::string& name, const std::vector<std::int64_t>& shape,
           const std::vector<float>& values) {
    tensors[name] = {"F32", shape, bytes_of(values)};
  }

  // The header is padded to a multiple of 8 bytes, then `misalign` spaces follow.
  std::string bytes(std::size_t misalign = 0) const {
    nlohmann::json header = nlohmann::json::object();
    if (!metadata.empty()) header["__metadata__"] = metadata;
    std::string data;
    for (const auto& [name, tensor] : tensors) {
      header[name] = {{"dtype", tensor.dtype},
                      {"shape", tensor.shape},
                      {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
      data += tensor.bytes;
    }
    std::string text = header.dump();
    text.append((8 - text.size() % 8) % 8 + misalign, ' ');
    return frame(text, data);
  }
};

// The vector has exactly the file's size, so that AddressSanitizer sees a read beyond it.
inline Checkpoint open_bytes(const std::string& file) {
  auto bytes = std::make_shared<const std::vector<std::uint8_t>>(file.begin(), file.end());
  return open_checkpoint(bytes->data(), bytes->size(), "<memory>", bytes);
}

// A ConvMixer of random weights in timm's names. Variances are positive.
inline CheckpointFile random_convmixer(int dim, int depth, int kernel_size, int patch_size,
                                       int classes) {
  CheckpointFile file;
  std::mt19937 random(7);
  const auto add = [&](const std::string& name, const std::vector<std::int64_t>& shape, float low,
                       float high) {
    std::size_t size = 1;
    for (std::int64_t extent : shape) size *= static_cast<std::size_t>(extent);
    std::vector<float> values(size);
    std::uniform_real_distribution<float> uniform(low, high);
    for (float& value : values) value = uniform(random);
    file.add(name, shape, values);
  };
  const auto add_batchnorm = [&](const std::string& key) {
    add(key + "weight", {dim}, -1, 1);
    add(key + "bias", {dim}, -1, 1);
    add(key + "running_mean", {dim}, -1, 1);
    add(key + "running_var", {dim}, 0.5, 2);
    file.tensors[key + "num_batches_tracked"] = {"I64", {}, std::string(8, '\0')};
  };
  const auto add_convolution = [&](const std::string& key, int ic, int k) {
    add(key + "weight", {dim, ic, k, k}, -1, 1);
    add(key + "bias", {dim}, -1, 1);
  };
  add_convolution("stem.0.", 3, patch_size);
  add_batchnorm("stem.2.");
  for (int i = 0; i < depth; ++i) {
    const std::string block = "blocks." + std::to_string(i);
    add_convolution(block + ".0.fn.0.", 1, kernel_size);
    add_batchnorm(block + ".0.fn.2.");
    add_convolution(block + ".1.", dim, 1);
    add_batchnorm(block + ".3.");
  }
  add("head.weight", {classes, dim}, -1, 1);
  add("head.bias", {classes}, -1, 1);
  return file;
}

// `call` must throw an Error of this code whose text holds every one of `parts`.
template <typename Call>
void expect_error(Code code, const std::vector<std::string>& parts, Call call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << "expected '" << part << "' in: " << error.what();
    }
    return;
  }
  ADD_FAILURE() << "expected an Error with " << (parts.empty() ? "" : parts[0]) << ", found none";
}

}  // namespace convmixer
