// SPDX-License-Identifier: Apache-2.0
// convmixer eval, started as a person would, on the 200 images of data/cifar.
#pragma once

#include <stdlib.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cifar_images.h"

namespace convmixer::test {

class Eval : public Cli {
 protected:
  // What `eval ARGUMENTS --json` prints, without what time and threads decide.
  nlohmann::json eval(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "eval");
    arguments.push_back("--json");
    run(arguments);
    EXPECT_EQ(code, 0) << err;
    if (code != 0) return {};
    nlohmann::json report = nlohmann::json::parse(out);
    for (const char* key :
         {"images_per_second", "seconds", "threads", "batch", "continued_after"}) {
      EXPECT_TRUE(report.contains(key)) << key;
      report.erase(key);
    }
    return report;
  }

  // One end of a new terminal, whose other end has the name ::ptsname(it); −1 where that fails.
  static int open_terminal() {
    const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
    const bool open = terminal >= 0 && ::grantpt(terminal) == 0 && ::unlockpt(terminal) == 0;
    return open ? terminal : -1;
  }

  // What is shown until nobody has the other end any more; closes it.
  static std::string read_terminal(int terminal) {
    std::string shown;
    char part[4096];
    for (ssize_t n = 0; (n = ::read(terminal, part, sizeof part)) > 0;) {
      shown.append(part, static_cast<std::size_t>(n));
    }
    ::close(terminal);
    return shown;
  }

  // A list in the test's folder.
  std::string list(const std::string& text, const std::string& name = "list.txt") {
    write_text(folder / name, text);
    return (folder / name).string();
  }

  // The cat's picture under the name `below` the test's folder; returns that folder.
  std::string put_image(const std::string& below) {
    const fs::path path = folder / below;
    fs::create_directories(path.parent_path());
    fs::copy_file(kCifar + "/cat/0000.jpg", path);
    return folder.string();
  }
};

}  // namespace convmixer::test
