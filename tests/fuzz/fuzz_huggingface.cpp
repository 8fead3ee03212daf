// SPDX-License-Identifier: Apache-2.0
// The config.json of a Hugging Face folder whose weights are always the same.
#include <fstream>
#include <string>

#include "checkpoint_file.h"
#include "fuzz_target.h"
#include "models/convmixer.h"
#include "models/json_object.h"
#include "temporary_folder.h"

namespace convmixer {
namespace {

constexpr int kClasses = 2;

void write(const std::filesystem::path& path, const char* bytes, std::size_t size) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes, static_cast<std::streamsize>(size));
  require(file.flush().good(), "the folder can be written");
}

struct ModelFolder : test::TemporaryFolder {
  ModelFolder() {
    const std::string weights = random_convmixer(1, 1, 1, 1, kClasses).bytes();
    write(path / "model.safetensors", weights.data(), weights.size());
  }
};

}  // namespace
}  // namespace convmixer

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace convmixer;  // NOLINT(google-build-using-namespace)
  static const ModelFolder folder;
  write(folder.path / "config.json", reinterpret_cast<const char*>(data), size);
  takes<Error>([] {
    const Checkpoint checkpoint = open_checkpoint(folder.path.string());
    require(is_utf8(checkpoint.config_json), "a config.json is translated into UTF-8");
    read_config(checkpoint, {});
  });
  return 0;
}
