// SPDX-License-Identifier: Apache-2.0
// convmixer_convert: a model, whatever its files → one safetensors file.
#include <cstdint>

#include "capi/config.h"
#include "capi/failure.h"
#include "capi/structs.h"
#include "convmixer.h"
#include "engine/passes.h"
#include "models/checkpoint.h"
#include "models/convmixer.h"
#include "models/quantization.h"
#include "models/safetensors_writer.h"

using namespace convmixer;  // NOLINT(google-build-using-namespace): what follows is global

namespace {

std::uint64_t checked_parameters(const Checkpoint& checkpoint, const ModelConfig& config) {
  const Graph graph = build_graph(checkpoint, config);
  if (has_int8_weights(graph)) {  // which no precision but int8 could open
    read_quantization(checkpoint, config);
    fold_batchnorm(fuse(graph));
  }
  return count_parameters(graph.nodes);
}

}  // namespace

convmixer_status convmixer_convert(const char* src_path, const char* dst_path,
                                   const convmixer_convert_options* options,
                                   convmixer_model_info* info) {
  return guarded([&] {
    need(src_path, "src_path");
    need(dst_path, "dst_path");
    const ConfigOverrides overrides = overrides_of(read_options(options));
    if (info != nullptr) known_bytes(info);  // a wrong struct_size is refused before the work
    const Checkpoint checkpoint = open_checkpoint(src_path);
    const ModelConfig config = read_config(checkpoint, overrides);
    convmixer_model_info written = info_of(config);
    // Every tensor is checked, so nothing is written that cannot be opened. The graph is gone
    // before the writing begins: of 16-bit weights it holds copies.
    written.num_parameters = checked_parameters(checkpoint, config);
    write_safetensors(dst_path, checkpoint, config);
    if (info != nullptr) write_info(written, info);
  });
}
