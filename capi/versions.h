// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace convmixer {

// A line each: convmixer, libjpeg-turbo, libpng, libwebp, libzip.
std::string library_versions();

}  // namespace convmixer
