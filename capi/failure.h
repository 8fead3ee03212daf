// SPDX-License-Identifier: Apache-2.0
// What a caller gets to see of a failure: a status and a sentence. Nothing here allocates, so that
// a lack of memory can be reported too.
#pragma once

#include <cstddef>

#include "convmixer.h"

namespace convmixer {

// Copies the zero-terminated `src` to dst[0 .. capacity), zero-terminated, capacity ≥ 1. dst is
// valid UTF-8 whatever src is, as a path may hold any bytes: each that is no part of a character
// becomes
// '?', and a text too long ends before the first character that does not fit.
void copy_utf8(const char* src, char* dst, std::size_t capacity) noexcept;

// Only inside a catch block: the status of the exception in hand, its text to text[0 .. capacity).
convmixer_status current_failure(char* text, std::size_t capacity) noexcept;

}  // namespace convmixer
