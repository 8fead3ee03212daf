// SPDX-License-Identifier: Apache-2.0
#include "cli/png_writer.h"

#include <png.h>

#include <cstring>
#include <string>

#include "cli/handles.h"

namespace convmixer::cli {

std::vector<std::uint8_t> encode_png(const std::vector<std::uint8_t>& pixels, int width,
                                     int height) {
  png_image image;
  std::memset(&image, 0, sizeof(image));
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = PNG_FORMAT_RGB;
  std::vector<std::uint8_t> encoded(PNG_IMAGE_PNG_SIZE_MAX(image));
  png_alloc_size_t size = encoded.size();
  if (png_image_write_to_memory(&image, encoded.data(), &size, 0, pixels.data(), 0, nullptr) == 0) {
    throw Failure(kFailed, std::string("the PNG cannot be encoded: ") + image.message);
  }
  encoded.resize(size);
  return encoded;
}

void write_png(OutputFile& file, const std::vector<std::uint8_t>& pixels, int width, int height) {
  const std::vector<std::uint8_t> encoded = encode_png(pixels, width, height);
  file.write(encoded.data(), encoded.size());
}

}  // namespace convmixer::cli
