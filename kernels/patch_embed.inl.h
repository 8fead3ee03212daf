// SPDX-License-Identifier: Apache-2.0
// Patches of an image as a panel, so that the patch embedding is a pointwise product over 3·p·p
// channels.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

// A column of a panel (one pixel, all channel blocks), written in order.
template <class P>
struct PanelColumn {
  typename P::Element* block;
  ptrdiff_t block_stride;  // in elements
  int lane = 0;

  template <typename T>
  void put(const T* values, int count) {
    while (count > 0) {
      const int n = count < kLanes - lane ? count : kLanes - lane;
      for (int i = 0; i < n; ++i) block[lane + i] = P::element(static_cast<float>(values[i]));
      values += n;
      count -= n;
      lane += n;
      if (lane == kLanes) {
        lane = 0;
        block += block_stride;
      }
    }
  }
  void finish() {
    for (; lane > 0 && lane < kLanes; ++lane) block[lane] = 0;
  }
};

// T is what the image holds; (h, w, 3) where the channels come last, else (3, h, w). P is the
// panel's precision.
template <typename T, bool kChannelsLast, class P>
void patches(const PatchParams* params) {
  const PatchParams& p = *params;
  const T* const src = static_cast<const T*>(p.src);
  const int size = p.patch_size;
  const ptrdiff_t plane = static_cast<ptrdiff_t>(p.h) * p.w;
  for (int i = 0; i < p.count; ++i) {
    const int y = (p.first + i) / p.w_out * size, x = (p.first + i) % p.w_out * size;
    PanelColumn<P> column{reinterpret_cast<typename P::Element*>(p.panel) + i * kLanes,
                          p.panel_block_stride * P::kPerWord};
    for (int c = 0; c < (kChannelsLast ? 1 : 3); ++c) {
      for (int ky = 0; ky < size; ++ky) {
        const ptrdiff_t pixel = static_cast<ptrdiff_t>(y + ky) * p.w + x;
        const T* const run = kChannelsLast ? src + pixel * 3 : src + c * plane + pixel;
        const int length = kChannelsLast ? 3 * size : size;
        column.put(run, length);
      }
    }
    column.finish();
  }
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
