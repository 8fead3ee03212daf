// SPDX-License-Identifier: Apache-2.0
// What the numerical tests share: numbers from a fixed seed, comparison with a report, framed
// buffers.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/buffer.h"

namespace convmixer::test {

constexpr double kEpsilon = 0x1p-24;  // half a unit in the last place of 1.0f

// The limit of an error of a sum of k products computed in float, where `sum` is Σ|a·b|.
double product_limit(int k, double sum);

// splitmix64: the same numbers with any compiler. A fresh one for each test; its seed is printed
// where a comparison fails.
class Random {
 public:
  explicit Random(std::uint64_t seed) : seed_(seed), state_(seed * 0x9E3779B97F4A7C15u) {}
  std::uint64_t seed() const { return seed_; }
  std::uint64_t next();
  float uniform(float low, float high);
  int integer(int low, int high);  // both inclusive
  std::vector<float> uniforms(std::size_t count, float low, float high);
  // Whole numbers in [−32, 32]: their products sum up exactly in float, 16,000 of them.
  std::vector<float> integers(std::size_t count);

 private:
  std::uint64_t seed_, state_;
};

// Compares elements; remembers the first that is wrong and the worst one.
class Comparison {
 public:
  explicit Comparison(std::string what) : what_(std::move(what)) {}
  Comparison(std::string what, std::uint64_t seed) : what_(std::move(what)), seed_(seed) {}

  // limit 0 demands equality. NaN is expected exactly where `want` is NaN; infinities must be
  // equal.
  void add(int n, int c, int h, int w, double want, double got, double limit);

  double worst() const { return worst_ratio_; }  // the largest error as a share of its limit
  testing::AssertionResult result() const;

 private:
  struct Element {
    std::array<int, 4> index{};
    double want = 0, got = 0, limit = 0;
    std::string text() const;
  };
  std::string what_;
  std::uint64_t seed_ = 0;
  std::size_t count_ = 0, wrong_ = 0;
  double worst_ratio_ = 0;
  Element first_, worst_;
};

// `size` floats on a cache line, all of them a marker NaN, between guards of the same: a kernel
// that reads one it was not given carries a NaN into its result, and one that writes it is found
// out.
class Framed {
 public:
  explicit Framed(std::size_t size);
  float* data() { return memory_.data() + kGuard; }
  const float* data() const { return memory_.data() + kGuard; }
  std::size_t size() const { return size_; }
  float& operator[](std::size_t i) { return data()[i]; }
  const float& operator[](std::size_t i) const { return data()[i]; }
  bool untouched(std::size_t i) const;  // still the marker
  testing::AssertionResult frame_intact() const;

 private:
  static constexpr std::size_t kGuard = 64;
  std::size_t size_;
  Buffer<float> memory_;
};

// Whether two arrays are the same, bit for bit; else says where they differ first.
testing::AssertionResult same_bits(const float* want, const float* got, std::size_t count);

// An array of a .npy file: float32 or float64, little-endian, C order. Throws std::runtime_error.
struct Npy {
  std::vector<int> shape;
  std::vector<float> values;
};
Npy read_npy(const std::string& path);

}  // namespace convmixer::test
