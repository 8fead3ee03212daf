// SPDX-License-Identifier: Apache-2.0
#include "capi/failure.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <system_error>

namespace convmixer {
namespace {

constexpr bool equal(Code code, convmixer_status status) {
  return static_cast<int>(code) == static_cast<int>(status);
}
static_assert(equal(Code::kOk, CONVMIXER_OK));
static_assert(equal(Code::kInvalidArgument, CONVMIXER_INVALID_ARGUMENT));
static_assert(equal(Code::kIo, CONVMIXER_IO_ERROR));
static_assert(equal(Code::kFormat, CONVMIXER_FORMAT_ERROR));
static_assert(equal(Code::kUnsupported, CONVMIXER_UNSUPPORTED));
static_assert(equal(Code::kLimit, CONVMIXER_LIMIT_EXCEEDED));
static_assert(equal(Code::kOutOfMemory, CONVMIXER_OUT_OF_MEMORY));
static_assert(equal(Code::kBusy, CONVMIXER_BUSY));
static_assert(equal(Code::kInternal, CONVMIXER_INTERNAL_ERROR));

// Bytes of the UTF-8 character that begins at `s`, or 0 where none does: the well-formed sequences
// of the Unicode standard (no surrogates, no overlong forms, nothing above U+10FFFF). The final
// zero of `s` is no continuation byte, so nothing behind it is read.
std::size_t character_length(const unsigned char* s) {
  const unsigned char lead = s[0];
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const std::size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  const unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (s[1] < low || s[1] > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if ((s[i] & 0xc0) != 0x80) return 0;
  }
  return length;
}

// A path of 4096 bytes and a sentence. An array, since a lack of memory must be sayable too.
thread_local char last_text[4096 + CONVMIXER_ERROR_TEXT_SIZE] = "";

}  // namespace

void copy_utf8(const char* src, char* dst, std::size_t capacity) noexcept {
  const char* const last = dst + capacity - 1;
  while (*src != '\0') {
    const std::size_t length = character_length(reinterpret_cast<const unsigned char*>(src));
    const std::size_t written = length == 0 ? 1 : length;
    if (static_cast<std::size_t>(last - dst) < written) break;
    if (length == 0) {
      *dst = '?';
    } else {
      std::memcpy(dst, src, length);
    }
    dst += written;
    src += written;
  }
  *dst = '\0';
}

convmixer_status current_failure(char* text, std::size_t capacity) noexcept {
  try {
    throw;
  } catch (const Error& e) {
    copy_utf8(e.what(), text, capacity);
    return static_cast<convmixer_status>(e.code());
  } catch (const std::bad_alloc&) {
    copy_utf8("Out of memory.", text, capacity);
    return CONVMIXER_OUT_OF_MEMORY;
  } catch (const std::length_error&) {
    // What containers throw in place of bad_alloc for a size that no memory could hold.
    copy_utf8("Out of memory: an array would be larger than the address space.", text, capacity);
    return CONVMIXER_OUT_OF_MEMORY;
  } catch (const std::system_error& e) {
    copy_utf8(e.what(), text, capacity);
    return CONVMIXER_IO_ERROR;
  } catch (const std::exception& e) {
    copy_utf8(e.what(), text, capacity);
    return CONVMIXER_INTERNAL_ERROR;
  } catch (...) {
    copy_utf8("An unknown exception.", text, capacity);
    return CONVMIXER_INTERNAL_ERROR;
  }
}

convmixer_status keep_failure() noexcept { return current_failure(last_text, sizeof(last_text)); }

const char* last_failure() noexcept { return last_text; }

void refuse(const std::string& text) { throw Error(Code::kInvalidArgument, text); }

void need(const void* pointer, const char* name) {
  if (pointer == nullptr) refuse(std::string(name) + " is null");
}

void need_room(const char* name, std::size_t count, std::size_t bytes) {
  if (count > PTRDIFF_MAX / bytes) {
    refuse(fmt::format("{} is {}: no array is that large", name, count));
  }
}

}  // namespace convmixer
