// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace convmixer {

// The dtypes that Checkpoint::floats() reads, and that of its int8s(); all others, known or not,
// are kOther.
enum class DType : std::uint8_t { kF32, kF16, kBF16, kF64, kI8, kOther };

// A dtype by safetensors' name, which the other formats' readers use for theirs as well.
struct KnownDType {
  const char* name;
  DType dtype;
  unsigned bits;
};

const KnownDType* find_dtype(std::string_view name);  // null: not known

// The bytes of a tensor. False where they are no whole number, or not below 2^61.
bool tensor_bytes(const KnownDType& dtype, const std::vector<std::int64_t>& shape,
                  std::uint64_t* bytes);

}  // namespace convmixer
