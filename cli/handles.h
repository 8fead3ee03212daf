// SPDX-License-Identifier: Apache-2.0
// The C handles with owners, and how a command fails.
#pragma once

#include <convmixer.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

namespace convmixer::cli {

// What every command documents in its help.
enum ExitCode { kSuccess = 0, kFailed = 1, kWrongUsage = 2 };

// Ends the command: main() prints "convmixer: " and the sentence on stderr.
struct Failure : std::runtime_error {
  Failure(ExitCode exit_code, const std::string& sentence)
      : std::runtime_error(sentence), code(exit_code) {}
  ExitCode code;
};

// Throws Failure with the library's sentence unless the status is CONVMIXER_OK.
inline void check(convmixer_status status) {
  if (status == CONVMIXER_OK) return;
  throw Failure(status == CONVMIXER_INVALID_ARGUMENT ? kWrongUsage : kFailed,
                convmixer_last_error());
}

// "ok", "format_error": for programs to compare; a sentence tells the case.
const char* name_of(convmixer_status status);

struct Destroy {
  void operator()(convmixer_model* model) const { convmixer_model_destroy(model); }
  void operator()(convmixer_session* session) const { convmixer_session_destroy(session); }
};
using Model = std::unique_ptr<convmixer_model, Destroy>;
using Session = std::unique_ptr<convmixer_session, Destroy>;

// Calls one of the header's functions with a text result.
std::string text_of(const std::function<convmixer_status(char*, size_t, size_t*)>& call);

// Writes to stdout; throws Failure where that fails (full disk, closed pipe).
void print(const std::string& text);

}  // namespace convmixer::cli
