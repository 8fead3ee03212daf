// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <string>
#include <utility>

namespace convmixer {

// Why something failed. The numbers are those of convmixer_status (capi/ asserts it).
enum class Code : int {
  kOk = 0,
  kInvalidArgument = 1,  // the caller's value is wrong: an option, a size, a null pointer
  kIo = 2,               // the operating system refused: missing file, no permission, full disk
  kFormat = 3,           // the bytes are not what they claim to be: truncated, damaged, wrong kind
  kUnsupported = 4,      // well-formed, but this build, model or CPU cannot do it
  kLimit = 5,            // larger than a stated limit, e.g. an image's number of pixels
  kOutOfMemory = 6,
  kBusy = 7,      // the session is in use by another thread
  kInternal = 8,  // a defect of the library
};

// The one exception type of the project. `what()` is a whole sentence for a person: it names the
// file or layer, what was expected and what was found.
class Error : public std::exception {
 public:
  Error(Code code, std::string text) : code_(code), text_(std::move(text)) {}
  Code code() const noexcept { return code_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  Code code_;
  std::string text_;
};

}  // namespace convmixer
