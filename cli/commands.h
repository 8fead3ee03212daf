// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace convmixer::cli {

// Each adds its subcommand, which runs when the command line is parsed and throws Failure.
void add_classify(CLI::App& app);
void add_eval(CLI::App& app);
void add_compare(CLI::App& app);
void add_run(CLI::App& app);
void add_calibrate(CLI::App& app);
void add_transform(CLI::App& app);
void add_describe(CLI::App& app);
void add_bench(CLI::App& app);
void add_convert(CLI::App& app);
void add_info(CLI::App& app);

}  // namespace convmixer::cli
