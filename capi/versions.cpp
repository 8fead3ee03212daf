// SPDX-License-Identifier: Apache-2.0
#include "capi/versions.h"

#include <fmt/format.h>
#include <jpeglib.h>
#include <png.h>
#include <webp/decode.h>
#include <zip.h>

#include <cstdio>  // jpeglib.h needs FILE and does not include it

#include "convmixer.h"

namespace convmixer {
namespace {

#define CONVMIXER_TEXT_OF(tokens) #tokens
#define CONVMIXER_TEXT(macro) CONVMIXER_TEXT_OF(macro)

// libjpeg-turbo tells its version to the compiler only; other libjpegs tell that of the interface.
std::string jpeg_version() {
#ifdef LIBJPEG_TURBO_VERSION
  return "libjpeg-turbo " CONVMIXER_TEXT(LIBJPEG_TURBO_VERSION) " (when this was built)";
#else
  return "libjpeg " CONVMIXER_TEXT(JPEG_LIB_VERSION) " (when this was built)";
#endif
}

#undef CONVMIXER_TEXT
#undef CONVMIXER_TEXT_OF

}  // namespace

std::string library_versions() {
  const int webp = WebPGetDecoderVersion();  // 0xMMmmrr
  return fmt::format("convmixer {}.{}.{}\n{}\nlibpng {}\nlibwebp {}.{}.{}\nlibzip {}\n",
                     CONVMIXER_VERSION_MAJOR, CONVMIXER_VERSION_MINOR, CONVMIXER_VERSION_PATCH,
                     jpeg_version(), png_get_libpng_ver(nullptr), webp >> 16 & 0xff,
                     webp >> 8 & 0xff, webp & 0xff, zip_libzip_version());
}

}  // namespace convmixer
