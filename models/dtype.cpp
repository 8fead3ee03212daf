// SPDX-License-Identifier: Apache-2.0
#include "models/dtype.h"

namespace convmixer {
namespace {

// clang-format off
constexpr KnownDType kDTypes[] = {
    {"F32", DType::kF32, 32},          {"F16", DType::kF16, 16},
    {"BF16", DType::kBF16, 16},        {"F64", DType::kF64, 64},
    {"I64", DType::kOther, 64},        {"U64", DType::kOther, 64},
    {"I32", DType::kOther, 32},        {"U32", DType::kOther, 32},
    {"I16", DType::kOther, 16},        {"U16", DType::kOther, 16},
    {"I8", DType::kI8, 8},             {"U8", DType::kOther, 8},
    {"BOOL", DType::kOther, 8},        {"C64", DType::kOther, 64},
    {"F8_E4M3", DType::kOther, 8},     {"F8_E5M2", DType::kOther, 8},
    {"F8_E4M3FNUZ", DType::kOther, 8}, {"F8_E5M2FNUZ", DType::kOther, 8},
    {"F8_E8M0", DType::kOther, 8},     {"F6_E2M3", DType::kOther, 6},
    {"F6_E3M2", DType::kOther, 6},     {"F4", DType::kOther, 4}};
// clang-format on

}  // namespace

const KnownDType* find_dtype(std::string_view name) {
  for (const KnownDType& known : kDTypes) {
    if (name == known.name) return &known;
  }
  return nullptr;
}

bool tensor_bytes(const KnownDType& dtype, const std::vector<std::int64_t>& shape,
                  std::uint64_t* bytes) {
  std::uint64_t bits = dtype.bits;
  bool overflow = false;
  for (std::int64_t extent : shape) {
    overflow |= extent < 0;
    overflow |= __builtin_mul_overflow(bits, static_cast<std::uint64_t>(extent), &bits);
  }
  *bytes = bits / 8;
  return !overflow && bits % 8 == 0;
}

}  // namespace convmixer
