// SPDX-License-Identifier: Apache-2.0
// Weights and values of the layers that benchmarks run: the same numbers with any compiler.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cli/presets.h"
#include "engine/graph.h"
#include "engine/scales.h"
#include "kernels/kernels.h"
#include "support/buffer.h"

namespace convmixer::bench {

constexpr std::array<double, 3> kMean{0.485, 0.456, 0.406}, kStd{0.229, 0.224, 0.225};

// Of int8: bytes of ±4, in all tensors alike.
constexpr float kByteScale = 1.0f / 32, kZeroPoint = 128;

// [−1, 1) (splitmix64).
struct Random {
  std::uint64_t state = 1;
  float next() {
    std::uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<float>((z ^ (z >> 31)) >> 40) * 0x1p-23f - 1.0f;
  }
};

// A graph of the preset's shape with two blocks and random weights; after the passes; the scales of
// its tensors.
Graph random_graph(const Preset& preset);
Graph folded_graph(const Preset& preset);
Node raw_patch_embed(const Node& patch_embed);  // of raw bytes
Quantization quantization_of(const Preset& preset);

// Normalised floats, (3, h, w), and raw bytes, (h, w, 3).
struct Image {
  int h = 0, w = 0;
  Buffer<float> floats;
  std::vector<std::uint8_t> bytes;
};
Image random_image(int h, int w, Random& random);

// An array's values are floats, bf16 (2 bytes each) or bytes, which may take 2 bytes each: `size`
// of them. Value i as a real; random values.
float read_value(Precision precision, int size, const float* values, std::size_t i);
void fill_values(Precision precision, int size, float* values, std::size_t count, Random& random);

}  // namespace convmixer::bench
