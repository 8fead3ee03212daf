// SPDX-License-Identifier: Apache-2.0
// Pickles, good and bad, written opcode by opcode. Each function gives the bytes that leave one
// value on the stack.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace convmixer::pickled {

template <typename T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

inline std::string text(const std::string& value) {
  return "X" + raw(static_cast<std::uint32_t>(value.size())) + value;
}

inline std::string bytes(const std::string& value) {
  return "B" + raw(static_cast<std::uint32_t>(value.size())) + value;
}

inline std::string integer(std::int64_t value) {
  return value == static_cast<std::int32_t>(value) ? "J" + raw(static_cast<std::int32_t>(value))
                                                   : "\x8a\x08" + raw(value);
}

inline std::string tuple(const std::vector<std::string>& items) {
  std::string all = "(";
  for (const std::string& item : items) all += item;
  return all + "t";
}

inline std::string integers(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (std::int64_t value : values) items.push_back(integer(value));
  return tuple(items);
}

using Items = std::vector<std::pair<std::string, std::string>>;  // text → a value

inline std::string dict(const Items& items) {
  std::string all = "}(";
  for (const auto& [key, value] : items) all += text(key) + value;
  return all + "u";
}

inline std::string name(const std::string& module, const std::string& member) {
  return "c" + module + "\n" + member + "\n";
}

inline std::string call(const std::string& function, const std::vector<std::string>& arguments) {
  return function + tuple(arguments) + "R";
}

inline std::string dump(const std::string& value, char protocol = 2) {
  return std::string("\x80") + protocol + value + ".";
}

}  // namespace convmixer::pickled
