// SPDX-License-Identifier: Apache-2.0
// From where a format keeps a tensor's values to the row-major bytes of a TensorView.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/checkpoint.h"

namespace convmixer {

// Bytes of the file, or such as were decompressed from it, which `owner` keeps then.
struct Bytes {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  std::shared_ptr<const void> owner;  // null: the checkpoint's bytes
};
Bytes own_bytes(std::shared_ptr<const std::string> bytes);

// What the tensors of a file may take in all. Zip archives compress up to a thousandfold, and any
// number of tensors may share a storage; trained weights do not shrink by a tenth.
class MemoryLimit {
 public:
  MemoryLimit(std::string file, std::size_t file_bytes);
  // Error(kLimit), naming the tensor or storage, where that is more than is left.
  void take(std::uint64_t bytes, std::string_view what);

  static constexpr std::uint64_t kFactor = 100, kAlways = std::uint64_t{64} << 20;

 private:
  std::string file_;
  std::uint64_t limit_, left_;
};

constexpr std::size_t kMaxRank = 32;  // as in numpy 1; of a tensor in a pickle

// Values of one type in a storage, counted in values. Strides may be in any order, or 0.
struct Strided {
  const KnownDType* dtype = nullptr;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape, strides;
};

std::vector<std::int64_t> row_major_strides(const std::vector<std::int64_t>& shape);

// The tensor as a view into the storage where its values lie in order there, else gathered.
// Error(kFormat), naming file and tensor, for negative or too large sizes and strides, and where a
// value would lie outside the storage.
TensorView view_of(const std::string& file, const std::string& tensor, const Strided& strided,
                   const Bytes& storage, MemoryLimit& limit);

// A matrix's transpose, gathered.
TensorView transposed(const TensorView& matrix);

}  // namespace convmixer
