// SPDX-License-Identifier: Apache-2.0
// A folder as Hugging Face's hub and timm have it: config.json, and model.safetensors or
// pytorch_model.bin.
#pragma once

#include <string>

#include "models/checkpoint.h"

namespace convmixer {

bool is_folder(const std::string& path);

// The folder's weights (model.safetensors where there are both) as open_checkpoint gives them, and
// what its config.json says, translated into the words of our metadata (read_config checks sizes
// and ranges):
// - input_size, mean, std, crop_pct and interpolation of pretrained_cfg, else of the top (older);
// - activation: model_args.act_layer, else what the published model that `architecture` names has;
//   its sizes are not looked at, nor is num_classes, since the tensors' shapes say them;
// - labels: label_names, id2label or labels, at the top or in pretrained_cfg.
// Null means not said, and other keys are ignored. Throws Error(kIo) where a file is missing,
// Error(kFormat) for bad JSON and wrong types, Error(kUnsupported) for another architecture, crop
// mode or pooling; each names the file.
Checkpoint open_huggingface(const std::string& folder);

}  // namespace convmixer
