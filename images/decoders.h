// SPDX-License-Identifier: Apache-2.0
// One decoder a format, and what they share. Inside images/ only.
#pragma once

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "images/decode.h"
#include "support/error.h"

namespace convmixer {

struct ImageBytes {
  const std::uint8_t* data;
  std::size_t size;
  const std::string& name;  // for messages

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(Code::kFormat, name + ": " + what);
  }
};

// Each checks the number of pixels before it takes memory for them, and turns the image as its EXIF
// block says where options.exif_orientation asks for it.
void decode_jpeg(const ImageBytes& bytes, const DecodeOptions& options, RowSink& sink);
void decode_png(const ImageBytes& bytes, const DecodeOptions& options, RowSink& sink);
void decode_webp(const ImageBytes& bytes, const DecodeOptions& options, RowSink& sink);

// The way out for an image that had to be decoded as a whole. `exif` may be empty.
void give(RgbImage image, const std::vector<std::uint8_t>& exif, RowSink& sink);

// Keeps all of an image.
class WholeImage final : public RowSink {
 public:
  Window begin(int width, int height) override;
  void add(const std::uint8_t* row) override;
  RgbImage image;
};

// Throws Error(kLimit) above max_pixels, or above what memory can address. Sides fit 32 bits in
// every format, so the product fits 64.
void check_pixels(std::uint64_t width, std::uint64_t height, const DecodeOptions& options,
                  const std::string& name);

// An image of that size, checked, with its pixels allocated.
RgbImage allocate_image(std::uint64_t width, std::uint64_t height, const DecodeOptions& options,
                        const std::string& name);

// 1 … 8 as EXIF numbers them; 1, upright, where the block is damaged or says nothing. The block is
// TIFF, with or without "Exif\0\0" in front, or empty.
int exif_orientation(const std::uint8_t* tiff, std::size_t size);
RgbImage apply_orientation(RgbImage image, int orientation);

// Calls into a C library whose errors leave by longjmp. The error handler copies its text into
// `text` and jumps to `target`; run() turns that into an exception. What `f` calls between run()
// and the library must hold no object with a destructor.
struct GuardedCalls {
  std::jmp_buf target;
  char text[256] = "";

  void set_text(const char* message) { std::snprintf(text, sizeof(text), "%s", message); }

  template <typename F>
  void run(const ImageBytes& bytes, const char* format, F f) {
    if (setjmp(target) != 0) bytes.fail(std::string("damaged ") + format + " image: " + text);
    f();
  }
};

}  // namespace convmixer
