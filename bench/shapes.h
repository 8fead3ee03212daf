// SPDX-License-Identifier: Apache-2.0
// Layers of the published models: what benchmarks measure.
#pragma once

namespace convmixer::bench {

struct Preset {
  const char* name;
  int dim, depth, kernel_size, patch_size;
  bool relu;  // else GELU
  int image_size, num_classes;
  int side() const { return image_size / patch_size; }  // pixels of every layer: side()²
};

constexpr Preset kPresets[] = {
    {"convmixer_1536_20", 1536, 20, 9, 7, false, 224, 1000},
    {"convmixer_1024_20", 1024, 20, 9, 14, false, 224, 1000},
    {"convmixer_768_32", 768, 32, 7, 7, true, 224, 1000},
    {"convmixer_256_8", 256, 8, 9, 7, false, 224, 1000},
};

}  // namespace convmixer::bench
