// SPDX-License-Identifier: Apache-2.0
#include "cli/eval_part.h"

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cli/handles.h"

namespace convmixer::cli {
namespace {

static_assert(std::is_trivially_copyable_v<Outcome> && sizeof(Outcome) == 24);

template <typename T>
void put(std::string& dst, const T& value) {
  dst.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_text(std::string& dst, const std::string& text) {
  put(dst, std::uint64_t{text.size()});
  dst += text;
}

class PartReader {
 public:
  explicit PartReader(const std::string& bytes) : bytes_(bytes) {}

  template <typename T>
  T get() {
    T value{};
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  std::string get_text() {
    const auto size = get<std::uint64_t>();
    return {take(size), size};
  }
  std::size_t left() const { return bytes_.size() - at_; }
  [[noreturn]] static void fail() { throw Failure(kFailed, "what another rank sent is damaged"); }

 private:
  const char* take(std::uint64_t size) {
    if (size > left()) fail();
    at_ += size;
    return bytes_.data() + at_ - size;
  }

  const std::string& bytes_;
  std::size_t at_ = 0;
};

}  // namespace

std::string pack(const EvalPart& part) {
  std::string bytes;
  put(bytes, part.seconds);
  put_text(bytes, part.stop);
  for (const Prediction& row : part.rows) {
    put(bytes, row.outcome);
    put(bytes, row.ok());
    if (row.ok()) continue;
    put_text(bytes, row.status);
    put_text(bytes, row.error);
  }
  return bytes;
}

EvalPart unpack(const std::string& bytes) {
  PartReader reader(bytes);
  EvalPart part;
  part.seconds = reader.get<double>();
  part.stop = reader.get_text();
  while (reader.left() > 0) {
    Prediction& row = part.rows.emplace_back();
    row.outcome = reader.get<Outcome>();
    row.status = "ok";
    if (reader.get<char>() != 0) continue;
    row.status = reader.get_text();
    row.error = reader.get_text();
  }
  return part;
}

}  // namespace convmixer::cli
