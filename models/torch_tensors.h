// SPDX-License-Identifier: Apache-2.0
// How PyTorch's two formats describe tensors in their pickles.
#pragma once

#include <cstdint>
#include <string_view>

#include "models/pickle.h"
#include "models/strided.h"

namespace convmixer {

// A persistent id. A view (of the non-zip format) is a part of the storage, counted in values.
struct TorchStorage {
  std::string_view key;
  const KnownDType* dtype = nullptr;
  std::uint64_t count = 0;  // of values
  std::uint64_t bytes = 0;
  std::int64_t view_offset = 0;
};
// Error(kFormat), with what `pickle` is called, for anything else.
TorchStorage torch_storage(const pickle::Pickle& pickle, const pickle::Value& persistent);

struct TorchTensor {
  TorchStorage storage;
  Strided strided;
};
bool is_torch_tensor(const pickle::Pickle& pickle, const pickle::Value& value);
TorchTensor torch_tensor(const pickle::Pickle& pickle, const pickle::Value& value);

// The integer that `value`, which is `what`, must be.
std::int64_t integer_of(const pickle::Pickle& pickle, const pickle::Value* value,
                        std::string_view what);
// A tuple or list of integers.
std::vector<std::int64_t> integers_of(const pickle::Pickle& pickle, const pickle::Value* value,
                                      std::string_view what);

}  // namespace convmixer
