// SPDX-License-Identifier: Apache-2.0
// A JSON object of somebody else's, read by key with its types checked.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace convmixer {

constexpr std::size_t kMaxJsonBytes = 64'000'000;  // a million labels need about 20 MB

bool is_utf8(const std::string& text);

// Keys that are absent are not an error: their `use` is not called. What is there with another type
// is Error(kFormat), which begins with `where`: the file, and whose value it is.
class JsonObject {
 public:
  using Json = nlohmann::json;

  // Throws Error(kLimit) for more than kMaxJsonBytes, Error(kFormat) for what is no JSON object or
  // is nested too deeply.
  JsonObject(std::string where, std::string_view text);
  // `value` is the object itself; `key` names it where it is none.
  JsonObject(std::string where, const char* key, Json value);

  const std::string& where() const { return where_; }
  const Json& json() const { return json_; }
  const Json* find(const char* key) const;  // null where it is absent

  template <typename Use>
  void text(const char* key, Use use) const {
    if (const Json* value = find(key)) use(text_of(key, *value));
  }

  template <typename Use>
  void integer(const char* key, Use use) const {
    if (const Json* value = find(key)) use(integer_of(key, *value));
  }

  template <typename Use>
  void number(const char* key, Use use) const {
    if (const Json* value = find(key)) use(number_of(key, *value));
  }

  template <typename Use>
  void three_numbers(const char* key, Use use) const {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_array() || value->size() != 3) wrong(key, "a list of three numbers", *value);
    use(std::array{number_of(key, (*value)[0]), number_of(key, (*value)[1]),
                   number_of(key, (*value)[2])});
  }

  // use(height, width) of [3, height, width]; what is beyond an int stays beyond all limits.
  template <typename Use>
  void input_size(const char* key, Use use) const {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_array() || value->size() != 3 || integer_of(key, (*value)[0]) != 3) {
      wrong(key, "[3, height, width]", *value);
    }
    use(clamp(integer_of(key, (*value)[1])), clamp(integer_of(key, (*value)[2])));
  }

  template <typename Use>
  void texts(const char* key, Use use) const {
    if (const Json* value = find(key)) use(texts_of(key, *value));
  }

  [[noreturn]] void wrong(const std::string& key, const char* expected, const Json& found) const;

 private:
  static int clamp(std::int64_t value);
  std::string text_of(const char* key, const Json& value) const;
  std::int64_t integer_of(const char* key, const Json& value) const;
  double number_of(const char* key, const Json& value) const;
  std::vector<std::string> texts_of(const char* key, const Json& value) const;

  std::string where_;
  Json json_;
};

}  // namespace convmixer
