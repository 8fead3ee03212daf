// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "tests/kernel_data.h"
#include "tests/kernel_tests.h"

namespace convmixer::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A multiple of max(1, x).
double gelu_limit(const KernelTable& table, double x) {
  const bool in_pieces = table.precision == kFp32 && table.lanes == 16;
  return (in_pieces ? 1.5e-7 : reference::kGeluLimits[table.precision]) * std::max(1.0, x);
}

float apply(const KernelTable& table, KernelActivation activation, float value) {
  Framed src(static_cast<std::size_t>(table.lanes)), dst(static_cast<std::size_t>(table.lanes));
  std::fill_n(src.data(), table.lanes, value);
  table.activation[activation](src.data(), dst.data(), table.lanes);
  EXPECT_TRUE(dst.frame_intact());
  EXPECT_TRUE(same_bits(dst.data(), dst.data() + 1, static_cast<std::size_t>(table.lanes - 1)));
  return dst[0];
}

// Every 509th bit pattern: all exponents, both signs, infinities and NaNs, 8.4 million values.
void check_sweep(const KernelTable& table, KernelActivation activation) {
  constexpr std::size_t kChunk = 1 << 14;
  Framed src(kChunk), dst(kChunk);
  Comparison comparison(std::string("sweep of ") + activation_name(activation_of(activation)));
  std::uint64_t bits = 0;
  while (bits < (std::uint64_t{1} << 32)) {
    for (std::size_t i = 0; i < kChunk; ++i, bits += 509) {
      src[i] = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    }
    table.activation[activation](src.data(), dst.data(), kChunk);
    for (std::size_t i = 0; i < kChunk; ++i) {
      const double x = src[i], want = reference::activate(activation_of(activation), x);
      const double limit = activation == kActGelu ? gelu_limit(table, x) : 0;

      comparison.add(0, 0, 0, static_cast<int>(std::bit_cast<std::uint32_t>(src[i]) >> 23), want,
                     dst[i], limit);
    }
  }
  EXPECT_TRUE(comparison.result());
  EXPECT_TRUE(dst.frame_intact());
  record_worst(comparison, activation);
}

// The part of the range where GELU is neither 0 nor x, densely: (−6, 6) in steps of 2⁻¹⁹.
void check_dense(const KernelTable& table) {
  constexpr std::size_t kChunk = 1 << 12;
  Framed src(kChunk), dst(kChunk);
  Comparison comparison("dense sweep of gelu");
  for (float base = -6.0f; base < 6.0f;) {
    for (std::size_t i = 0; i < kChunk; ++i) src[i] = base + static_cast<float>(i) * 0x1p-19f;
    base += kChunk * 0x1p-19f;
    table.activation[kActGelu](src.data(), dst.data(), kChunk);
    for (std::size_t i = 0; i < kChunk; ++i) {
      const double x = src[i];
      comparison.add(0, 0, 0, static_cast<int>(i), reference::gelu(x), dst[i],
                     gelu_limit(table, x));
    }
  }
  EXPECT_TRUE(comparison.result());
  record_worst(comparison, kActGelu);
}

void check_special_values(const KernelTable& table) {
  const float denormal = std::numeric_limits<float>::denorm_min(),
              huge = std::numeric_limits<float>::max();
  for (const KernelActivation activation : {kActIdentity, kActRelu, kActGelu}) {
    EXPECT_TRUE(std::isnan(apply(table, activation, kNan)));
    EXPECT_TRUE(std::isnan(apply(table, activation, -kNan)));
    EXPECT_EQ(apply(table, activation, kInfinity), kInfinity);
    EXPECT_NEAR(apply(table, activation, huge) / huge, 1.0,
                activation == kActGelu ? gelu_limit(table, 1) : 0.0);
    EXPECT_EQ(apply(table, activation, 0.0f), 0.0f);
    EXPECT_EQ(apply(table, activation, -0.0f), 0.0f);
    EXPECT_NEAR(apply(table, activation, denormal), denormal, denormal);
  }
  EXPECT_EQ(apply(table, kActIdentity, -kInfinity), -kInfinity);
  EXPECT_EQ(apply(table, kActIdentity, -denormal), -denormal);
  EXPECT_EQ(apply(table, kActRelu, -kInfinity), 0.0f);
  EXPECT_EQ(apply(table, kActRelu, -denormal), 0.0f);
  for (const float low : {-kInfinity, -huge, -1e20f, -100.0f, -6.0f}) {
    EXPECT_NEAR(apply(table, kActGelu, low), 0.0, gelu_limit(table, low)) << low;
  }
}

void check_fma_peak(const KernelTable& table) {
  float sink = kNan;
  const double once = table.fma_peak(1, &sink);
  EXPECT_GE(once, 2.0 * table.lanes * 4);  // at least four chains
  EXPECT_TRUE(std::isfinite(sink));
  EXPECT_EQ(table.fma_peak(10, &sink), 10 * once);
}

}  // namespace

KernelTests activation_tests() {
  KernelTests tests;
  for (const KernelActivation activation : {kActIdentity, kActRelu, kActGelu}) {
    tests.push_back({"activation",
                     std::string("sweep_") + activation_name(activation_of(activation)),
                     [=](const KernelTable& t) { check_sweep(t, activation); }});
  }
  tests.push_back({"activation", "dense_gelu", check_dense});
  tests.push_back({"activation", "special_values", check_special_values});
  tests.push_back({"activation", "fma_peak", check_fma_peak});
  return tests;
}

}  // namespace convmixer::test
