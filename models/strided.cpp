// SPDX-License-Identifier: Apache-2.0
#include "models/strided.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "support/error.h"

namespace convmixer {
namespace {

// Copies the values in row-major order; there is at least one.
std::shared_ptr<const std::string> gather(const std::uint8_t* first, std::size_t value_bytes,
                                          const std::vector<std::int64_t>& shape,
                                          const std::vector<std::int64_t>& strides,
                                          std::uint64_t bytes) {
  auto gathered = std::make_shared<std::string>(bytes, '\0');
  std::vector<std::int64_t> index(shape.size(), 0);
  std::int64_t at = 0;
  for (std::size_t done = 0; done < bytes; done += value_bytes) {
    std::memcpy(gathered->data() + done, first + static_cast<std::size_t>(at) * value_bytes,
                value_bytes);
    for (std::size_t d = shape.size(); d-- > 0;) {  // the next index: the last one runs fastest
      at += strides[d];
      if (++index[d] < shape[d]) break;
      at -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
  return gathered;
}

// The place behind the last value; false where it is beyond 64 bits or something is negative.
bool end_of(const Strided& strided, std::int64_t* end) {
  std::int64_t last = strided.offset;
  bool bad = strided.offset < 0;
  for (std::size_t d = 0; d < strided.shape.size(); ++d) {
    std::int64_t reach = 0;
    bad |= strided.strides[d] < 0 || strided.shape[d] < 1;
    bad |= __builtin_mul_overflow(strided.strides[d], strided.shape[d] - 1, &reach);
    bad |= __builtin_add_overflow(last, reach, &last);
  }
  bad |= __builtin_add_overflow(last, 1, end);
  return !bad;
}

// A size of 1 may have any stride.
bool is_row_major(const Strided& strided) {
  const std::vector<std::int64_t> wanted = row_major_strides(strided.shape);
  for (std::size_t d = 0; d < wanted.size(); ++d) {
    if (strided.shape[d] != 1 && strided.strides[d] != wanted[d]) return false;
  }
  return true;
}

}  // namespace

Bytes own_bytes(std::shared_ptr<const std::string> bytes) {
  return {reinterpret_cast<const std::uint8_t*>(bytes->data()), bytes->size(), bytes};
}

MemoryLimit::MemoryLimit(std::string file, std::size_t file_bytes)
    : file_(std::move(file)),
      limit_(std::max<std::uint64_t>(kAlways, kFactor * file_bytes)),
      left_(limit_) {}

void MemoryLimit::take(std::uint64_t bytes, std::string_view what) {
  if (bytes > left_) {
    throw Error(Code::kLimit,
                fmt::format("{}: expected tensors of at most {} bytes in all, {} times the file "
                            "or 64 MiB, found {} of {} bytes when {} were left",
                            file_, limit_, kFactor, in_quotes(what), bytes, left_));
  }
  left_ -= bytes;
}

std::vector<std::int64_t> row_major_strides(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
  return strides;
}

TensorView view_of(const std::string& file, const std::string& tensor, const Strided& strided,
                   const Bytes& storage, MemoryLimit& limit) {
  const auto fail = [&](const std::string& expected, const std::string& found) {
    throw Error(Code::kFormat, fmt::format("{}: expected tensor {} {}, found {}", file,
                                           in_quotes(tensor), expected, found));
  };
  std::uint64_t bytes = 0;
  if (strided.shape.size() > kMaxRank || strided.shape.size() != strided.strides.size()) {
    fail(fmt::format("of at most {} sizes, each with its stride", kMaxRank),
         fmt::format("{} sizes and {} strides", strided.shape.size(), strided.strides.size()));
  }
  if (!tensor_bytes(*strided.dtype, strided.shape, &bytes)) {
    fail("to have sizes that are not negative, and less than 2^61 bytes",
         "shape " + shape_text(strided.shape));
  }
  TensorView view;
  view.dtype = strided.dtype->dtype;
  view.dtype_name = strided.dtype->name;
  view.shape = strided.shape;
  view.bytes = bytes;
  view.owner = storage.owner;
  if (bytes == 0) return view;
  const std::size_t value_bytes = strided.dtype->bits / 8;
  std::int64_t end = 0;
  if (!end_of(strided, &end) || static_cast<std::uint64_t>(end) > storage.size / value_bytes) {
    fail(fmt::format("inside its storage of {} bytes", storage.size),
         fmt::format("shape {}, strides {}, offset {} of {}", shape_text(strided.shape),
                     shape_text(strided.strides), strided.offset, strided.dtype->name));
  }
  limit.take(bytes, tensor);
  view.data = storage.data + static_cast<std::size_t>(strided.offset) * value_bytes;
  if (!is_row_major(strided)) {
    const Bytes gathered =
        own_bytes(gather(view.data, value_bytes, strided.shape, strided.strides, bytes));
    view.data = gathered.data;
    view.owner = gathered.owner;
  }
  return view;
}

TensorView transposed(const TensorView& matrix) {
  TensorView view = matrix;
  view.shape = {matrix.shape.at(1), matrix.shape.at(0)};
  if (matrix.bytes == 0) return view;
  const auto values = static_cast<std::size_t>(view.shape[0] * view.shape[1]);
  const Bytes gathered = own_bytes(
      gather(matrix.data, matrix.bytes / values, view.shape, {1, matrix.shape[1]}, matrix.bytes));
  view.data = gathered.data;
  view.owner = gathered.owner;
  return view;
}

}  // namespace convmixer
