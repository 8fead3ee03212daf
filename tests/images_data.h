// SPDX-License-Identifier: Apache-2.0
// Images for the tests: files of tests/data/images, and small ones changed byte by byte.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "images/decode.h"

namespace convmixer::test {

using Bytes = std::vector<std::uint8_t>;

inline std::string image_path(const std::string& name) {
  return std::string(CONVMIXER_TEST_DATA) + "/images/" + name;
}

inline Bytes read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

inline RgbImage decode(const Bytes& bytes, const DecodeOptions& options = {}) {
  return decode_image(bytes.data(), bytes.size(), options, "an image");
}

// Every kind of image that people have; each has NAME.expected.png beside it, Pillow's result of
// the evaluation transform (short side 233, centre crop 224).
inline constexpr std::array kImages = {"big.jpg",           "bilevel.png",
                                       "cmyk.jpg",          "gray.jpg",
                                       "gray.png",          "gray16.png",
                                       "gray_alpha.png",    "gray_alpha16.png",
                                       "landscape_420.jpg", "landscape_444.jpg",
                                       "lossy_alpha.webp",  "one_pixel.png",
                                       "palette.png",       "palette_transparent.png",
                                       "portrait_422.jpg",  "progressive.jpg",
                                       "rgb.png",           "rgb.webp",
                                       "rgb16.png",         "rgba.png",
                                       "rgba16.png",        "upscale.png",
                                       "wide.jpg"};

}  // namespace convmixer::test
