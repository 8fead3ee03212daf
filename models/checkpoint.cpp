// SPDX-License-Identifier: Apache-2.0
#include "models/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "models/huggingface.h"
#include "models/pickle.h"
#include "support/error.h"

namespace convmixer {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensors are read as they lie in the file");

template <typename T>
T load(const std::uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));  // the bytes need not be aligned
  return value;
}

// All 65,536 values are exact in float. Subnormals go by integer, so that the result does not
// depend on the caller's flush-to-zero mode; no branches, so that the loop vectorises.
float from_f16(const std::uint8_t* bytes) {
  const std::uint32_t half = load<std::uint16_t>(bytes);
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 31;
  const std::uint32_t fraction = half & 0x3ffu;
  const float subnormal = static_cast<float>(static_cast<std::int32_t>(fraction)) * 0x1p-24f;
  const std::uint32_t rebased = exponent == 31 ? 255 : exponent + (127 - 15);
  const std::uint32_t normal = rebased << 23 | fraction << 13;
  return std::bit_cast<float>(sign |
                              (exponent == 0 ? std::bit_cast<std::uint32_t>(subnormal) : normal));
}

float from_bf16(const std::uint8_t* bytes) {
  return std::bit_cast<float>(std::uint32_t{load<std::uint16_t>(bytes)} << 16);
}

float from_f32(const std::uint8_t* bytes) { return load<float>(bytes); }

// Values beyond float's range become infinite, as in every framework.
float from_f64(const std::uint8_t* bytes) { return static_cast<float>(load<double>(bytes)); }

template <float (*kConvert)(const std::uint8_t*)>
std::vector<float> convert(const TensorView& tensor, std::size_t element_bytes) {
  std::vector<float> values(tensor.bytes / element_bytes);
  const std::uint8_t* src = tensor.data;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = kConvert(src + i * element_bytes);
  return values;
}

std::uint64_t first_bytes(const std::uint8_t* data) { return load<std::uint64_t>(data); }

bool begins_with(const std::uint8_t* data, std::size_t size, std::string_view bytes) {
  return size >= bytes.size() && std::memcmp(data, bytes.data(), bytes.size()) == 0;
}

bool looks_like_zip(const std::uint8_t* data, std::size_t size) {
  return begins_with(data, size, "PK\3\4") || begins_with(data, size, "PK\5\6");
}

// Since protocol 2 a pickle begins with 0x80 and the protocol; before, these have a dict in front.
bool looks_like_pickle(const std::uint8_t* data, std::size_t size) {
  constexpr std::string_view kOlder[] = {"(dp", "}q", "ccollections\n"};
  for (std::string_view text : kOlder) {
    if (begins_with(data, size, text)) return true;
  }
  return size >= 2 && data[0] == 0x80 && data[1] >= 2 && data[1] <= 5;
}

// A safetensors file begins with the length of its header, whose low bytes may well spell "PK" or
// begin with 0x80: so the header's brace is looked for first.
bool looks_like_safetensors(const std::uint8_t* data, std::size_t size) {
  return size > 8 && data[8] == '{' && first_bytes(data) <= kMaxHeaderBytes;
}

void read(const std::uint8_t* data, std::size_t size, Checkpoint& checkpoint) {
  if (size == 0) {
    throw Error(Code::kFormat,
                fmt::format("{}: expected a checkpoint, found an empty file", checkpoint.name));
  }
  if (looks_like_safetensors(data, size)) {
    read_safetensors(data, size, checkpoint);
  } else if (looks_like_zip(data, size)) {
    read_torch_zip(data, size, checkpoint);
  } else if (looks_like_pickle(data, size)) {
    const pickle::Pickle pickle(checkpoint.name, data, size);
    if (is_torch_magic(pickle)) {
      read_torch_legacy(data, size, checkpoint);
    } else {
      read_paddle(pickle, size, checkpoint);
    }
  } else {
    read_safetensors(data, size, checkpoint);  // which says what is wrong with it
  }
  rename_keys(checkpoint);
  const auto lies_in_file = [](const auto& tensor) { return tensor.second.owner == nullptr; };
  if (std::none_of(checkpoint.tensors.begin(), checkpoint.tensors.end(), lies_in_file)) {
    checkpoint.map.reset();  // everything is unpacked: the file's pages are not needed beside it
    checkpoint.owner.reset();
  }
}

// The bytes of the UTF-8 sequence that begins at `at`; 0 where it is none.
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned lead = byte(0);
  const std::size_t length = lead < 0x80                   ? 1
                             : lead >= 0xc2 && lead < 0xe0 ? 2
                             : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xf0 && lead < 0xf5 ? 4
                                                           : 0;
  if (length == 0 || length > text.size() - at) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Encodings that are too long, surrogates, and what lies beyond U+10FFFF.
  const bool bad =
      length > 2 && ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) >= 0xa0) ||
                     (lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) >= 0x90));
  return bad ? 0 : length;
}

}  // namespace

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kMaxShown = 100;
  std::string result = "'";
  std::size_t at = 0;
  while (at < text.size()) {
    const auto code = static_cast<unsigned char>(text[at]);
    const std::size_t length = utf8_length(text, at);
    const std::size_t taken = std::max<std::size_t>(length, 1);
    if (at + taken > kMaxShown) break;
    const bool plain = length > 0 && code >= 0x20 && code != 0x7f;
    result += plain ? text.substr(at, length) : std::string_view("?");
    at += taken;
  }
  result += at < text.size() ? "…'" : "'";
  return result;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

const TensorView& Checkpoint::find(const std::string& tensor,
                                   const std::vector<std::int64_t>& shape) const {
  const auto found = tensors.find(tensor);
  if (found == tensors.end()) {
    throw Error(Code::kFormat, fmt::format("{}: expected tensor {} of shape {}, found none", name,
                                           shown(tensor), shape_text(shape)));
  }
  if (found->second.shape != shape) {
    throw Error(Code::kFormat,
                fmt::format("{}: expected tensor {} of shape {}, found shape {}", name,
                            shown(tensor), shape_text(shape), shape_text(found->second.shape)));
  }
  return found->second;
}

Weights Checkpoint::view_of(const TensorView& view) const {
  Weights weights;
  weights.owner = view.owner != nullptr ? view.owner : owner;
  weights.map = view.owner != nullptr ? nullptr : map;
  return weights;
}

void Checkpoint::refuse_dtype(const std::string& tensor, const char* expected) const {
  throw Error(Code::kFormat,
              fmt::format("{}: expected tensor {} of dtype {}, found {}", name, shown(tensor),
                          expected, in_quotes(tensors.at(tensor).dtype_name)));
}

Weights Checkpoint::floats(const std::string& tensor,
                           const std::vector<std::int64_t>& shape) const {
  const TensorView& view = find(tensor, shape);
  Weights weights;
  switch (view.dtype) {
    case DType::kF32:
      if (reinterpret_cast<std::uintptr_t>(view.data) % alignof(float) == 0) {
        weights = view_of(view);
        weights.data = reinterpret_cast<const float*>(view.data);
        weights.size = view.bytes / sizeof(float);
        return weights;
      }
      weights = Weights::own(convert<from_f32>(view, 4));
      break;
    case DType::kF16:
      weights = Weights::own(convert<from_f16>(view, 2));
      break;
    case DType::kBF16:
      weights = Weights::own(convert<from_bf16>(view, 2));
      break;
    case DType::kF64:
      weights = Weights::own(convert<from_f64>(view, 8));
      break;
    case DType::kI8:
    case DType::kOther:
      refuse_dtype(tensor, "F32, F16, BF16 or F64");
  }
  if (map != nullptr && view.owner == nullptr) map->let_go(view.data, view.bytes);
  return weights;
}

Weights Checkpoint::int8s(const std::string& tensor, const std::vector<std::int64_t>& shape) const {
  const TensorView& view = find(tensor, shape);
  if (view.dtype != DType::kI8) refuse_dtype(tensor, "I8");
  Weights weights = view_of(view);
  weights.int8s = reinterpret_cast<const std::int8_t*>(view.data);
  weights.size = view.bytes;
  if (view.bytes > 0 && std::memchr(view.data, 0x80, view.bytes) != nullptr) {
    throw Error(Code::kFormat,
                fmt::format("{}: expected values of -127 to 127 in tensor {}, found -128", name,
                            shown(tensor)));
  }
  weights.let_go();
  return weights;
}

std::string Checkpoint::shown(const std::string& tensor) const {
  const std::string in_file = key_names.in_file(tensor);
  if (in_file == tensor) return in_quotes(tensor);
  return fmt::format("{} ({} in the file)", in_quotes(tensor), in_quotes(in_file));
}

Checkpoint open_checkpoint(const std::string& path) {
  if (is_folder(path)) return open_huggingface(path);
  Checkpoint checkpoint;
  checkpoint.name = path;
  checkpoint.map = std::make_shared<const FileMap>(path);
  checkpoint.owner = checkpoint.map;
  read(checkpoint.map->data(), checkpoint.map->size(), checkpoint);
  return checkpoint;
}

Checkpoint open_checkpoint(const std::uint8_t* data, std::size_t size, std::string name,
                           std::shared_ptr<const void> owner) {
  Checkpoint checkpoint;
  checkpoint.name = std::move(name);
  checkpoint.owner = std::move(owner);
  read(data, size, checkpoint);
  return checkpoint;
}

}  // namespace convmixer
