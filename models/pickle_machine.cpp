// SPDX-License-Identifier: Apache-2.0
#include "models/pickle_machine.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>

#include "models/checkpoint.h"

namespace convmixer::pickle {
namespace {

constexpr Ref kUnset = ~Ref{0};

// False where there is anything but the digits of a number that fits.
template <typename T>
std::errc read_number(std::string_view digits, T* value) {
  const char* end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, *value);
  if (error == std::errc() && rest != end) return std::errc::invalid_argument;
  return error;
}

}  // namespace

Machine::Machine(Pickle& pickle, const std::uint8_t* data, std::size_t size)
    : pickle_(pickle), data_(data), size_(size) {
  make(Kind::kNone);
  make(Kind::kBool);
  make(Kind::kBool).integer = 1;
}

const std::uint8_t* Machine::take(std::uint64_t count) {
  if (count > left()) {
    fail(fmt::format("expected {} more bytes, found {}; the file may be truncated", count, left()));
  }
  const std::uint8_t* bytes = data_ + at_;
  at_ += count;
  return bytes;
}

std::string_view Machine::take_text(std::uint64_t count) {
  return {reinterpret_cast<const char*>(take(count)), count};
}

std::uint64_t Machine::little_endian(int count) {
  const std::uint8_t* bytes = take(static_cast<std::uint64_t>(count));
  std::uint64_t value = 0;
  for (int i = 0; i < count; ++i) value |= std::uint64_t{bytes[i]} << (8 * i);
  return value;
}

std::string_view Machine::line() {
  const void* end = left() > 0 ? std::memchr(data_ + at_, '\n', left()) : nullptr;
  if (end == nullptr) fail("expected the end of a line, found the end of the file");
  const auto length = static_cast<const std::uint8_t*>(end) - (data_ + at_);
  const std::string_view text = take_text(static_cast<std::uint64_t>(length));
  take(1);
  return text;
}

std::uint64_t Machine::decimal(std::string_view digits) const {
  std::uint64_t value = 0;
  if (read_number(digits, &value) != std::errc()) {
    fail("expected a place in the memo, found " + in_quotes(digits));
  }
  return value;
}

Ref Machine::top() const {
  if (stack_.size() <= floor()) fail("expected a value on the stack, found none");
  return stack_.back();
}

Ref Machine::pop() {
  const Ref ref = top();
  stack_.pop_back();
  return ref;
}

std::vector<Ref> Machine::pop_many(std::size_t count) {
  const std::size_t found = stack_.size() - floor();
  if (found < count) fail(fmt::format("expected {} values on the stack, found {}", count, found));
  std::vector<Ref> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
  stack_.resize(stack_.size() - count);
  return items;
}

std::vector<Ref> Machine::pop_to_mark() {
  if (marks_.empty()) fail("expected a mark on the stack, found none");
  std::vector<Ref> items = pop_many(stack_.size() - floor());
  marks_.pop_back();
  return items;
}

// Every writer numbers the memo's places from 0 without gaps, so one beyond the number of steps is
// refused rather than paid for.
void Machine::put(std::uint64_t index) {
  if (index >= kMaxSteps) fail(fmt::format("expected a memo below {}, found {}", kMaxSteps, index));
  if (index >= memo_.size()) memo_.resize(index + 1, kUnset);
  memo_[index] = top();
}

void Machine::get(std::uint64_t index) {
  if (index >= memo_.size() || memo_[index] == kUnset) {
    fail(fmt::format("expected something in the memo at {}, found nothing", index));
  }
  push(memo_[index]);
}

Value& Machine::value(Ref ref) { return pickle_.values_[ref]; }

Ref Machine::last() const { return static_cast<Ref>(pickle_.values_.size() - 1); }

Value& Machine::make(Kind kind) {
  Value& value = pickle_.values_.emplace_back();
  value.kind = kind;
  return value;
}

Ref Machine::new_items(Kind kind, std::vector<Ref> items) {
  make(kind).items = std::move(items);
  return last();
}

void Machine::push_new(Kind kind) {
  make(kind);
  push(last());
}

void Machine::push_text(Kind kind, std::string_view text) {
  make(kind).text = text;
  push(last());
}

void Machine::push_decoded(const std::optional<std::string>& text) {
  if (!text) fail("expected text in quotes or with escapes, found neither");
  push_text(Kind::kText, pickle_.texts_.emplace_back(*text));
}

void Machine::push_integer(std::int64_t value) {
  make(Kind::kInteger).integer = value;
  push(last());
}

void Machine::push_long(std::string_view bytes) {
  if (bytes.size() > sizeof(std::int64_t)) {
    push_text(Kind::kInteger, bytes);
    return;
  }
  std::uint64_t value = !bytes.empty() && (bytes.back() & 0x80) != 0 ? ~std::uint64_t{0} : 0;
  for (std::size_t i = bytes.size(); i > 0; --i) {
    value = value << 8 | static_cast<std::uint8_t>(bytes[i - 1]);
  }
  push_integer(static_cast<std::int64_t>(value));
}

void Machine::push_decimal(std::string_view digits) {
  if (digits == "00" || digits == "01") {  // as protocols 0 and 1 write False and True
    push(digits == "01" ? kTrue : kFalse);
    return;
  }
  if (digits.ends_with('L')) digits.remove_suffix(1);
  std::int64_t value = 0;
  const std::errc error = read_number(digits, &value);
  if (error == std::errc::result_out_of_range) {
    push_text(Kind::kInteger, digits);
  } else if (error != std::errc()) {
    fail("expected an integer, found " + in_quotes(digits));
  } else {
    push_integer(value);
  }
}

void Machine::begin_opcode() {
  opcode_at_ = at_;
  spend(1);
}

void Machine::spend(std::size_t steps) {
  if (steps > steps_left_) {
    fail(fmt::format("expected at most {} steps, found more", kMaxSteps), Code::kLimit);
  }
  steps_left_ -= steps;
}

void Machine::fail(const std::string& what, Code code) const {
  throw Error(code, fmt::format("{}: pickle, byte {}: {}", pickle_.where_, opcode_at_, what));
}

}  // namespace convmixer::pickle
