// SPDX-License-Identifier: Apache-2.0
// The published models with random weights: speed does not depend on what the weights are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cli/presets.h"

namespace convmixer::cli {

// Uniform in [−1, 1), the same numbers with any compiler (splitmix64).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  float next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<float>((z ^ (z >> 31)) >> 40) * 0x1p-23f - 1.0f;
  }

 private:
  std::uint64_t state_;
};

// By its name, "convmixer_256_8", or what is behind the first underscore; null for any other.
const Preset* find_preset(const std::string& name);
std::string preset_names();  // "convmixer_1536_20, …": for messages

// A safetensors file of the preset's shape in timm's names, always the same one. It has no name in
// any folder, so that nothing is left however the process ends, and goes with this object. Throws
// Failure with the folder and the system's reason, as for a full disk.
class RandomWeights {
 public:
  explicit RandomWeights(const Preset& preset);  // written to TMPDIR, else to /tmp
  ~RandomWeights();
  RandomWeights(const RandomWeights&) = delete;
  RandomWeights& operator=(const RandomWeights&) = delete;

  std::string path() const;  // by which this process can open it

 private:
  void write(const void* data, std::size_t size);
  [[noreturn]] void fail(int error);

  std::string folder_;
  int fd_ = -1;
};

}  // namespace convmixer::cli
