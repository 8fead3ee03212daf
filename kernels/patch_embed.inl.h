// SPDX-License-Identifier: Apache-2.0
// Patches of an image as a panel, so that the patch embedding is a pointwise product over 3·p·p
// channels.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

// A column of a panel (one pixel, all channel blocks), written in order: values are gathered as
// they come, and go to the panel as whole blocks.
template <class P, typename T>
struct PanelColumn {
  static constexpr int kBuffer = 32 * kLanes;  // all of a 7 × 7 patch, in L1; larger ones in parts
  typename P::Element* row;                    // of the next kPanelBlocks blocks
  ptrdiff_t row_stride;                        // in elements
  float scale;
  int block = 0;  // of the row
  int count = 0;
  alignas(64) T buffer[kBuffer];

  void put(const T* values, int n) {
    while (n > 0) {
      const int now = n < kBuffer - count ? n : kBuffer - count;
      T* const to = buffer + count;
      for (int i = 0; i < now; ++i) to[i] = values[i];
      values += now;
      n -= now;
      count += now;
      if (count == kBuffer) flush();
    }
  }
  void flush() {
    for (int b = 0; b < count; b += kLanes) {
      P::store_patch(row + block * kLanes, buffer + b, scale);
      if (++block < P::kPanelBlocks) continue;
      block = 0;
      row += row_stride;
    }
    count = 0;
  }
  void finish() {
    while (count % kLanes != 0) buffer[count++] = 0;
    flush();
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
    PanelColumn<P, T> column;
    column.row =
        reinterpret_cast<typename P::Element*>(p.panel) + i * kLanes * P::kPanelBlocks * P::kPieces;
    column.row_stride = p.panel_block_stride * P::kPerWord;
    column.scale = p.scale;
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
