// SPDX-License-Identifier: Apache-2.0
// safetensors: the length of the header (8 bytes, little-endian), the header (a JSON object,
// perhaps followed by spaces), the data. The header is read by events, not into a tree: what does
// not belong is refused where it stands, so neither deep nesting nor a long list costs memory or
// stack.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "models/checkpoint.h"
#include "support/error.h"

namespace convmixer {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kMaxRank = 32;

struct Range {
  std::uint64_t begin, end;
  const std::string* tensor;
};

using Json = nlohmann::json;

class HeaderReader final : public nlohmann::json_sax<Json> {
 public:
  HeaderReader(const std::uint8_t* data, std::uint64_t size, Checkpoint& checkpoint)
      : data_(data), size_(size), checkpoint_(checkpoint) {}

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a truth value"); }
  bool number_integer(number_integer_t value) override { unexpected(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { unexpected(in_quotes(text)); }
  bool binary(binary_t&) override { unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (in_ == In::kShape) {
      if (value > static_cast<std::uint64_t>(INT64_MAX)) unexpected(std::to_string(value));
      if (shape_->size() == kMaxRank) unexpected("more than 32 of them");
      shape_->push_back(static_cast<std::int64_t>(value));
    } else if (in_ == In::kOffsets) {
      if (offsets_->size() == 2) unexpected("more than two numbers");
      offsets_->push_back(value);
    } else {
      unexpected(std::to_string(value));
    }
    return true;
  }

  bool string(string_t& text) override {
    if (in_ == In::kMetadata) {
      checkpoint_.metadata[field_] = std::move(text);
    } else if (in_ == In::kTensor && field_ == "dtype") {
      dtype_ = std::move(text);
    } else {
      unexpected("the text " + in_quotes(text));
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (in_ == In::kNothing) {
      in_ = In::kHeader;
    } else if (in_ == In::kHeader) {
      in_ = name_ == kMetadataKey ? In::kMetadata : In::kTensor;
      dtype_.reset();
      shape_.reset();
      offsets_.reset();
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool key(string_t& text) override {
    if (in_ == In::kHeader) {
      if (checkpoint_.tensors.count(text) != 0 || (text == kMetadataKey && metadata_seen_)) {
        fail(fmt::format("expected each name once, found {} twice", in_quotes(text)));
      }
      metadata_seen_ |= text == kMetadataKey;
      name_ = std::move(text);
      return true;
    }
    field_ = std::move(text);
    if (in_ == In::kMetadata) {
      if (checkpoint_.metadata.count(field_) != 0) {
        fail(fmt::format("expected each key of __metadata__ once, found {} twice",
                         in_quotes(field_)));
      }
      return true;
    }
    const bool known = field_ == "dtype" || field_ == "shape" || field_ == "data_offsets";
    const bool again = (field_ == "dtype" && dtype_) || (field_ == "shape" && shape_) ||
                       (field_ == "data_offsets" && offsets_);
    if (!known || again) {
      fail(fmt::format("expected dtype, shape and data_offsets of tensor {} once each, found {}{}",
                       in_quotes(name_), in_quotes(field_), again ? " twice" : ""));
    }
    return true;
  }

  bool end_object() override {
    if (in_ == In::kTensor) add_tensor();
    in_ = in_ == In::kHeader ? In::kNothing : In::kHeader;
    return true;
  }

  bool start_array(std::size_t) override {
    if (in_ == In::kTensor && field_ == "shape") {
      shape_.emplace();
      in_ = In::kShape;
    } else if (in_ == In::kTensor && field_ == "data_offsets") {
      offsets_.emplace();
      in_ = In::kOffsets;
    } else {
      unexpected("a list");
    }
    return true;
  }

  bool end_array() override {
    in_ = In::kTensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const Json::exception&) override {
    fail(fmt::format("expected a header of valid JSON, found an error at its byte {}", position));
  }

  // The ranges must tile the data: no overlap, no hole, nothing behind the last one. The format
  // demands it, so that a file has no place to hide bytes in.
  void check_ranges() {
    std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    std::uint64_t end = 0;
    for (const Range& range : ranges_) {
      if (range.begin != end) {
        fail(
            fmt::format("expected tensor {} to begin at byte {} of the data, where the one before "
                        "ends, found {} ({})",
                        in_quotes(*range.tensor), end, range.begin,
                        range.begin < end ? "an overlap" : "a hole"));
      }
      end = range.end;
    }
    if (end != size_) {
      fail(fmt::format("expected {} bytes of data, as the tensors need, found {}", end, size_));
    }
  }

 private:
  static constexpr const char* kMetadataKey = "__metadata__";
  enum class In { kNothing, kHeader, kMetadata, kTensor, kShape, kOffsets };

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(Code::kFormat, checkpoint_.name + ": " + what);
  }

  [[noreturn]] void unexpected(const std::string& found) const {
    std::string expected;
    if (in_ == In::kNothing) {
      expected = "the header to be a JSON object";
    } else if (in_ == In::kHeader) {
      expected =
          (name_ == kMetadataKey ? name_ : "tensor " + in_quotes(name_)) + " to be an object";
    } else if (in_ == In::kMetadata) {
      expected = fmt::format("key {} of {} to be text", in_quotes(field_), kMetadataKey);
    } else {
      expected = fmt::format("the {} of tensor {} to be {}", field_, in_quotes(name_),
                             field_ == "dtype"   ? "text"
                             : field_ == "shape" ? "a list of non-negative integers"
                                                 : "two non-negative integers");
    }
    fail(fmt::format("expected {}, found {}", expected, found));
  }

  void add_tensor() {
    if (!dtype_ || !shape_ || !offsets_ || offsets_->size() != 2) {
      fail(fmt::format("expected dtype, shape and two data_offsets of tensor {}, found {}",
                       in_quotes(name_),
                       !dtype_     ? "no dtype"
                       : !shape_   ? "no shape"
                       : !offsets_ ? "no data_offsets"
                                   : "fewer than two data_offsets"));
    }
    const std::uint64_t begin = (*offsets_)[0], end = (*offsets_)[1];
    if (begin > end || end > size_) {
      fail(fmt::format("expected tensor {} inside the {} bytes of data, found bytes {} to {}{}",
                       in_quotes(name_), size_, begin, end,
                       begin > end ? "" : "; the file may be truncated"));
    }
    const KnownDType* known = find_dtype(*dtype_);
    if (known != nullptr) check_size(*known, end - begin);

    TensorView view;
    view.dtype = known != nullptr ? known->dtype : DType::kOther;
    view.dtype_name = std::move(*dtype_);
    view.shape = std::move(*shape_);
    view.data = data_ + begin;
    view.bytes = end - begin;
    const auto added = checkpoint_.tensors.emplace(name_, std::move(view)).first;
    ranges_.push_back({begin, end, &added->first});
  }

  void check_size(const KnownDType& dtype, std::uint64_t found) const {
    std::uint64_t bytes = 0;
    if (!tensor_bytes(dtype, *shape_, &bytes)) {
      fail(
          fmt::format("expected tensor {} to be a whole number of bytes below 2^61, found shape "
                      "{} of {}",
                      in_quotes(name_), shape_text(*shape_), dtype.name));
    }
    if (bytes != found) {
      fail(fmt::format("expected {} bytes of tensor {}, which is {} of {}, found {}", bytes,
                       in_quotes(name_), shape_text(*shape_), dtype.name, found));
    }
  }

  const std::uint8_t* data_;
  std::uint64_t size_;
  Checkpoint& checkpoint_;
  In in_ = In::kNothing;
  bool metadata_seen_ = false;
  std::string name_;   // the tensor, or __metadata__
  std::string field_;  // the key inside it
  std::optional<std::string> dtype_;
  std::optional<std::vector<std::int64_t>> shape_;
  std::optional<std::vector<std::uint64_t>> offsets_;
  std::vector<Range> ranges_;
};

}  // namespace

void read_safetensors(const std::uint8_t* data, std::size_t size, Checkpoint& checkpoint) {
  const auto fail = [&](Code code, const std::string& what) {
    throw Error(code, checkpoint.name + ": " + what);
  };
  if (size < kLengthBytes) {
    fail(Code::kFormat,
         fmt::format("expected a safetensors, PyTorch or Paddle file of at least 8 bytes, found {}",
                     size));
  }
  std::uint64_t length;
  std::memcpy(&length, data, kLengthBytes);
  const std::uint8_t* header = data + kLengthBytes;
  const std::size_t behind = size - kLengthBytes;
  if (behind == 0 || length == 0 || header[0] != '{') {
    fail(Code::kFormat,
         behind == 0
             ? "expected a safetensors header, found the end of the file"
             : "expected a safetensors, PyTorch or Paddle file, found another kind of file");
  }
  if (length > behind) {
    fail(Code::kFormat,
         fmt::format("expected a header of {} bytes, found {}; the file may be truncated", length,
                     behind));
  }
  if (length > kMaxHeaderBytes) {
    fail(Code::kLimit,
         fmt::format("expected a header of at most {} bytes, found {}", kMaxHeaderBytes, length));
  }
  // The JSON parser takes a zero byte for the end of its text and would not look behind it.
  if (const void* zero = std::memchr(header, 0, length)) {
    fail(Code::kFormat, fmt::format("expected a header of valid JSON, found a zero at its byte {}",
                                    static_cast<const std::uint8_t*>(zero) - header));
  }
  HeaderReader reader(header + length, behind - length, checkpoint);
  Json::sax_parse(header, header + length, &reader);
  reader.check_ranges();
}

}  // namespace convmixer
