// SPDX-License-Identifier: Apache-2.0
// The names that a pickle may use: an allow-list, and what each stands for.
#pragma once

#include <cstdint>
#include <string_view>

namespace convmixer::pickle {

// What calling a name gives. Nothing is ever called: a call becomes a Value that says what it is.
enum class Role : std::uint8_t {
  kInert,        // an object that nothing reads
  kDict,         // a dict, whatever the arguments but pairs
  kSequence,     // a tuple of the one argument's items
  kTensor,       // torch: (storage, offset, shape, strides, …)
  kTensorTyped,  // the same with the dtype at index 6; the storage is bytes
  kParameter,    // torch: (tensor, …)
  kFromType,     // torch: (function, type, arguments, state)
  kStorage,      // torch: a storage's type; `dtype` says of what
  kDType,        // torch: `dtype`
  kReconstruct,  // numpy: an array, which the state fills
  kFromBuffer,   // numpy: (bytes, dtype, shape, order)
  kNumpyDType,   // numpy: (text, …), with the byte order in the state
  kEncode,       // (text, encoding): bytes
};

struct Name {
  std::string_view full;  // "module.name"
  Role role;
  const char* dtype;  // safetensors' name; null but for kStorage and kDType
};

// Null: not on the list.
const Name* find_name(std::string_view module, std::string_view name);

}  // namespace convmixer::pickle
