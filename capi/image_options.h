// SPDX-License-Identifier: Apache-2.0
// The caller's options of an image as images/ takes them; a zero has become its default.
#pragma once

#include <string>

#include "convmixer.h"
#include "images/decode.h"
#include "images/transform.h"

namespace convmixer {

// "bicubic" or "bilinear", of static storage; throws Error(kInvalidArgument) for another name.
struct NamedInterpolation {
  const char* name;
  Interpolation value;
};
const NamedInterpolation& interpolation_named(const std::string& name);

// For calls whose size, crop and interpolation are the model's: refuses options that state them.
convmixer_image_options model_image_options(const convmixer_image_options* given);

DecodeOptions decode_options_of(const convmixer_image_options& options);

// Throws Error(kInvalidArgument) for a value that convmixer.h does not allow.
TransformOptions transform_options_of(const convmixer_image_options& options);

}  // namespace convmixer
