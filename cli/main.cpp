// SPDX-License-Identifier: Apache-2.0
// The convmixer command: a client of convmixer.h alone.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/handles.h"

namespace convmixer::cli {

const char* name_of(convmixer_status status) {
  switch (status) {
    case CONVMIXER_OK:
      return "ok";
    case CONVMIXER_INVALID_ARGUMENT:
      return "invalid_argument";
    case CONVMIXER_IO_ERROR:
      return "io_error";
    case CONVMIXER_FORMAT_ERROR:
      return "format_error";
    case CONVMIXER_UNSUPPORTED:
      return "unsupported";
    case CONVMIXER_LIMIT_EXCEEDED:
      return "limit_exceeded";
    case CONVMIXER_OUT_OF_MEMORY:
      return "out_of_memory";
    case CONVMIXER_BUSY:
      return "busy";
    case CONVMIXER_INTERNAL_ERROR:
      break;
  }
  return "internal_error";
}

std::string text_of(const std::function<convmixer_status(char*, size_t, size_t*)>& call) {
  size_t needed = 0;
  check(call(nullptr, 0, &needed));
  std::string text(needed, '\0');
  check(call(text.data(), text.size(), nullptr));
  text.resize(needed - 1);
  return text;
}

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0 ||
      std::ferror(stdout) != 0) {
    throw Failure(kFailed, "standard output cannot be written");
  }
}

namespace {

// As of --isa "$ISA" where the variable is not set: it must not mean that the option was not given.
void refuse_empty_values(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    if (option->get_items_expected_max() == 0 || option->get_positional()) continue;  // flags
    option->check(CLI::Validator(
        [](const std::string& text) {
          return text.empty() ? std::string("expected a value, found \"\"") : std::string();
        },
        ""));
  }
}

int run(int argc, char** argv) {
  CLI::App app{"Runs ConvMixer image classifiers on the CPU."};
  app.name("convmixer");
  const std::string version = std::string("convmixer ") + convmixer_version();
  app.set_version_flag("--version", version);
  app.require_subcommand(1);
  app.footer(
      "Exit status: 0 success, 1 failure (a bad file, no memory, a full disk), 2 wrong usage.\n"
      "'convmixer COMMAND --help' tells a command's options.");
  add_classify(app);
  add_eval(app);
  add_compare(app);
  add_run(app);
  add_calibrate(app);
  add_transform(app);
  add_describe(app);
  add_bench(app);
  add_convert(app);
  add_info(app);
  const std::vector<CLI::App*> commands = app.get_subcommands([](CLI::App*) { return true; });
  for (CLI::App* command : commands) command->set_version_flag("--version", version);
  for (CLI::App* command : commands) refuse_empty_values(*command);
  if (argc < 2) {
    throw Failure(kWrongUsage, "expected a command; convmixer --help lists them");
  }
  if (argv[1][0] != '-' &&
      std::none_of(commands.begin(), commands.end(),
                   [&](const CLI::App* command) { return command->check_name(argv[1]); })) {
    throw Failure(kWrongUsage,
                  fmt::format("\"{}\" is not a command; convmixer --help lists them", argv[1]));
  }
  try {
    app.parse(argc, argv);
    return kSuccess;
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForVersion& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    throw Failure(kWrongUsage, e.what());
  }
}

}  // namespace
}  // namespace convmixer::cli

int main(int argc, char** argv) {
  using namespace convmixer::cli;
  // A closed pipe is then an error of print() instead of a silent death.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // and so is a file that may not become so large
  try {
    const int code = run(argc, argv);
    print("");
    return code;
  } catch (const Failure& e) {
    std::fprintf(stderr, "convmixer: %s\n", e.what());
    return e.code;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "convmixer: not enough memory\n");
    return kFailed;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "convmixer: %s\n", e.what());
    return kFailed;
  }
}
