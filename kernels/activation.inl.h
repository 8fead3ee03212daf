// SPDX-License-Identifier: Apache-2.0
// Activations of one vector or of some side by side.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

// x·Φ(x), the exact (erf) GELU, to 2.5e-7 of max(1, x), in 16 operations: max(x, 0) − t(|x|),
// where t(a) = a·Φ(−a) = a / q(a)⁸ and q(a) = Φ(−a)^(−1/8) is nearly a polynomial; derive_gelu.py
// has the fit. (C. Hastings, "Approximations for Digital Computers", 1955, has erf in this form.)
// Beyond a = 10 t is 0 to 1e-18, and the bound keeps ∞ / ∞ away. NaN goes through. (Templates, so
// that only variants that use one need its vector functions.)
template <typename V, int N>
inline void gelu_power(V (&x)[N]) {
  constexpr float kQ[] = {1.0905077f,    0.10876129f,     0.048825566f,
                          0.009414777f,  0.0010102905f,   0.00016272742f,
                          9.060738e-05f, -1.5152612e-05f, 2.9527928e-06f};
  constexpr int kDegree = sizeof(kQ) / sizeof(kQ[0]) - 1;
  V a[N], q[N];
#pragma GCC unroll 4
  for (int k = 0; k < N; ++k) {
    a[k] = min(set1(10.0f), abs(x[k]));
    q[k] = set1(kQ[kDegree]);
  }
#pragma GCC unroll 8
  for (int i = kDegree - 1; i >= 0; --i) {
#pragma GCC unroll 4
    for (int k = 0; k < N; ++k) q[k] = fma(q[k], a[k], set1(kQ[i]));
  }
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
#pragma GCC unroll 4
    for (int k = 0; k < N; ++k) q[k] = mul(q[k], q[k]);
  }
#pragma GCC unroll 4
  for (int k = 0; k < N; ++k) x[k] = sub(max(set1(0.0f), x[k]), div(a[k], q[k]));
}

// The same to 1e-7 of max(1, |x|), in 18 operations of which 6 are table lookups, where those take
// turns with the multiply-adds on other ports: max(x, 0) − t(|x|), where t(a) = a·Φ(−a) is
// piecewise a polynomial in a − i·width, i = round(a / width). Adding 1.5·2²³ rounds, and leaves i
// in the lowest bits of the sum. Beyond 15.5 pieces t is 0 to 2e-7.
template <typename V>
inline V gelu_pieces(V x) {
  constexpr float kWidth = 45.0f / 128, kRound = 12582912.0f;
  alignas(64) static constexpr float kT[][16] = {
      {0.0f, 0.12747064f, 0.16944534f, 0.15375671f, 0.112253845f, 0.06923972f, 0.03682149f,
       0.017051158f, 0.0069128457f, 0.0024613773f, 0.0007711879f, 0.00021288452f, 5.181911e-05f,
       1.1128701e-05f, 2.109507e-06f, 3.5304018e-07f},
      {0.49999997f, 0.23073506f, 0.021916214f, -0.095476635f, -0.12889092f, -0.110205725f,
       -0.07350909f, -0.04059611f, -0.019036926f, -0.0076793632f, -0.0026850326f, -0.0008175971f,
       -0.00021751155f, -5.0670347e-05f, -1.03529865e-05f, -1.8576023e-06f},
      {-0.398939f, -0.35185498f, -0.23455311f, -0.101527035f, -0.0016699162f, 0.046376143f,
       0.05281624f, 0.039167203f, 0.022585185f, 0.010706982f, 0.0042792074f, 0.0014616034f,
       0.00043019356f, 0.00010970648f, 2.43322e-05f, 4.7066032e-06f},
      {-8.545685e-05f, 0.08517966f, 0.12799414f, 0.116111174f, 0.07035463f, 0.022692846f,
       -0.006813344f, -0.01628695f, -0.014008464f, -0.008473521f, -0.004046715f, -0.0015933221f,
       -0.0005284143f, -0.0001494499f, -3.6332818e-05f, -7.633606e-06f},
      {0.06747048f, 0.04893781f, 0.01024192f, -0.02399967f, -0.036418363f, -0.028568262f,
       -0.013258307f, -0.0014720263f, 0.0035070025f, 0.0037843683f, 0.002420817f, 0.0011635855f,
       0.00045035777f, 0.00014476619f, 3.9307262e-05f, 9.1098855e-06f},
      {-0.0051128836f, -0.01812959f, -0.023196863f, -0.014023184f, -0.00034828085f, 0.007930032f,
       0.008400152f, 0.004733624f, 0.0011778586f, -0.00055335445f, -0.0008362751f, -0.0005612703f,
       -0.00026782337f, -0.00010053551f, -3.0927913e-05f, -7.965218e-06f},
  };
  constexpr int kDegree = sizeof(kT) / sizeof(kT[0]) - 1;
  const V a = min(set1(15.499f * kWidth), abs(x));
  const V index = fma(a, set1(1 / kWidth), set1(kRound));
  const V r = fma(sub(index, set1(kRound)), set1(-kWidth), a);
  V t = lookup(kT[kDegree], index);
#pragma GCC unroll 8
  for (int k = kDegree - 1; k >= 0; --k) t = fma(t, r, lookup(kT[k], index));
  return sub(max(set1(0.0f), x), t);
}

// The same to 9e-5 of max(1, |x|), in 12 operations, where results are rounded to 2⁻⁹ or to bytes:
// Φ(x) = 1/2 + x·P(s), s = 2x²/c² − 1, for |x| ≤ c = 3.7. Below −c the factor x is clamped too: −∞
// gives about 0 and not NaN. In s the coefficients keep digits that they would lose in x².
inline Vec gelu_short(Vec x) {
  constexpr float kClamp = 3.7f;
  constexpr float kP[] = {0.18942212f,  -0.08824737f,  0.05472113f,  -0.032430235f,
                          0.019034708f, -0.010966217f, 0.0035779006f};
  constexpr int kDegree = sizeof(kP) / sizeof(kP[0]) - 1;
  const Vec above = max(set1(-kClamp), x);
  const Vec clamped = min(set1(kClamp), above);
  const Vec s = fma(mul(clamped, clamped), set1(2.0f / (kClamp * kClamp)), set1(-1.0f));
  Vec p = set1(kP[kDegree]);
#pragma GCC unroll 8
  for (int i = kDegree - 1; i >= 0; --i) p = fma(p, s, set1(kP[i]));
  return mul(above, fma(clamped, p, set1(0.5f)));
}

template <class P, bool kPieces, typename V, int N>
inline void gelu(V (&x)[N]) {
  if constexpr (P::kExactGelu && !kPieces) {
    gelu_power(x);
  } else {
#pragma GCC unroll 4
    for (int k = 0; k < N; ++k) {
      if constexpr (P::kExactGelu) {
        x[k] = gelu_pieces(x[k]);
      } else {
        x[k] = gelu_short(x[k]);
      }
    }
  }
}

// Of N vectors side by side, since each is a chain of operations that wait for each other.
template <KernelActivation A, class P, int N>
inline void activate(Vec (&x)[N]) {
  if constexpr (A == kActRelu) {
#pragma GCC unroll 4
    for (int k = 0; k < N; ++k) x[k] = max(set1(0.0f), x[k]);
  }
  if constexpr (A == kActGelu) gelu<P, kGeluPieces>(x);
}

// As many vectors at a time as there are, in pairs: body(i, n) of vectors i … i + n − 1, where
// n.value is a constant.
template <int N>
struct Count {
  static constexpr int value = N;
};
template <typename Body>
inline void in_pairs(ptrdiff_t count, Body body) {
  ptrdiff_t i = 0;
  for (; i + 2 <= count; i += 2) body(i, Count<2>());
  if (i < count) body(i, Count<1>());
}

template <KernelActivation A, class P>
void activation(const float* src, float* dst, ptrdiff_t n) {
  in_pairs(
      n / kLanes, [&](ptrdiff_t i, auto count) __attribute__((always_inline)) {
        Vec x[count.value];
        for (int k = 0; k < count.value; ++k) x[k] = load(src + (i + k) * kLanes);
        activate<A, P>(x);
        for (int k = 0; k < count.value; ++k) store(dst + (i + k) * kLanes, x[k]);
      });
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
