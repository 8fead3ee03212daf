// SPDX-License-Identifier: Apache-2.0
// Paddle's .pdparams: one pickle, a dict of numpy arrays by name and, under
// StructuredToParameterName@@, a dict of names that nothing here needs. The bytes of an array lie
// in the pickle: as they are from protocol 3 on, as text to be encoded in Latin-1 before.
#include <fmt/format.h>

#include <utility>

#include "models/checkpoint.h"
#include "models/pickle_text.h"
#include "models/state_dict.h"
#include "models/torch_tensors.h"
#include "support/error.h"

namespace convmixer {
namespace {

using pickle::Kind;
using pickle::Pickle;
using pickle::Role;
using pickle::Value;

// The parts of an array, wherever numpy has put them.
struct Parts {
  const Value* shape = nullptr;
  const Value* dtype = nullptr;
  const Value* bytes = nullptr;
  bool column_major = false;
};

// Outside of a state dict Paddle writes a tensor as a tuple of its name and its array.
const Value& without_name(const Pickle& pickle, const Value& value) {
  const bool named = value.kind == Kind::kTuple && value.items.size() == 2 &&
                     pickle.item(value, 0)->kind == Kind::kText;
  return named ? *pickle.item(value, 1) : value;
}

bool is_array(const Pickle& pickle, const Value& value) {
  const Value& array = without_name(pickle, value);
  return array.kind == Kind::kCall &&
         (array.name->role == Role::kReconstruct || array.name->role == Role::kFromBuffer);
}

class ArrayReader {
 public:
  ArrayReader(const Pickle& pickle, MemoryLimit& limit) : pickle_(pickle), limit_(limit) {}

  TensorView read(const std::string& key, const Value& value) {
    key_ = key;
    const Parts parts = parts_of(without_name(pickle_, value));
    Strided strided;
    strided.dtype = dtype_of(parts.dtype);
    strided.shape = integers_of(pickle_, parts.shape, "the shape of an array");
    const Bytes bytes = bytes_of(parts.bytes);
    std::uint64_t expected = 0;
    if (!tensor_bytes(*strided.dtype, strided.shape, &expected) || expected != bytes.size) {
      fail(fmt::format("of shape {} of {}", shape_text(strided.shape), strided.dtype->name),
           fmt::format("{} bytes", bytes.size));
    }
    // Products of sizes are known to fit, but for those beside a 0.
    if (expected != 0)
      strided.strides = row_major_strides(strided.shape);
    else
      strided.strides.assign(strided.shape.size(), 0);
    if (parts.column_major && expected != 0) {
      std::int64_t stride = 1;
      for (std::size_t d = 0; d < strided.shape.size(); ++d) {
        strided.strides[d] = stride;
        stride *= strided.shape[d];
      }
    }
    return view_of(pickle_.where(), key, strided, bytes, limit_);
  }

 private:
  [[noreturn]] void fail(const std::string& expected, const std::string& found,
                         Code code = Code::kFormat) const {
    throw Error(code, fmt::format("{}: expected array {} {}, found {}", pickle_.where(),
                                  in_quotes(key_), expected, found));
  }

  Parts parts_of(const Value& array) const {
    Parts parts;
    if (array.name->role == Role::kFromBuffer) {  // (bytes, dtype, shape, order)
      parts.bytes = pickle_.item(array, 0);
      parts.dtype = pickle_.item(array, 1);
      parts.shape = pickle_.item(array, 2);
      const Value* order = pickle_.item(array, 3);
      parts.column_major = order != nullptr && order->text == "F";
      return parts;
    }
    // The state: (version, shape, dtype, is_fortran, bytes); very old ones begin with the shape.
    const Value& state = pickle_[array.state];
    if (state.kind != Kind::kTuple || state.items.size() < 4) {
      fail("with a state of 5 values", pickle_.describe(state));
    }
    const std::size_t first = state.items.size() - 4;
    parts.shape = pickle_.item(state, first);
    parts.dtype = pickle_.item(state, first + 1);
    parts.column_major = pickle_.item(state, first + 2)->integer != 0;
    parts.bytes = pickle_.item(state, first + 3);
    return parts;
  }

  // numpy.dtype('f4', …), whose state has the byte order; or '<f4'.
  const KnownDType* dtype_of(const Value* dtype) const {
    static constexpr struct {
      std::string_view numpy;
      const char* name;
    } kNames[] = {{"f4", "F32"}, {"f2", "F16"},  {"f8", "F64"}, {"i8", "I64"}, {"i4", "I32"},
                  {"i2", "I16"}, {"i1", "I8"},   {"u8", "U64"}, {"u4", "U32"}, {"u2", "U16"},
                  {"u1", "U8"},  {"b1", "BOOL"}, {"c8", "C64"}};
    const Value* text = nullptr;
    if (dtype != nullptr && dtype->kind == Kind::kCall && dtype->name->role == Role::kNumpyDType) {
      text = pickle_.item(*dtype, 0);
    }
    if (text == nullptr || text->kind != Kind::kText) {
      fail("with a numpy.dtype", pickle_.describe(dtype));
    }
    std::string_view name = text->text;
    const Value* order = pickle_.item(pickle_[dtype->state], 1);
    bool big_endian = order != nullptr && order->text == ">";
    if (!name.empty() && std::string_view("<>|=").find(name[0]) != std::string_view::npos) {
      big_endian |= name[0] == '>';
      name.remove_prefix(1);
    }
    if (big_endian) fail("in little-endian order", "big-endian", Code::kUnsupported);
    for (const auto& known : kNames) {
      if (name == known.numpy) return find_dtype(known.name);
    }
    fail("of numbers", "numpy's type " + in_quotes(name));
  }

  Bytes bytes_of(const Value* value) const {
    const auto in_file = [](std::string_view text) {
      return Bytes{reinterpret_cast<const std::uint8_t*>(text.data()), text.size(), nullptr};
    };
    if (value != nullptr && value->kind == Kind::kBytes) return in_file(value->text);
    if (value == nullptr || value->kind != Kind::kCall || value->name->role != Role::kEncode) {
      fail("with its bytes", pickle_.describe(value));
    }
    const Value* text = pickle_.item(*value, 0);
    const Value* encoding = pickle_.item(*value, 1);
    if (text == nullptr || text->kind != Kind::kText || encoding == nullptr ||
        (encoding->text != "latin1" && encoding->text != "latin-1")) {
      fail("with text in Latin-1", pickle_.describe(text) + " in " + pickle_.describe(encoding));
    }
    limit_.take(text->text.size(), key_);
    auto bytes = pickle::encode_latin1(text->text);
    if (!bytes) fail("with text in Latin-1", "other characters");
    return own_bytes(std::make_shared<const std::string>(std::move(*bytes)));
  }

  const Pickle& pickle_;
  MemoryLimit& limit_;
  std::string key_;
};

}  // namespace

void read_paddle(const pickle::Pickle& pickle, std::size_t size, Checkpoint& checkpoint) {
  if (pickle.bytes() != size) {
    throw Error(Code::kFormat,
                fmt::format("{}: expected the end of the file behind the pickle, found {} more "
                            "bytes",
                            checkpoint.name, size - pickle.bytes()));
  }
  MemoryLimit limit(checkpoint.name, size);
  ArrayReader reader(pickle, limit);
  for (const StateDictEntry& entry : find_state_dict(pickle, is_array)) {
    std::string key(entry.key);
    TensorView view = reader.read(key, *entry.value);
    checkpoint.tensors[std::move(key)] = std::move(view);
  }
}

}  // namespace convmixer
