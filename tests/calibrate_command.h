// SPDX-License-Identifier: Apache-2.0
// convmixer calibrate, started as a person would, and its files taken apart.
#pragma once

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint_file.h"
#include "cifar_images.h"

namespace convmixer::test {

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

// An edit of value 7 of a tensor of floats.
inline std::function<void(CheckpointFile&)> set_value(const std::string& name, float value) {
  return [=](CheckpointFile& file) {
    std::memcpy(file.tensors.at(name).bytes.data() + 7 * sizeof value, &value, sizeof value);
  };
}

class Calibrate : public Cli {
 protected:
  // Of the 200 images of data/cifar, with scales from half of them; 199 and 0.075 were seen.
  static constexpr int kLeastEqual = 196;
  static constexpr double kMostChange = 0.12;  // of logits, as a share of the largest

  std::string path(const std::string& name) const { return (folder / name).string(); }

  // Calibrates the bundled model, or the one of --model, into the file that it returns.
  std::string calibrated(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "calibrate");
    arguments.insert(arguments.end(), {"--output", path("m8")});
    run(arguments);
    EXPECT_EQ(code, 0) << err;
    return path("m8");
  }

  // A file of these bytes, edited, is refused where int8 is asked for.
  void expect_refused(const std::string& bytes, const std::function<void(CheckpointFile&)>& edit,
                      const std::vector<std::string>& words) {
    CheckpointFile file = parse_file(bytes);
    edit(file);
    write_text(folder / "edited", file.bytes());
    run(int8({"describe", "--model", path("edited")}));
    expect_error(1, words);
  }

  // What to add for int8 to run on this CPU: nothing where it has a variant that is meant for use.
  std::vector<std::string> isa() {
    if (isa_.empty()) {
      run({"info"});
      isa_ = out.find("variant avx2_int8: available") != std::string::npos ? "any" : "portable";
    }
    return isa_ == "any" ? std::vector<std::string>{} : std::vector<std::string>{"--isa", isa_};
  }

  // The command line in int8.
  std::vector<std::string> int8(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--precision", "int8"});
    const std::vector<std::string> more = isa();
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

 private:
  std::string isa_;
};

}  // namespace convmixer::test
