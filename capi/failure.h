// SPDX-License-Identifier: Apache-2.0
// What a caller gets to see of a failure: a status and a sentence. Nothing here allocates, so that
// a lack of memory can be reported too.
#pragma once

#include <cstddef>
#include <string>

#include "convmixer.h"
#include "support/error.h"

namespace convmixer {

// Copies the zero-terminated `src` to dst[0 .. capacity), zero-terminated, capacity ≥ 1. dst is
// valid UTF-8 whatever src is, as a path may hold any bytes: each that is no part of a character
// becomes
// '?', and a text too long ends before the first character that does not fit.
void copy_utf8(const char* src, char* dst, std::size_t capacity) noexcept;

// Only inside a catch block: the status of the exception in hand, its text to text[0 .. capacity).
convmixer_status current_failure(char* text, std::size_t capacity) noexcept;

// The same, with the text kept for convmixer_last_error().
convmixer_status keep_failure() noexcept;
const char* last_failure() noexcept;  // of this thread; "" if there was none

// The body of every function of convmixer.h: no exception leaves it.
template <typename Body>
convmixer_status guarded(const Body& body) noexcept {
  try {
    body();
    return CONVMIXER_OK;
  } catch (...) {
    return keep_failure();
  }
}

[[noreturn]] void refuse(const std::string& text);  // as CONVMIXER_INVALID_ARGUMENT
void need(const void* pointer, const char* name);   // refuses null
// Refuses a number of elements of so many bytes that no array can have.
void need_room(const char* name, std::size_t count, std::size_t bytes);

}  // namespace convmixer
