// SPDX-License-Identifier: Apache-2.0
// The mean over pixels; the classifier behind it is a pointwise product whose pixels are images.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

template <class P>
void mean(const MeanParams* params) {
  const MeanParams& p = *params;
  const int whole = p.w / P::kPerWord, rest = p.w % P::kPerWord;
  const Vec ones = P::ones(P::kPerWord);
  Vec total = set1(0.0f);
  for (int y = 0; y < p.h; ++y) {
    const float* const row = p.src + y * static_cast<ptrdiff_t>(p.row_stride);
    Vec sum = set1(0.0f);
    for (int x = 0; x < whole; ++x) sum = P::dot(load(row + x * kLanes), ones, sum);
    if (rest > 0) sum = P::dot(load(row + whole * kLanes), P::ones(rest), sum);
    total = add(total, P::to_float(sum));
  }
  const Vec mean = mul(total, set1(1.0f / (static_cast<float>(p.h) * static_cast<float>(p.w))));
  if constexpr (P::kUnscale) {
    store(p.dst, fma(mean, load(p.scale), load(p.shift)));
  } else {
    store(p.dst, mean);
  }
}

// kPeakChains independent chains of multiply-adds in registers: nothing but their units is busy.
template <class P>
double fma_peak(long rounds, float* sink) {
  Vec chain[kPeakChains];
  const Vec factor = set1(0.999f), term = set1(1e-3f);
#pragma GCC unroll 32
  for (int i = 0; i < kPeakChains; ++i) chain[i] = set1(static_cast<float>(i));
  for (long r = 0; r < rounds; ++r) {
#pragma GCC unroll 32
    for (int i = 0; i < kPeakChains; ++i) chain[i] = P::chain(chain[i], factor, term);
  }
  alignas(64) float lanes[kPeakChains * kLanes];
#pragma GCC unroll 32
  for (int i = 0; i < kPeakChains; ++i) store(lanes + i * kLanes, chain[i]);
  *sink = 0;
  for (int i = 0; i < kPeakChains; ++i) *sink += lanes[i * kLanes];
  return 2.0 * kLanes * P::kPerWord * kPeakChains * static_cast<double>(rounds);
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
