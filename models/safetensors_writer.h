// SPDX-License-Identifier: Apache-2.0
// A model as one safetensors file, ready to use.
#pragma once

#include <string>

#include "models/checkpoint.h"
#include "models/convmixer.h"

namespace convmixer {

// The JSON text that stands under kMetadataKey: everything `config` says (labels only where
// somebody stated them, as others are known anyway), then keys of the checkpoint's own metadata
// that we do not know, by name.
std::string metadata_text(const Checkpoint& checkpoint, const ModelConfig& config);

// Writes the checkpoint's tensors, the configuration and what else the checkpoint has as
// __metadata__. F32, F16, BF16 and I8 stay the bytes they were, F64 becomes F32, as which it is
// computed; BatchNorm's num_batches_tracked, which only training reads, is left out. Larger types
// come first, each sorted by name, and the data begins at a multiple of 64 bytes of the file, so
// every tensor is aligned; the same model gives the same bytes, and so does a file that was
// written here.
//
// To be called with a checkpoint that build_graph accepts. One tensor at a time is in memory. The
// file appears whole or not at all (support/output_file.h). Throws Error(kIo) where it cannot be
// written; Error(kInvalidArgument) where it is the checkpoint's own file, or none that can be
// renamed (a device, a pipe, a standard stream); Error(kLimit) for a header that could not be read.
void write_safetensors(const std::string& path, const Checkpoint& checkpoint,
                       const ModelConfig& config);

// Throws what write_safetensors would about a place that cannot be written, or not to: before the
// work whose result goes there.
void check_destination(const std::string& path, const Checkpoint& checkpoint);

}  // namespace convmixer
