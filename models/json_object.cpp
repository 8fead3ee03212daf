// SPDX-License-Identifier: Apache-2.0
#include "models/json_object.h"

#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <utility>

#include "models/checkpoint.h"
#include "support/error.h"

namespace convmixer {
namespace {

constexpr int kMaxDepth = 32;  // ours has two levels

[[noreturn]] void fail(Code code, const std::string& where, const std::string& what) {
  throw Error(code, where + ": " + what);
}

}  // namespace

bool is_utf8(const std::string& text) {
  try {
    nlohmann::json(text).dump();  // strict, as its default
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

JsonObject::JsonObject(std::string where, std::string_view text) : where_(std::move(where)) {
  if (text.size() > kMaxJsonBytes) {
    fail(Code::kLimit, where_,
         fmt::format("expected at most {} bytes, found {}", kMaxJsonBytes, text.size()));
  }
  const auto limit_depth = [this](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) fail(Code::kFormat, where_, "found JSON nested too deeply");
    return true;
  };
  try {
    json_ = Json::parse(text, limit_depth);
  } catch (const Json::parse_error& error) {
    fail(Code::kFormat, where_,
         fmt::format("expected valid JSON, found an error at byte {}", error.byte));
  } catch (const Json::exception&) {
    fail(Code::kFormat, where_, "expected valid JSON, found a number out of range");
  }
  if (!json_.is_object()) wrong("", "a JSON object", json_);
}

JsonObject::JsonObject(std::string where, const char* key, Json value)
    : where_(std::move(where)), json_(std::move(value)) {
  if (!json_.is_object()) wrong(key, "an object", json_);
}

const JsonObject::Json* JsonObject::find(const char* key) const {
  const auto found = json_.find(key);
  return found == json_.end() ? nullptr : &*found;
}

int JsonObject::clamp(std::int64_t value) {
  return static_cast<int>(std::clamp<std::int64_t>(value, INT_MIN, INT_MAX));
}

std::string JsonObject::text_of(const char* key, const Json& value) const {
  if (!value.is_string()) wrong(key, "text", value);
  return value.get<std::string>();
}

std::int64_t JsonObject::integer_of(const char* key, const Json& value) const {
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{INT64_MAX})) {
    wrong(key, "an integer", value);
  }
  return value.get<std::int64_t>();
}

double JsonObject::number_of(const char* key, const Json& value) const {
  if (!value.is_number()) wrong(key, "a number", value);
  return value.get<double>();
}

std::vector<std::string> JsonObject::texts_of(const char* key, const Json& value) const {
  if (!value.is_array()) wrong(key, "a list of texts", value);
  std::vector<std::string> texts;
  for (const Json& text : value) texts.push_back(text_of(key, text));
  return texts;
}

void JsonObject::wrong(const std::string& key, const char* expected, const Json& found) const {
  const std::string what = found.is_structured()
                               ? fmt::format("an {} of {}", found.type_name(), found.size())
                               : in_quotes(found.dump());
  fail(Code::kFormat, where_,
       fmt::format("expected {}{}, found {}", expected, key.empty() ? "" : " as " + key, what));
}

}  // namespace convmixer
