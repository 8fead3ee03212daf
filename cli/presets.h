// SPDX-License-Identifier: Apache-2.0
// The published models: what `convmixer bench` and bench/ measure. Numbers only.
#pragma once

namespace convmixer {

struct Preset {
  const char* name;
  int dim, depth, kernel_size, patch_size;
  bool relu;  // else GELU
  static constexpr int kImageSize = 224, kClasses = 1000;
  int side() const { return kImageSize / patch_size; }  // pixels of every layer: side()²
};

constexpr Preset kPresets[] = {
    {"convmixer_1536_20", 1536, 20, 9, 7, false},
    {"convmixer_1024_20", 1024, 20, 9, 14, false},
    {"convmixer_768_32", 768, 32, 7, 7, true},
    {"convmixer_256_8", 256, 8, 9, 7, false},
};

}  // namespace convmixer
