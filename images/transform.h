// SPDX-License-Identifier: Apache-2.0
// The evaluation transform: resize and centre crop, equal to Pillow's byte for byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "images/decode.h"

namespace convmixer {

enum class Interpolation { kBilinear, kBicubic };

struct TransformOptions {
  int height = 224, width = 224;  // of the crop, pixels, 1 to 16384
  double crop_pct = 0.96;         // crop size / resized size, in (0, 1]
  Interpolation interpolation = Interpolation::kBicubic;

  // Of the crop: height · width · 3.
  std::size_t bytes() const {
    return 3 * static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  }
};

// A borrowed RGB image: rows of width × 3 bytes, `stride` bytes apart.
struct RgbView {
  const std::uint8_t* pixels = nullptr;
  int width = 0, height = 0;
  std::size_t stride = 0;
};

// Resizes so that the crop's size is crop_pct of the resized image's, then cuts the centre:
// dst receives options.height × options.width × 3 bytes.
// - square crop of side s: the short side becomes floor(s / crop_pct), the long side
//   floor(short · long_src / short_src);
// - other crops, as timm's ResizeKeepRatio: both sides divided by the smaller of the two ratios
//   src / floor(crop / crop_pct), rounded to nearest, ties to even.
// The crop begins at round((resized − crop) / 2), ties to even.
// Only the pixels that the crop keeps are computed. Throws Error(kInvalidArgument) for options out
// of range and Error(kLimit) where a resized side would exceed 2^30.
void transform_image(const RgbView& src, const TransformOptions& options, std::uint8_t* dst);

// decode_image and transform_image at once, with the same result and errors: decodes no more of a
// JPEG than the crop needs, and has a few rows of it in memory.
void decode_transformed(const std::uint8_t* data, std::size_t size, const DecodeOptions& decode,
                        const TransformOptions& transform, const std::string& name,
                        std::uint8_t* dst);

}  // namespace convmixer
