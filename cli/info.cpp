// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"
#include "cli/handles.h"

namespace convmixer::cli {

void add_info(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "info", "Show the CPU, its caches, the variants that can run here, and versions");
  command.footer("Example: convmixer info");
  command.callback([] { print(text_of(convmixer_system_describe)); });
}

}  // namespace convmixer::cli
