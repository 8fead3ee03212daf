// SPDX-License-Identifier: Apache-2.0
// Encoded bytes → RGB, with the very pixels that Pillow's Image.open(...).convert("RGB") gives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace convmixer {

struct RgbImage {
  int width = 0, height = 0;
  std::vector<std::uint8_t> pixels;  // height × width × 3, no padding between rows
};

struct DecodeOptions {
  // Width × height above this is refused from the header, before memory is taken. The default is
  // Pillow's own limit for decompression bombs (2 × 89,478,485).
  std::uint64_t max_pixels = 178956970;
  bool exif_orientation = false;  // turn and mirror as the EXIF tag says (JPEG, PNG, WebP)
};

// JPEG (baseline, progressive; grey, YCbCr, RGB, CMYK, YCCK), PNG (every colour type and depth) and
// WebP (still images), told apart by their first bytes. `name` stands for the image in messages.
// Throws Error: kFormat for what is not such an image, is truncated or damaged; kUnsupported for
// animated WebP; kLimit for more than max_pixels.
RgbImage decode_image(const std::uint8_t* data, std::size_t size, const DecodeOptions& options,
                      const std::string& name);

// A part of an image.
struct Window {
  int left, top, width, height;
};

// Takes an image's rows as they are decoded.
class RowSink {
 public:
  virtual ~RowSink() = default;
  // Before the first row, with the whole image's size: the part that is wanted, at least a pixel.
  virtual Window begin(int width, int height) = 0;
  // The part's rows from the top: width × 3 bytes.
  virtual void add(const std::uint8_t* row) = 0;
};

// As decode_image. What was wrong with an image may come out behind its rows.
void decode_rows(const std::uint8_t* data, std::size_t size, const DecodeOptions& options,
                 const std::string& name, RowSink& sink);

}  // namespace convmixer
