// SPDX-License-Identifier: Apache-2.0
#include "models/pickle_text.h"

#include <charconv>
#include <cstdint>

namespace convmixer::pickle {
namespace {

void append_utf8(std::string& text, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

// `digits` characters from `at` on, all of them digits of that base.
std::optional<std::uint32_t> number(std::string_view text, std::size_t at, std::size_t digits,
                                    int base) {
  if (digits > text.size() || at > text.size() - digits) return {};
  std::uint32_t value = 0;
  const char* begin = text.data() + at;
  const auto [end, error] = std::from_chars(begin, begin + digits, value, base);
  if (error != std::errc() || end != begin + digits) return {};
  return value;
}

}  // namespace

std::optional<std::string> decode_unicode_line(std::string_view line) {
  std::string text;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const bool escape = line[i] == '\\' && i + 1 < line.size();
    const std::size_t digits = !escape ? 0 : line[i + 1] == 'u' ? 4 : line[i + 1] == 'U' ? 8 : 0;
    if (digits == 0) {
      append_utf8(text, static_cast<unsigned char>(line[i]));
      continue;
    }
    const auto code = number(line, i + 2, digits, 16);
    if (!code || *code > 0x10ffff) return {};
    append_utf8(text, *code);
    i += 1 + digits;
  }
  return text;
}

std::optional<std::string> decode_string_line(std::string_view line) {
  if (line.size() < 2 || line.front() != line.back() ||
      (line.front() != '\'' && line.front() != '"')) {
    return {};
  }
  line = line.substr(1, line.size() - 2);
  std::string text;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      text += line[i];
      continue;
    }
    if (++i == line.size()) return {};
    constexpr std::string_view kLetters = "\\'\"abfnrtv", kMeant = "\\'\"\a\b\f\n\r\t\v";
    if (const std::size_t letter = kLetters.find(line[i]); letter != kLetters.npos) {
      text += kMeant[letter];
      continue;
    }
    const bool hex = line[i] == 'x';
    const auto byte = hex ? number(line, i + 1, 2, 16) : number(line, i, 3, 8);
    if (!byte || *byte > 0xff) return {};
    text += static_cast<char>(*byte);
    i += 2;
  }
  return text;
}

std::optional<std::string> encode_latin1(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      bytes += text[i];
      continue;
    }
    // The characters up to 255 have two bytes at most, the first of them 0xc2 or 0xc3.
    if ((lead != 0xc2 && lead != 0xc3) || ++i == text.size() || (text[i] & 0xc0) != 0x80) return {};
    bytes += static_cast<char>((lead & 3) << 6 | (text[i] & 0x3f));
  }
  return bytes;
}

}  // namespace convmixer::pickle
