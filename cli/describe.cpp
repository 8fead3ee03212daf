// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/model_options.h"

namespace convmixer::cli {
namespace {

void describe(const ModelOptions& o) {
  const Model model = open_model(o);
  print(text_of([&](char* text, size_t capacity, size_t* needed) {
    return convmixer_model_describe(model.get(), text, capacity, needed);
  }));
  const Session session = make_session(model, o);
  convmixer_session_info info = CONVMIXER_SESSION_INFO_INIT;
  check(convmixer_session_get_info(session.get(), &info));
  print(fmt::format("memory of a session: {:.1f} MB ({} threads, {} images at once)\n",
                    static_cast<double>(info.memory_bytes) / 1e6, info.threads, info.chunk_size));
}

}  // namespace

void add_describe(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "describe",
      "Show how a model runs here: layers, shapes, implementations and why not others, memory");
  auto o = std::make_shared<ModelOptions>();
  add_model_options(command, *o);
  add_session_options(command, *o);
  command.footer("Example: convmixer describe --model model.safetensors --isa avx2");
  command.callback([o] { describe(*o); });
}

}  // namespace convmixer::cli
