// SPDX-License-Identifier: Apache-2.0
// Reads pickles (protocols 0 to 5) into plain values. Nothing in a file is ever called or
// imported: a name that is not on the list of pickle_names.h is an error that says the name, and a
// call of one that is becomes a Value that holds the name and the arguments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "models/pickle_names.h"

namespace convmixer::pickle {

// Where a value stands in its pickle. Values refer to each other by place, cycles too, and lie in
// one array: no depth of nesting costs stack, neither while reading nor when they are destroyed.
using Ref = std::uint32_t;

enum class Kind : std::uint8_t {
  kNone,
  kBool,        // integer
  kInteger,     // integer; of more than 64 bits: text has its bytes, little-endian
  kReal,        // its value is of no interest here
  kText,        // text, as the file has it: UTF-8 is not checked
  kBytes,       // text
  kTuple,       // items
  kList,        // items
  kSet,         // items
  kDict,        // items: key, value, key, value, …
  kName,        // name
  kCall,        // name, and items: the arguments, a tuple
  kPersistent,  // items: the persistent id, which is what torch has for a storage
};

struct Value {
  Kind kind = Kind::kNone;
  const Name* name = nullptr;
  std::int64_t integer = 0;
  std::string_view text;  // into the file, or into the Pickle
  std::vector<Ref> items;
  Ref state = 0;  // what BUILD gave it; 0 is None
};

// A step is an opcode; each makes at most one value. So memory is bounded by about 100 bytes a
// step, whatever the file says, and 4,000,000 of them are ten thousand times what 1,000 tensors
// with their optimizer's state need.
constexpr std::size_t kMaxSteps = 4'000'000;

class Pickle {
 public:
  // Reads the pickle that begins at `data`, which must outlive the object. `where` begins the
  // messages. Error(kFormat) for what is no pickle, kUnsupported for a name that is not on the
  // list, kLimit for more than kMaxSteps.
  Pickle(std::string where, const std::uint8_t* data, std::size_t size);

  const Value& root() const { return (*this)[root_]; }
  Ref root_ref() const { return root_; }
  std::size_t bytes() const { return bytes_; }  // of the pickle itself
  const Value& operator[](Ref ref) const { return values_[ref]; }
  const std::deque<Value>& values() const { return values_; }
  const std::string& where() const { return where_; }

  // The item of a tuple or list, or an argument of a call; null where there is none.
  const Value* item(const Value& value, std::size_t index) const;
  // The value of a dict's key, the last where it is given twice; null where there is none.
  const Value* find(const Value& dict, std::string_view key) const;

  // "a list of 3", "the text 'x'", "a call of torch.Size", for messages.
  std::string describe(const Value& value) const;
  std::string describe(const Value* value) const;  // null: "nothing"

 private:
  friend class Machine;
  std::string where_;
  std::deque<Value> values_;
  std::deque<std::string> texts_;  // those that the file spells with escapes
  Ref root_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace convmixer::pickle
