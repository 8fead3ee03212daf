// SPDX-License-Identifier: Apache-2.0
#include "models/safetensors_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>
#include <vector>

#include "models/json_object.h"
#include "support/error.h"
#include "support/output_file.h"

namespace convmixer {
namespace {

using Json = nlohmann::ordered_json;  // keys stay in the order in which they are set

constexpr std::size_t kAlignment = 64;  // a cache line

struct NewTensor {
  const std::string* name;
  const TensorView* src;
  const char* dtype;
  std::uint64_t element_bytes;

  std::uint64_t bytes() const {
    std::uint64_t count = 1;
    for (const std::int64_t size : src->shape) count *= static_cast<std::uint64_t>(size);
    return count * element_bytes;
  }
};

// In the order of the file.
std::vector<NewTensor> new_tensors(const Checkpoint& checkpoint) {
  std::vector<NewTensor> tensors;
  for (const auto& [name, src] : checkpoint.tensors) {
    if (name.ends_with(".num_batches_tracked")) continue;
    switch (src.dtype) {
      case DType::kF16:
        tensors.push_back({&name, &src, "F16", 2});
        break;
      case DType::kBF16:
        tensors.push_back({&name, &src, "BF16", 2});
        break;
      case DType::kI8:
        tensors.push_back({&name, &src, "I8", 1});
        break;
      default:
        tensors.push_back({&name, &src, "F32", 4});
    }
  }
  std::stable_sort(tensors.begin(), tensors.end(), [](const NewTensor& a, const NewTensor& b) {
    return a.element_bytes > b.element_bytes;
  });
  return tensors;
}

// Length, JSON, and as many spaces as put the data at its place.
std::string header_of(const std::string& path, const std::vector<NewTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  // By hand: a JSON object that keeps the order of its keys looks through all of them for each.
  std::string text = "{\"__metadata__\":" + Json(metadata).dump();
  std::uint64_t end = 0;
  for (const NewTensor& tensor : tensors) {
    const std::uint64_t begin = end;
    end += tensor.bytes();
    const Json entry = {
        {"dtype", tensor.dtype}, {"shape", tensor.src->shape}, {"data_offsets", {begin, end}}};
    text += ',';
    text += Json(*tensor.name).dump() + ":" + entry.dump();
  }
  text += '}';
  std::uint64_t length = 0;
  const std::size_t rest = (sizeof(length) + text.size()) % kAlignment;
  text.append((kAlignment - rest) % kAlignment, ' ');
  length = text.size();
  if (length > kMaxHeaderBytes) {
    throw Error(Code::kLimit, fmt::format("{}: expected a header of at most {} bytes, found {}",
                                          path, kMaxHeaderBytes, length));
  }
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + text;
}

void write_tensor(OutputFile& file, const Checkpoint& checkpoint, const NewTensor& tensor) {
  const TensorView& src = *tensor.src;
  if (src.dtype == DType::kF16 || src.dtype == DType::kBF16 || src.dtype == DType::kI8) {
    file.write(src.data, src.bytes);
    if (checkpoint.map != nullptr) checkpoint.map->let_go(src.data, src.bytes);
    return;
  }
  const Weights weights = checkpoint.floats(*tensor.name, src.shape);
  file.write(weights.data, weights.size * sizeof(float));
  weights.let_go();
}

void refuse_source(const std::string& path, const Checkpoint& checkpoint) {
  std::error_code error;
  if (std::filesystem::equivalent(path, checkpoint.name, error)) {
    throw Error(Code::kInvalidArgument, path + ": expected another file than the one that is read");
  }
}

void refuse_direct(const std::string& path, const OutputFile& file) {
  if (file.is_direct()) {
    throw Error(Code::kInvalidArgument,
                path + ": expected a regular file, found a device, a pipe or a standard stream");
  }
}

}  // namespace

std::string metadata_text(const Checkpoint& checkpoint, const ModelConfig& config) {
  Json json;
  json["architecture"] = "convmixer";
  json["dim"] = config.dim;
  json["depth"] = config.depth;
  json["kernel_size"] = config.kernel_size;
  json["patch_size"] = config.patch_size;
  json["activation"] = activation_name(config.activation);
  json["num_classes"] = config.num_classes;
  json["input_size"] = {3, config.image_height, config.image_width};
  json["mean"] = config.mean;
  json["std"] = config.std;
  json["crop_pct"] = config.crop_pct;
  json["interpolation"] = config.interpolation;
  json["bn_eps"] = config.bn_eps;
  if (config.stated_labels) json["labels"] = config.labels;
  const auto own = checkpoint.metadata.find(kMetadataKey);
  if (own != checkpoint.metadata.end()) {
    const JsonObject object(checkpoint.name + ": model metadata", own->second);
    for (const auto& [key, value] : object.json().items()) {
      if (!json.contains(key) && key != "labels") json[key] = value;
    }
  }
  std::string text = json.dump();
  if (text.size() > kMaxJsonBytes) {
    throw Error(Code::kLimit, fmt::format("{}: expected metadata of at most {} bytes, found {}",
                                          checkpoint.name, kMaxJsonBytes, text.size()));
  }
  return text;
}

void check_destination(const std::string& path, const Checkpoint& checkpoint) {
  refuse_source(path, checkpoint);
  const OutputFile file(path);
  refuse_direct(path, file);
}

void write_safetensors(const std::string& path, const Checkpoint& checkpoint,
                       const ModelConfig& config) {
  refuse_source(path, checkpoint);
  std::map<std::string, std::string> metadata = checkpoint.metadata;
  metadata[kMetadataKey] = metadata_text(checkpoint, config);
  const std::vector<NewTensor> tensors = new_tensors(checkpoint);
  const std::string header = header_of(path, tensors, metadata);
  OutputFile file(path);
  refuse_direct(path, file);
  file.write(header.data(), header.size());
  for (const NewTensor& tensor : tensors) write_tensor(file, checkpoint, tensor);
  file.commit();
}

}  // namespace convmixer
