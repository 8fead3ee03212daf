// SPDX-License-Identifier: Apache-2.0
// convmixer_convert: a model, whatever its files → one safetensors file.
#include "capi/config.h"
#include "capi/failure.h"
#include "capi/structs.h"
#include "convmixer.h"
#include "models/checkpoint.h"
#include "models/convmixer.h"
#include "models/safetensors_writer.h"

using namespace convmixer;  // NOLINT(google-build-using-namespace): what follows is global

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
    // The graph checks every tensor, so nothing is written that cannot be opened, and is gone
    // before the writing begins: of 16-bit weights it holds copies.
    written.num_parameters = count_parameters(build_graph(checkpoint, config).nodes);
    write_safetensors(dst_path, checkpoint, config);
    if (info != nullptr) write_info(written, info);
  });
}
