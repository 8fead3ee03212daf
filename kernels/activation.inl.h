// SPDX-License-Identifier: Apache-2.0
// Activations of one vector, and the epilogues that follow a sum.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

// x·Φ(x), the exact (erf) GELU, to 4e-7 of max(1, |x|). Φ(x) = 1/2 + x·P(s), s = 2x²/c² − 1, for
// |x| ≤ c = 5.2, beyond which Φ is 0 or 1 to single precision; derive_gelu.py has the fit, and
// why it is in s. Below −c the factor x is clamped too: −∞ gives about 0 and not NaN. NaN goes
// through.
inline Vec gelu(Vec x) {
  constexpr float kClamp = 5.2f;
  constexpr float kP[] = {0.13594998f,   -0.06774362f,   0.050025616f,  -0.039931986f, 0.031973917f,
                          -0.02469884f,  0.018038778f,   -0.012619661f, 0.0083650835f, -0.00454231f,
                          0.0020051931f, -0.0014687774f, 0.0011886808f, -0.0003882335f};
  constexpr int kDegree = sizeof(kP) / sizeof(kP[0]) - 1;
  const Vec above = max(set1(-kClamp), x);
  const Vec clamped = min(set1(kClamp), above);
  const Vec s = fma(mul(clamped, clamped), set1(2.0f / (kClamp * kClamp)), set1(-1.0f));
  Vec p = set1(kP[kDegree]);
#pragma GCC unroll 16
  for (int i = kDegree - 1; i >= 0; --i) p = fma(p, s, set1(kP[i]));
  return mul(above, fma(clamped, p, set1(0.5f)));
}

template <KernelActivation A>
inline Vec activate(Vec x) {
  if constexpr (A == kActRelu) return max(set1(0.0f), x);
  if constexpr (A == kActGelu) return gelu(x);
  return x;
}

template <KernelActivation A>
void activation(const float* src, float* dst, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i += kLanes) store(dst + i, activate<A>(load(src + i)));
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
