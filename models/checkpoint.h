// SPDX-License-Identifier: Apache-2.0
// A checkpoint file → named tensors, whatever its format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/graph.h"
#include "support/file_map.h"

namespace convmixer {

// The dtypes that floats() reads; all others, known or not, are kOther.
enum class DType { kF32, kF16, kBF16, kF64, kOther };

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // of a safetensors file; the format's own

// A tensor as it lies in the file; row-major, little-endian, not necessarily aligned.
struct TensorView {
  DType dtype = DType::kOther;
  std::string dtype_name;  // as the file spells it
  std::vector<std::int64_t> shape;
  const std::uint8_t* data = nullptr;
  std::size_t bytes = 0;
};

struct Checkpoint {
  std::string name;                             // path, or "<memory>", for messages
  std::map<std::string, TensorView> tensors;    // by timm's key names
  std::map<std::string, std::string> metadata;  // safetensors' __metadata__
  std::string config_path, config_json;  // a config.json beside the weights, see huggingface.h
  std::shared_ptr<const FileMap> map;    // null when opened from memory
  std::shared_ptr<const void> owner;     // keeps the bytes valid

  // The tensor as floats: a view where it is aligned F32, else a copy, converted from F32, F16,
  // BF16 or F64. Throws Error(kFormat), naming file, tensor, expected and found, where it is
  // missing, has another shape or another dtype.
  Weights floats(const std::string& tensor, const std::vector<std::int64_t>& shape) const;
};

// Opens a safetensors file, or the one in a folder of Hugging Face's (huggingface.h). The header is
// checked in full before any tensor is read: its length against the file's, every range against the
// data, shape × dtype against the range; the ranges must tile the data without overlap, hole or
// rest, as the format demands. Unknown dtypes pass until floats() is asked for one.
// Error(kUnsupported) for a PyTorch or Paddle checkpoint.
Checkpoint open_checkpoint(const std::string& path);

// The same from memory, of which floats() copies only what is not aligned F32; it must stay valid
// as long as `owner` (which may be null when the caller guarantees it) or any Weights made from it.
Checkpoint open_checkpoint(const std::uint8_t* data, std::size_t size, std::string name,
                           std::shared_ptr<const void> owner);

// One reader a format (safetensors.cpp): fills tensors and metadata from the bytes.
void read_safetensors(const std::uint8_t* data, std::size_t size, Checkpoint& checkpoint);

// A name from a file, fit for a message: in quotes, cut to 100 bytes, without control characters.
std::string in_quotes(std::string_view text);

// "[32, 3, 4, 4]"
std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace convmixer
