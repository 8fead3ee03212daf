// SPDX-License-Identifier: Apache-2.0
// What the opcodes of a pickle work on: its bytes, a stack with marks, a memo, and the values made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/pickle.h"
#include "support/error.h"

namespace convmixer::pickle {

constexpr Ref kNone = 0, kFalse = 1, kTrue = 2;  // there from the beginning

// Every function throws Error where the bytes do not allow what it is asked for.
class Machine {
 public:
  Machine(Pickle& pickle, const std::uint8_t* data, std::size_t size);

  // --- Bytes: each count is compared with those that are left --------------------------------
  const std::uint8_t* take(std::uint64_t count);
  std::string_view take_text(std::uint64_t count);
  std::uint64_t little_endian(int count);  // a number of that many bytes
  std::string_view line();                 // up to the next end of line, which is taken too
  std::uint64_t decimal(std::string_view digits) const;
  std::size_t left() const { return size_ - at_; }

  // --- The stack; nothing but what looks for a mark reaches below the last one ----------------
  void push(Ref ref) { stack_.push_back(ref); }
  Ref top() const;
  Ref pop();
  std::vector<Ref> pop_many(std::size_t count);
  void mark() { marks_.push_back(stack_.size()); }
  std::vector<Ref> pop_to_mark();

  // --- The memo -------------------------------------------------------------------------------
  void put(std::uint64_t index);  // what is on top
  void get(std::uint64_t index);
  std::uint64_t memo_size() const { return memo_.size(); }

  // --- Values; those whose names begin with push go on the stack -------------------------------
  Value& value(Ref ref);
  Value& make(Kind kind);
  Ref last() const;  // the one made last
  Ref new_items(Kind kind, std::vector<Ref> items);
  void push_new(Kind kind);
  void push_items(Kind kind, std::vector<Ref> items) { push(new_items(kind, std::move(items))); }
  void push_text(Kind kind, std::string_view text);
  void push_decoded(const std::optional<std::string>& text);  // nothing: broken escapes
  void push_integer(std::int64_t value);
  void push_long(std::string_view bytes);      // two's complement, little-endian, of any length
  void push_decimal(std::string_view digits);  // of INT and LONG, also their truth values

  void begin_opcode();            // one step; messages speak of the byte it stands at
  void spend(std::size_t steps);  // more of them: items that are copied cost one each
  std::uint8_t opcode() const { return data_[opcode_at_]; }
  std::size_t at() const { return at_; }
  [[noreturn]] void fail(const std::string& what, Code code = Code::kFormat) const;

 private:
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  Pickle& pickle_;
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0, opcode_at_ = 0;
  std::size_t steps_left_ = kMaxSteps;
  std::vector<Ref> stack_, memo_;
  std::vector<std::size_t> marks_;
};

}  // namespace convmixer::pickle
