// SPDX-License-Identifier: Apache-2.0
// The tensors of a CheckpointFile in the other formats, by any names.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "checkpoint_file.h"
#include "framework_files.h"

namespace convmixer {

using Rename = std::function<std::string(const std::string&)>;
inline std::string as_it_is(const std::string& key) { return key; }

// From timm's names to the authors'.
inline std::string authors_name(const std::string& timm, int depth) {
  const std::size_t dot = timm.find('.');
  const std::string part = timm.substr(0, dot), rest = timm.substr(dot + 1);
  if (part == "stem") return rest;
  if (part == "head") return std::to_string(3 + depth + 2) + "." + rest;
  const std::size_t end = rest.find('.');
  return std::to_string(3 + std::stoi(rest.substr(0, end))) + rest.substr(end);
}

inline std::string torch_type(const std::string& dtype) {
  const std::map<std::string, std::string> types = {{"F32", "FloatStorage"},
                                                    {"F16", "HalfStorage"},
                                                    {"BF16", "BFloat16Storage"},
                                                    {"F64", "DoubleStorage"},
                                                    {"I64", "LongStorage"}};
  return types.at(dtype);
}

// A state dict, each tensor in a storage of its own, called as in CheckpointFile.
inline std::string torch_state_dict(const CheckpointFile& file, const Rename& rename = as_it_is,
                                    bool legacy = false) {
  pickled::Items items;
  for (const auto& [key, tensor] : file.tensors) {
    const std::int64_t count = pickled::count_of(tensor.shape);
    const std::string type = torch_type(tensor.dtype);
    const std::string storage =
        legacy ? pickled::legacy_storage(type, key, count) : pickled::storage(type, key, count);
    items.emplace_back(rename(key),
                       pickled::tensor(storage, 0, tensor.shape, pickled::row_major(tensor.shape)));
  }
  return pickled::dict(items);
}

inline pickled::Entries storages_of(const CheckpointFile& file) {
  pickled::Entries storages;
  for (const auto& [key, tensor] : file.tensors) storages[key] = tensor.bytes;
  return storages;
}

inline std::string as_torch_zip(const CheckpointFile& file, const Rename& rename = as_it_is) {
  return pickled::torch_zip(torch_state_dict(file, rename), storages_of(file));
}

inline std::string as_torch_legacy(const CheckpointFile& file, const Rename& rename = as_it_is) {
  std::vector<pickled::LegacyStorage> storages;
  for (const auto& [key, tensor] : file.tensors) {
    storages.push_back({key, pickled::count_of(tensor.shape), tensor.bytes});
  }
  return pickled::torch_legacy(torch_state_dict(file, rename, true), storages);
}

// Paddle has no num_batches_tracked, other names of BatchNorm's statistics, and the classifier's
// weight transposed.
inline std::string as_paddle(const CheckpointFile& file, const Rename& rename = as_it_is) {
  pickled::Items items;
  for (const auto& [key, tensor] : file.tensors) {
    if (key.ends_with("num_batches_tracked")) continue;
    std::string name = rename(key), content = tensor.bytes;
    if (const auto at = name.find("running_mean"); at != name.npos) name.replace(at, 12, "_mean");
    if (const auto at = name.find("running_var"); at != name.npos)
      name.replace(at, 11, "_variance");
    std::vector<std::int64_t> shape = tensor.shape;
    if (key == "head.weight") {
      const auto rows = static_cast<std::size_t>(shape[0]);
      const auto columns = static_cast<std::size_t>(shape[1]);
      for (std::size_t i = 0; i < rows * columns; ++i) {
        content.replace((i % columns * rows + i / columns) * 4, 4, tensor.bytes, i * 4, 4);
      }
      shape = {shape[1], shape[0]};
    }
    items.emplace_back(name, pickled::array("f4", shape, pickled::bytes(content)));
  }
  items.emplace_back("StructuredToParameterName@@",
                     pickled::dict({{"0.weight", pickled::text("conv2d_0.w_0")}}));
  return pickled::dump(pickled::dict(items), 4);
}

// All that the network of `want` needs is in the checkpoint, with the same values.
inline void expect_same_weights(const CheckpointFile& want, const Checkpoint& got) {
  for (const auto& [key, tensor] : want.tensors) {
    if (tensor.dtype != "F32") continue;
    SCOPED_TRACE(key);
    const Weights weights = got.floats(key, tensor.shape);
    ASSERT_EQ(weights.size * sizeof(float), tensor.bytes.size());
    EXPECT_EQ(std::memcmp(weights.data, tensor.bytes.data(), tensor.bytes.size()), 0);
  }
}

// Of the tensor 'a' in a file.
inline std::vector<float> values_of(const std::string& file,
                                    const std::vector<std::int64_t>& shape) {
  const Weights weights = open_bytes(file).floats("a", shape);
  return {weights.data, weights.data + weights.size};
}

inline void refused(const std::string& file, const std::vector<std::string>& parts,
                    Code code = Code::kFormat) {
  expect_error(code, parts, [&] { open_bytes(file); });
}

}  // namespace convmixer
