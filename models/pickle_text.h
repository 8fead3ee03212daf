// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace convmixer::pickle {

// A text of protocol 0: Latin-1 with \uXXXX and \UXXXXXXXX. As UTF-8; nothing for a broken escape.
std::optional<std::string> decode_unicode_line(std::string_view line);

// A string of Python 2, as its repr() wrote it: in quotes, with \n, \\, \x41 and the like. Nothing
// where the quotes are missing or an escape is broken.
std::optional<std::string> decode_string_line(std::string_view line);

// What `_codecs.encode(text, 'latin1')` gives: how protocols below 3 carry bytes. Nothing where the
// text is not UTF-8 or has a character above 255.
std::optional<std::string> encode_latin1(std::string_view text);

}  // namespace convmixer::pickle
