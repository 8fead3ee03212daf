// SPDX-License-Identifier: Apache-2.0
// The JSON text that a safetensors file carries, of a model whose tensors are always the same.
// What is taken must be written, and read again, as the same configuration.
#include <string>

#include "checkpoint_file.h"
#include "fuzz_target.h"
#include "models/convmixer.h"
#include "models/json_object.h"
#include "models/safetensors_writer.h"

namespace convmixer {
namespace {

constexpr int kClasses = 2;

bool same(const ModelConfig& a, const ModelConfig& b) {
  return a.activation == b.activation && a.image_height == b.image_height &&
         a.image_width == b.image_width && a.bn_eps == b.bn_eps && a.mean == b.mean &&
         a.std == b.std && a.crop_pct == b.crop_pct && a.interpolation == b.interpolation &&
         a.labels == b.labels && a.stated_labels == b.stated_labels;
}

void read(Checkpoint& checkpoint, const std::string& json) {
  checkpoint.metadata[kMetadataKey] = json;
  const ModelConfig config = read_config(checkpoint, {});
  const std::string written = metadata_text(checkpoint, config);
  require(is_utf8(written), "metadata is written as UTF-8");
  checkpoint.metadata[kMetadataKey] = written;
  require(takes<Error>([&] {
            require(same(read_config(checkpoint, {}), config),
                    "written metadata means the same configuration");
          }),
          "written metadata can be read");
}

}  // namespace
}  // namespace convmixer

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace convmixer;  // NOLINT(google-build-using-namespace)
  static Checkpoint checkpoint = open_bytes(random_convmixer(1, 1, 1, 1, kClasses).bytes());
  takes<Error>([&] { read(checkpoint, {reinterpret_cast<const char*>(data), size}); });
  return 0;
}
