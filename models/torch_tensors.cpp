// SPDX-License-Identifier: Apache-2.0
#include "models/torch_tensors.h"

#include <fmt/format.h>

#include "support/error.h"

namespace convmixer {
namespace {

using pickle::Kind;
using pickle::Pickle;
using pickle::Role;
using pickle::Value;

[[noreturn]] void wrong(const Pickle& pickle, std::string_view expected, const Value* found) {
  throw Error(Code::kFormat, fmt::format("{}: expected {}, found {}", pickle.where(), expected,
                                         pickle.describe(found)));
}

// The call that makes a tensor, inside those that make it a Parameter or a subclass's; null for
// other values. `arguments` becomes where its arguments are: those of _rebuild_from_type_v2 are one
// of its own.
const Value* tensor_call(const Pickle& pickle, const Value* value, const Value** arguments,
                         Role* role) {
  constexpr int kMaxInside = 4;
  for (int i = 0; i < kMaxInside && value != nullptr && value->kind == Kind::kCall; ++i) {
    *role = value->name->role;
    *arguments = value;
    if (*role == Role::kTensor || *role == Role::kTensorTyped) return value;
    if (*role == Role::kFromType) {
      const Value* function = pickle.item(*value, 0);
      *arguments = pickle.item(*value, 2);
      if (function == nullptr || function->kind != Kind::kName || *arguments == nullptr) return {};
      *role = function->name->role;
      if (*role == Role::kTensor || *role == Role::kTensorTyped) return value;
      if (*role != Role::kParameter) return nullptr;
      value = pickle.item(**arguments, 0);
    } else if (*role == Role::kParameter) {
      value = pickle.item(*value, 0);
    } else {
      return nullptr;
    }
  }
  return nullptr;
}

}  // namespace

std::int64_t integer_of(const Pickle& pickle, const Value* value, std::string_view what) {
  if (value == nullptr || value->kind != Kind::kInteger || !value->text.empty()) {
    wrong(pickle, fmt::format("{} to be an integer of 64 bits", what), value);
  }
  return value->integer;
}

std::vector<std::int64_t> integers_of(const Pickle& pickle, const Value* value,
                                      std::string_view what) {
  if (value == nullptr || (value->kind != Kind::kTuple && value->kind != Kind::kList)) {
    wrong(pickle, fmt::format("{} to be a tuple of integers", what), value);
  }
  if (value->items.size() > kMaxRank) {  // a memo can name a long one any number of times
    wrong(pickle, fmt::format("{} to be at most {} integers", what, kMaxRank), value);
  }
  std::vector<std::int64_t> integers;
  for (pickle::Ref ref : value->items) integers.push_back(integer_of(pickle, &pickle[ref], what));
  return integers;
}

TorchStorage torch_storage(const Pickle& pickle, const Value& persistent) {
  const Value* id = persistent.kind == Kind::kPersistent ? pickle.item(persistent, 0) : &persistent;
  const Value* tag = id->kind == Kind::kTuple ? pickle.item(*id, 0) : nullptr;
  if (tag == nullptr || tag->kind != Kind::kText || tag->text != "storage") {
    wrong(pickle, "a storage", id);
  }
  const Value* type = pickle.item(*id, 1);
  const Value* key = pickle.item(*id, 2);
  if (type == nullptr || type->kind != Kind::kName || type->name->role != Role::kStorage) {
    wrong(pickle, "the type of a storage", type);
  }
  if (key == nullptr || key->kind != Kind::kText) wrong(pickle, "the key of a storage", key);
  TorchStorage storage;
  storage.key = key->text;
  storage.dtype = find_dtype(type->name->dtype);
  const std::int64_t count = integer_of(pickle, pickle.item(*id, 4), "the size of a storage");
  if (!tensor_bytes(*storage.dtype, {count}, &storage.bytes)) {
    wrong(pickle, "the size of a storage, at least 0 and less than 2^61 bytes",
          pickle.item(*id, 4));
  }
  storage.count = static_cast<std::uint64_t>(count);
  const Value* view = pickle.item(*id, 5);
  if (view != nullptr && view->kind != Kind::kNone) {
    storage.view_offset = integer_of(pickle, pickle.item(*view, 1), "the offset of a view");
  }
  return storage;
}

bool is_torch_tensor(const Pickle& pickle, const Value& value) {
  const Value* arguments = nullptr;
  Role role{};
  return tensor_call(pickle, &value, &arguments, &role) != nullptr;
}

TorchTensor torch_tensor(const Pickle& pickle, const Value& value) {
  const Value* arguments = nullptr;
  Role role{};
  if (tensor_call(pickle, &value, &arguments, &role) == nullptr) {
    wrong(pickle, "a tensor", &value);
  }
  const Value* storage = pickle.item(*arguments, 0);
  if (storage == nullptr) wrong(pickle, "the storage of a tensor", storage);
  TorchTensor tensor;
  tensor.storage = torch_storage(pickle, *storage);
  Strided& strided = tensor.strided;
  strided.dtype = tensor.storage.dtype;
  strided.offset = integer_of(pickle, pickle.item(*arguments, 1), "the offset of a tensor");
  strided.shape = integers_of(pickle, pickle.item(*arguments, 2), "the shape of a tensor");
  strided.strides = integers_of(pickle, pickle.item(*arguments, 3), "the strides of a tensor");
  if (role == Role::kTensorTyped) {
    const Value* type = pickle.item(*arguments, 6);
    if (type == nullptr || type->kind != Kind::kName || type->name->role != Role::kDType) {
      wrong(pickle, "the dtype of a tensor", type);
    }
    strided.dtype = find_dtype(type->name->dtype);
  }
  if (__builtin_add_overflow(strided.offset, tensor.storage.view_offset, &strided.offset) ||
      tensor.storage.view_offset < 0) {
    wrong(pickle, "the offset of a tensor, at least 0 and below 2^63", pickle.item(*arguments, 1));
  }
  return tensor;
}

}  // namespace convmixer
