// SPDX-License-Identifier: Apache-2.0
// convmixer calibrate, started as a person would, and its files taken apart.
#pragma once

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint_file.h"
#include "cli_process.h"

namespace convmixer::test {

inline const std::string kCifar = kData + "/cifar";

// Of a safetensors file, whole and sound.
inline CheckpointFile parse_file(const std::string& bytes) {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  const std::size_t data = sizeof length + length;
  CheckpointFile file;
  const nlohmann::json header = nlohmann::json::parse(bytes.substr(sizeof length, length));
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      file.metadata = entry;
      continue;
    }
    const std::size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    file.tensors[name] = {entry["dtype"], entry["shape"], bytes.substr(data + begin, end - begin)};
  }
  return file;
}

class Calibrate : public Cli {
 protected:
  // Of the 200 images of data/cifar, with scales from half of them.
  static constexpr int kLeastEqual = 195;
  static constexpr double kMostChange = 0.1;  // of logits, as a share of the largest

  std::string path(const std::string& name) const { return (folder / name).string(); }

  // Calibrates the bundled model, or the one of --model, into the file that it returns.
  std::string calibrated(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "calibrate");
    arguments.insert(arguments.end(), {"--output", path("m8")});
    run(arguments);
    EXPECT_EQ(code, 0) << err;
    return path("m8");
  }

  // The command line in int8: by the best variant that this CPU has, else by portable code.
  std::vector<std::string> int8(std::vector<std::string> arguments) {
    if (isa_.empty()) {
      run({"info"});
      isa_ = out.find("variant avx2: available") != std::string::npos ? "fast" : "portable";
    }
    arguments.insert(arguments.end(), {"--precision", "int8"});
    if (isa_ == "portable") arguments.insert(arguments.end(), {"--isa", "portable"});
    return arguments;
  }

 private:
  std::string isa_;
};

}  // namespace convmixer::test
