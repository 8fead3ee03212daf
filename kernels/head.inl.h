// SPDX-License-Identifier: Apache-2.0
// The mean over pixels; the classifier behind it is a pointwise product whose pixels are images.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

void mean(const MeanParams* params) {
  const MeanParams& p = *params;
  Vec total = set1(0.0f);
  for (int y = 0; y < p.h; ++y) {
    const float* const row = p.src + y * static_cast<ptrdiff_t>(p.row_stride);
    Vec sum = set1(0.0f);
    for (int x = 0; x < p.w; ++x) sum = add(sum, load(row + x * kLanes));
    total = add(total, sum);
  }
  store(p.dst, mul(total, set1(1.0f / (static_cast<float>(p.h) * static_cast<float>(p.w)))));
}

// kPeakChains independent chains of multiply-adds in registers: nothing but the FMA units is busy.
double fma_peak(long rounds, float* sink) {
  Vec chain[kPeakChains];
  const Vec factor = set1(0.999f), term = set1(1e-3f);
#pragma GCC unroll 32
  for (int i = 0; i < kPeakChains; ++i) chain[i] = set1(static_cast<float>(i));
  for (long r = 0; r < rounds; ++r) {
#pragma GCC unroll 32
    for (int i = 0; i < kPeakChains; ++i) chain[i] = fma(chain[i], factor, term);
  }
  Vec sum = chain[0];
#pragma GCC unroll 32
  for (int i = 1; i < kPeakChains; ++i) sum = add(sum, chain[i]);
  alignas(64) float lanes[kLanes];
  store(lanes, sum);
  *sink = lanes[0];
  return 2.0 * kLanes * kPeakChains * static_cast<double>(rounds);
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
