// SPDX-License-Identifier: Apache-2.0
#include "cli/random_weights.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/handles.h"
#include "support/output_file.h"

namespace convmixer::cli {
namespace {

constexpr std::uint64_t kSeed = 1;

// Values are uniform in centre ± spread.
struct Tensor {
  std::string name;
  std::vector<int> shape;
  float centre, spread;
  std::size_t size() const {
    std::size_t n = 1;
    for (const int extent : shape) n *= static_cast<std::size_t>(extent);
    return n;
  }
};

// Every tensor, such that values stay near 1 in any depth. Results of a convolution over inputs of
// variance 1 have variance 1, and each BatchNorm's statistics are those of its activation's results
// then. Larger values must shrink: an activation halves their mean square, BatchNorm divides it by
// 0.34 and multiplies it by that of its scales, 0.59 (with 1 instead, 768_32 ends at 32).
class TensorList {
 public:
  explicit TensorList(const Preset& p)
      // Mean and variance of GELU and ReLU of a standard normal variable.
      : act_mean_(p.relu ? 0.3989f : 0.2821f), act_variance_(p.relu ? 0.3408f : 0.3456f) {
    const int dim = p.dim;
    convolution("stem.0.", {dim, 3, p.patch_size, p.patch_size}, 1);
    batchnorm("stem.2.", dim);
    for (int i = 0; i < p.depth; ++i) {
      const std::string block = fmt::format("blocks.{}.", i);
      convolution(block + "0.fn.0.", {dim, 1, p.kernel_size, p.kernel_size}, 1);
      batchnorm(block + "0.fn.2.", dim);
      convolution(block + "1.", {dim, dim, 1, 1}, 2);  // behind the residual: of two such values
      batchnorm(block + "3.", dim);
    }
    convolution("head.", {Preset::kClasses, dim}, 1);
    scales("stem", dim);
    for (int i = 0; i < p.depth; ++i) {
      scales("blocks." + std::to_string(i) + ".depthwise", dim);
      scales("blocks." + std::to_string(i) + ".pointwise", dim);
    }
  }

  std::vector<Tensor> tensors;

 private:
  void convolution(const std::string& key, const std::vector<int>& shape, float input_variance) {
    Tensor weights{key + "weight", shape, 0, 0};
    const std::size_t sum = weights.size() / static_cast<std::size_t>(shape[0]);
    weights.spread = std::sqrt(3 / (input_variance * static_cast<float>(sum)));
    tensors.push_back(weights);
    tensors.push_back({key + "bias", {shape[0]}, 0, 0.1f});
  }
  void batchnorm(const std::string& key, int dim) {
    tensors.push_back({key + "weight", {dim}, 0.75f, 0.3f});
    tensors.push_back({key + "bias", {dim}, 0, 0.1f});
    tensors.push_back({key + "running_mean", {dim}, act_mean_, 0});
    tensors.push_back({key + "running_var", {dim}, act_variance_, 0});
  }

  // Of int8: real values of about 1 lie within ±4.
  void scales(const std::string& layer, int dim) {
    tensors.push_back({"quant." + layer + ".scale", {dim}, 1.0f / 32, 0});
    tensors.push_back({"quant." + layer + ".zero_point", {dim}, 128, 0});
  }

  float act_mean_, act_variance_;
};

std::string header_of(const Preset& preset, const std::vector<Tensor>& tensors) {
  nlohmann::ordered_json model, header;
  model["architecture"] = "convmixer";
  model["activation"] = preset.relu ? "relu" : "gelu";
  model["input_size"] = {3, Preset::kImageSize, Preset::kImageSize};
  header["__metadata__"]["convmixer"] = model.dump();
  std::size_t begin = 0;
  for (const Tensor& t : tensors) {
    const std::size_t end = begin + t.size() * sizeof(float);
    header[t.name] = {{"dtype", "F32"}, {"shape", t.shape}, {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // the data begins at a multiple of 8
  return text;
}

}  // namespace

const Preset* find_preset(const std::string& name) {
  for (const Preset& preset : kPresets) {
    const std::string full = preset.name;
    if (name == full || name == full.substr(full.find('_') + 1)) return &preset;
  }
  return nullptr;
}

std::string preset_names() {
  std::string names;
  for (const Preset& preset : kPresets)
    names += (names.empty() ? "" : ", ") + std::string(preset.name);
  return names;
}

RandomWeights::RandomWeights(const Preset& preset) {
  const char* const environment = std::getenv("TMPDIR");
  folder_ = environment != nullptr && *environment != '\0' ? environment : "/tmp";
  std::string name = folder_ + "/.convmixer.XXXXXX";
  fd_ = ::mkstemp(name.data());
  if (fd_ < 0) fail(errno);
  if (::unlink(name.c_str()) != 0) fail(errno);
  const std::vector<Tensor> tensors = TensorList(preset).tensors;
  const std::string header = header_of(preset, tensors);
  const std::uint64_t length = header.size();  // little-endian, as every system this runs on
  write(&length, sizeof length);
  write(header.data(), header.size());
  Random random(kSeed);
  std::vector<float> values;
  for (const Tensor& t : tensors) {
    values.resize(t.size());
    for (float& v : values) v = t.centre + t.spread * random.next();
    write(values.data(), values.size() * sizeof(float));
  }
}

RandomWeights::~RandomWeights() { ::close(fd_); }

std::string RandomWeights::path() const { return fmt::format("/proc/self/fd/{}", fd_); }

void RandomWeights::write(const void* data, std::size_t size) {
  if (const int error = write_all(fd_, data, size); error != 0) fail(error);
}

// Reached from the constructor only, whose object has no destructor to run.
void RandomWeights::fail(int error) {
  if (fd_ >= 0) ::close(fd_);
  throw Failure(kFailed, fmt::format("{}: random weights cannot be written (TMPDIR names another "
                                     "folder): {}",
                                     folder_, std::strerror(error)));
}

}  // namespace convmixer::cli
