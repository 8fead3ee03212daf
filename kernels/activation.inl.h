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
#pragma GCC unroll 8
  for (int k = 0; k < N; ++k) {
    a[k] = least_absolute(set1(10.0f), x[k]);
    q[k] = set1(kQ[kDegree]);
  }
#pragma GCC unroll 8
  for (int i = kDegree - 1; i >= 0; --i) {
#pragma GCC unroll 8
    for (int k = 0; k < N; ++k) q[k] = fma(q[k], a[k], set1(kQ[i]));
  }
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
#pragma GCC unroll 8
    for (int k = 0; k < N; ++k) q[k] = mul(q[k], q[k]);
  }
#pragma GCC unroll 8
  for (int k = 0; k < N; ++k) x[k] = sub(max(set1(0.0f), x[k]), div(a[k], q[k]));
}

// The coefficients of gelu_pieces and of gelu_short_pieces, a row each, of 32 pieces.
struct Pieces {
  alignas(64) static constexpr float kT[][32] = {
      {0.0f,           0.10032342f,    0.15426877f,    0.16997051f,    0.15865526f,
       0.13206221f,    0.1002108f,     0.070103526f,   0.045500264f,   0.027505063f,
       0.015524163f,   0.008194349f,   0.004049694f,   0.0018753313f,  0.0008142018f,
       0.00033156486f, 0.000126685f,   4.542626e-05f,  1.5289545e-05f, 4.831153e-06f,
       1.4332612e-06f, 3.9926184e-07f, 1.0444312e-07f, 2.5657672e-08f, 5.919582e-09f,
       1.2826811e-09f, 2.6104444e-10f, 4.9898835e-11f, 8.9589395e-12f, 1.5108511e-12f,
       2.3932763e-13f, 3.5610356e-14f},
      {0.50000006f,     0.30462772f,     0.13250658f,     0.0007760147f,   -0.08331424f,
       -0.122661114f,   -0.12746939f,    -0.110926755f,   -0.08523249f,    -0.059190292f,
       -0.03761141f,    -0.022027662f,   -0.011945647f,   -0.0060173254f,  -0.0028216958f,
       -0.0012337653f,  -0.0005036163f,  -0.00019209686f, -6.851974e-05f,  -2.2868819e-05f,
       -7.145196e-06f,  -2.0907387e-06f, -5.7311905e-07f, -1.4722141e-07f, -3.544717e-08f,
       -8.001386e-09f,  -1.6935522e-09f, -3.3616174e-10f, -6.258533e-11f,  -1.0930064e-11f,
       -1.7907875e-12f, -2.7528137e-13f},
      {-0.39894643f,   -0.37458315f,  -0.30805656f,   -0.216443f,     -0.12098656f,
       -0.039955813f,  0.016188739f,  0.045834426f,   0.053991053f,   0.04860169f,
       0.037248023f,   0.025291758f,  0.0155115845f,  0.00868691f,    0.0044724885f,
       0.0021265622f,  0.0009367822f, 0.00038321957f, 0.00014583947f, 5.1703402e-05f,
       1.7094442e-05f, 5.275538e-06f, 1.5207931e-06f, 4.0975837e-07f, 1.0324308e-07f,
       2.4336478e-08f, 5.368829e-09f, 1.1088334e-09f, 2.144567e-10f,  3.885137e-11f,
       6.5941775e-12f, 1.0487839e-12f},
      {8.809548e-05f,   0.06316608f,      0.10958278f,     0.12895007f,     0.12067075f,
       0.092630535f,    0.056716677f,     0.023745928f,    0.00017537776f,  -0.012506246f,
       -0.016349388f,   -0.014815429f,    -0.011079543f,   -0.0072269104f,  -0.0042163106f,
       -0.0022306312f,  -0.0010791862f,   -0.00048013567f, -0.00019721208f, -7.4998694e-05f,
       -2.6464993e-05f, -8.680131e-06f,   -2.649756e-06f,  -7.5368325e-07f, -1.9992622e-07f,
       -4.949696e-08f,  -1.14444365e-08f, -2.4726126e-09f, -4.9942395e-10f, -9.434377e-11f,
       -1.6674172e-11f, -2.7580408e-12f},
      {0.065867454f,    0.05724113f,    0.03383971f,    0.0048203277f,  -0.019999344f,
       -0.034034096f,   -0.03595653f,   -0.028914489f,  -0.018009098f,  -0.007729959f,
       -0.00055532454f, 0.003087758f,   0.004043666f,   0.0035128011f,  0.0024853915f,
       0.0015220863f,   0.00082933647f, 0.00040809988f, 0.00018303326f, 7.5278345e-05f,
       2.8513712e-05f,  9.978299e-06f,  3.2339028e-06f, 9.724932e-07f,  2.7176506e-07f,
       7.066188e-08f,   1.7112233e-08f, 3.863066e-09f,  8.1354096e-10f, 1.5992684e-10f,
       2.936257e-11f,   5.0373685e-12f},
  };
  alignas(64) static constexpr float kQ[][32] = {
      {-0.50000405f,    -0.50079125f,    -0.5062199f,     -0.515559f,     -0.5212914f,
       -0.51216304f,    -0.47985056f,    -0.42286986f,    -0.34767726f,   -0.26557705f,
       -0.18814266f,    -0.12356838f,    -0.07526796f,    -0.042550895f,  -0.022344867f,
       -0.0109095f,     -0.0049563833f,  -0.0020970483f,  -0.0008269077f, -0.00030409018f,
       -0.00010435364f, -3.343562e-05f,  -1.0007378e-05f, -2.799184e-06f, -7.320061e-07f,
       -1.7902964e-07f, -4.0963954e-08f, -8.77146e-09f,   -1.758124e-09f, -3.2994285e-10f,
       -5.7987486e-11f, -9.546023e-12f},
      {0.39952374f,    0.41001314f,    0.43917406f,    0.46960032f,    0.48330045f,
       0.4675713f,     0.4208912f,     0.35087383f,    0.2706205f,     0.19321123f,
       0.12783857f,    0.07849075f,    0.044777595f,   0.023763083f,   0.011743663f,
       0.0054096226f,  0.0023245872f,  0.00093249825f, 0.00034941544f, 0.00012236656f,
       4.0069674e-05f, 1.2273888e-05f, 3.5182074e-06f, 9.440066e-07f,  2.3717479e-07f,
       5.581025e-08f,  1.2303016e-08f, 2.5412732e-09f, 4.9194243e-10f, 8.926343e-11f,
       1.5184324e-11f, 2.4218104e-12f},
      {-0.012427464f,   -0.048103128f,   -0.08762353f,    -0.11247992f,    -0.12066499f,
       -0.11388908f,    -0.09701947f,    -0.075499915f,   -0.05407839f,    -0.03582663f,
       -0.022026092f,   -0.012596451f,   -0.0067127235f,  -0.0033378482f,  -0.0015502458f,
       -0.00067306415f, -0.00027335118f, -0.00010390311f, -3.6980557e-05f, -1.2328727e-05f,
       -3.8512385e-06f, -1.127554e-06f,  -3.0947805e-07f, -7.9646256e-08f, -1.9222949e-08f,
       -4.3517154e-09f, -9.2415703e-10f, -1.8413145e-10f, -3.4423374e-11f, -6.038981e-12f,
       -9.942505e-13f,  -1.5363261e-13f},
  };
};

// The same in 14 operations, to 9e-8. Of these 5 are table lookups, where those take turns with the
// multiply-adds on other ports: max(x, 0) − t(|x|), where t(a) = a·Φ(−a) is piecewise a polynomial
// in a − i/4, i = round(4·a). Adding 1.5·2²¹ rounds to quarters, and leaves i in the lowest bits of
// the sum. Where the last piece ends t is 0 to 1e-13.
constexpr float kRoundToQuarters = 3145728.0f, kLastPieceEnds = 7.874f;
template <typename V>
inline V gelu_pieces(V x) {
  constexpr int kDegree = sizeof(Pieces::kT) / sizeof(Pieces::kT[0]) - 1;
  const V a = least_absolute(set1(kLastPieceEnds), x);
  const V index = add(a, set1(kRoundToQuarters)), r = beyond_quarters(a);
  V t = lookup(Pieces::kT[kDegree], index);
#pragma GCC unroll 8
  for (int k = kDegree - 1; k >= 0; --k) t = fma(t, r, lookup(Pieces::kT[k], index));
  return sub(max(set1(0.0f), x), t);
}

// The same in 9 operations, to 2.9e-5 of max(1, x), where results are rounded to bf16: −t(a) =
// a·Q(a), where Q is piecewise a polynomial of degree 2 in a itself.
template <typename V>
inline V gelu_short_pieces(V x) {
  const V a = least_absolute(set1(kLastPieceEnds), x), index = add(a, set1(kRoundToQuarters));
  V q = lookup(Pieces::kQ[2], index);
  q = fma(q, a, lookup(Pieces::kQ[1], index));
  q = fma(q, a, lookup(Pieces::kQ[0], index));
  return fma(q, a, max(set1(0.0f), x));
}

// The same to 1.7e-4 of max(1, x) in 9 operations (10 with AVX2), for int8: −t(a) = a·Q(a) for
// a ≤ 3.9, and −t(3.9) beyond: −∞ gives −1.7e-4. NaN goes through.
inline Vec gelu_short(Vec x) {
  constexpr float kQ[] = {-0.4994536f,  0.38616067f,  0.05025946f,   -0.14562649f,
                          0.059771825f, -0.01034824f, 0.00067527307f};
  constexpr int kDegree = sizeof(kQ) / sizeof(kQ[0]) - 1;
  const Vec a = least_absolute(set1(3.9f), x);
  Vec q = set1(kQ[kDegree]);
#pragma GCC unroll 8
  for (int i = kDegree - 1; i >= 0; --i) q = fma(q, a, set1(kQ[i]));
  return fma(q, a, max(set1(0.0f), x));
}

template <class P, typename V, int N>
inline void gelu(V (&x)[N]) {
  if constexpr (P::kPrecision == kFp32 && !kGeluPieces) {
    gelu_power(x);
  } else {
#pragma GCC unroll 8
    for (int k = 0; k < N; ++k) {
      if constexpr (P::kPrecision == kInt8) {
        x[k] = gelu_short(x[k]);
      } else if constexpr (P::kPrecision == kBf16) {
        x[k] = gelu_short_pieces(x[k]);
      } else {
        x[k] = gelu_pieces(x[k]);
      }
    }
  }
}

// Vectors side by side in an epilogue, since each is a chain of operations that wait for each
// other. (8 instead of 4 or 2: products of 256 channels up to 1.17 times as fast; 8 of the power do
// not fit into 16 registers.)
template <class P>
constexpr int kSideBySide = P::kPrecision == kFp32 && !kGeluPieces ? 2 : 8;

template <KernelActivation A, class P, int N>
inline void activate(Vec (&x)[N]) {
  if constexpr (A == kActRelu) {
#pragma GCC unroll 8
    for (int k = 0; k < N; ++k) x[k] = max(set1(0.0f), x[k]);
  }
  if constexpr (A == kActGelu) gelu<P>(x);
}

template <int N>
struct Count {
  static constexpr int value = N;
};
// kMost at a time, then what is left in pairs, then one: body(i, n) of i … i + n − 1, where n is a
// Count.
template <int kMost, typename Body>
inline void side_by_side(ptrdiff_t count, Body body) {
  ptrdiff_t i = 0;
  for (; i + kMost <= count; i += kMost) body(i, Count<kMost>());
  if constexpr (kMost > 1) {
    side_by_side<(kMost > 2 ? 2 : 1)>(
        count - i, [&](ptrdiff_t j, auto n) __attribute__((always_inline)) { body(i + j, n); });
  }
}

template <KernelActivation A, class P>
void activation(const float* src, float* dst, ptrdiff_t n) {
  side_by_side<kSideBySide<P>>(
      n / kLanes, [&](ptrdiff_t i, auto count) __attribute__((always_inline)) {
        Vec x[count.value];
        for (int k = 0; k < count.value; ++k) x[k] = load(src + (i + k) * kLanes);
        activate<A, P>(x);
        for (int k = 0; k < count.value; ++k) store(dst + (i + k) * kLanes, x[k]);
      });
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
