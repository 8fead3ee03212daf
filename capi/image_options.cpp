// SPDX-License-Identifier: Apache-2.0
#include "capi/image_options.h"

#include <fmt/format.h>

#include "capi/failure.h"
#include "capi/structs.h"
#include "support/error.h"

namespace convmixer {

const NamedInterpolation& interpolation_named(const std::string& name) {
  static constexpr NamedInterpolation kInterpolations[] = {{"bicubic", Interpolation::kBicubic},
                                                           {"bilinear", Interpolation::kBilinear}};
  for (const NamedInterpolation& known : kInterpolations) {
    if (name == known.name) return known;
  }
  refuse(fmt::format("interpolation: expected bicubic or bilinear, found \"{}\"", name));
}

DecodeOptions decode_options_of(const convmixer_image_options& options) {
  DecodeOptions decode;
  if (options.max_pixels != 0) decode.max_pixels = options.max_pixels;
  decode.exif_orientation = options.exif_orientation != 0;
  return decode;
}

TransformOptions transform_options_of(const convmixer_image_options& options) {
  TransformOptions transform;
  if (options.image_height < 0 || options.image_width < 0) {
    throw Error(Code::kInvalidArgument,
                fmt::format("image_height and image_width: expected 0 or more, found {} and {}",
                            options.image_height, options.image_width));
  }
  if (options.image_height != 0) transform.height = options.image_height;
  if (options.image_width != 0) transform.width = options.image_width;
  if (options.crop_pct != 0) transform.crop_pct = options.crop_pct;
  if (!(transform.crop_pct > 0 && transform.crop_pct <= 1)) {
    throw Error(
        Code::kInvalidArgument,
        fmt::format("crop_pct: expected more than 0 and at most 1, found {}", options.crop_pct));
  }
  if (options.interpolation != nullptr) {
    transform.interpolation = interpolation_named(options.interpolation).value;
  }
  return transform;
}

convmixer_image_options model_image_options(const convmixer_image_options* given) {
  const convmixer_image_options options = read_options(given);
  if (options.image_height != 0 || options.image_width != 0 || options.crop_pct != 0 ||
      options.interpolation != nullptr) {
    refuse(
        "image_height, image_width, crop_pct and interpolation are the model's here: leave them "
        "0 and NULL");
  }
  return options;
}

}  // namespace convmixer
