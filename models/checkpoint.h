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
#include "models/dtype.h"
#include "models/key_names.h"
#include "support/file_map.h"

namespace convmixer {

namespace pickle {
class Pickle;
}

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // of a safetensors file; the format's own

// A tensor's bytes: row-major, little-endian, not necessarily aligned.
struct TensorView {
  DType dtype = DType::kOther;
  std::string dtype_name;  // as safetensors calls it; of a safetensors file, as the file spells it
  std::vector<std::int64_t> shape;
  const std::uint8_t* data = nullptr;
  std::size_t bytes = 0;
  std::shared_ptr<const void> owner;  // keeps them valid; null where the checkpoint's does
};

struct Checkpoint {
  std::string name;                             // path, or "<memory>", for messages
  std::map<std::string, TensorView> tensors;    // by timm's key names
  std::map<std::string, std::string> metadata;  // safetensors' __metadata__
  std::string config_path, config_json;  // a config.json beside the weights, see huggingface.h
  std::shared_ptr<const FileMap> map;    // null where none of the tensors lies in it
  std::shared_ptr<const void> owner;     // keeps the bytes valid
  KeyNames key_names;                    // what the file calls its tensors

  // The tensor as floats: a view where it is aligned F32, else a copy, converted from F32, F16,
  // BF16 or F64. Throws Error(kFormat), naming file, tensor, expected and found, where it is
  // missing, has another shape or another dtype.
  Weights floats(const std::string& tensor, const std::vector<std::int64_t>& shape) const;

  // An I8 tensor's values, a view. The same errors, and kFormat for a −128.
  Weights int8s(const std::string& tensor, const std::vector<std::int64_t>& shape) const;

  // A tensor's name for a message, in quotes, and what the file calls it where that differs.
  std::string shown(const std::string& tensor) const;

 private:
  const TensorView& find(const std::string& tensor, const std::vector<std::int64_t>& shape) const;
  Weights view_of(const TensorView& view) const;  // all but the pointer and the size
  [[noreturn]] void refuse_dtype(const std::string& tensor, const char* expected) const;
};

// Opens a file by its content, whatever its name, or the one in a folder of Hugging Face's
// (huggingface.h): safetensors, a zip archive of PyTorch's, a pickle
// of PyTorch's older format or of Paddle. Everything is checked against the bytes there are before
// memory is taken for it, and no name in a pickle is ever called (models/README.md). Tensors get
// timm's names. Unknown dtypes pass until floats() or int8s() is asked for one. Error(kFormat) for
// a file that is damaged or of another kind, kUnsupported for a pickle that names what is not on
// the list of pickle_names.cpp, kLimit for one that would take too much memory.
Checkpoint open_checkpoint(const std::string& path);

// The same from memory, of which floats() copies what is not aligned F32; it must stay valid
// as long as `owner` (which may be null when the caller guarantees it) or any Weights made from it.
Checkpoint open_checkpoint(const std::uint8_t* data, std::size_t size, std::string name,
                           std::shared_ptr<const void> owner);

// One reader a format: fills tensors and metadata from the bytes, by the file's names.
void read_safetensors(const std::uint8_t* data, std::size_t size, Checkpoint& checkpoint);
void read_torch_zip(const std::uint8_t* data, std::size_t size, Checkpoint& checkpoint);
void read_torch_legacy(const std::uint8_t* data, std::size_t size, Checkpoint& checkpoint);
void read_paddle(const pickle::Pickle& pickle, std::size_t size, Checkpoint& checkpoint);
bool is_torch_magic(const pickle::Pickle& pickle);  // the older format's first pickle

// A name from a file, fit for a message: in quotes, cut to 100 bytes, without control characters
// and as valid UTF-8.
std::string in_quotes(std::string_view text);

// "[32, 3, 4, 4]"
std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace convmixer
