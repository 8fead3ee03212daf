// SPDX-License-Identifier: Apache-2.0
// Decoding an image whole, and no more of it than a crop needs: both must give the same pixels, or
// refuse it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "fuzz_target.h"
#include "images/decode.h"
#include "images/transform.h"
#include "support/error.h"

namespace convmixer {

// A progressive JPEG of a few bytes costs a pass over all of its pixels a scan.
constexpr std::uint64_t kMostPixels = std::uint64_t{1} << 18;

inline void decode_both_ways(const std::uint8_t* data, std::size_t size) {
  const std::string name = "<memory>";
  DecodeOptions decode;
  decode.max_pixels = kMostPixels;
  decode.exif_orientation = size % 2 == 0;
  TransformOptions crop;
  crop.height = 24;
  crop.width = size % 3 == 0 ? 24 : 17;
  if (size % 5 == 0) crop.interpolation = Interpolation::kBilinear;
  const std::size_t bytes = static_cast<std::size_t>(crop.height * crop.width) * 3;
  std::vector<std::uint8_t> of_whole(bytes), at_once(bytes);
  const bool whole = takes<Error>([&] {
    const RgbImage image = decode_image(data, size, decode, name);
    const std::size_t stride = static_cast<std::size_t>(image.width) * 3;
    require(image.pixels.size() == stride * static_cast<std::size_t>(image.height),
            "an image has the pixels that its sides say");
    transform_image({image.pixels.data(), image.width, image.height, stride}, crop,
                    of_whole.data());
  });
  const bool part =
      takes<Error>([&] { decode_transformed(data, size, decode, crop, name, at_once.data()); });
  require(whole == part, "an image is refused both ways or taken both ways");
  if (whole) require(of_whole == at_once, "the crop is the same both ways");
}

// Other formats have targets of their own.
inline int decode_if_begins_with(std::string_view first, const std::uint8_t* data,
                                 std::size_t size) {
  if (size >= first.size() && std::memcmp(data, first.data(), first.size()) == 0) {
    decode_both_ways(data, size);
  }
  return 0;
}

}  // namespace convmixer
