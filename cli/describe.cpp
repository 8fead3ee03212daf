// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "cli/commands.h"
#include "cli/model_options.h"

namespace convmixer::cli {

void add_describe(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "describe",
      "Show how a model runs here: layers, shapes, implementations and why not others, memory");
  auto o = std::make_shared<ModelOptions>();
  add_model_options(command, *o);
  command.footer("Example: convmixer describe --model model.safetensors --isa avx2");
  command.callback([o] {
    const Model model = open_model(*o);
    print(text_of([&](char* text, size_t capacity, size_t* needed) {
      return convmixer_model_describe(model.get(), text, capacity, needed);
    }));
  });
}

}  // namespace convmixer::cli
