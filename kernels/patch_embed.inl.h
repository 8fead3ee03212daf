// SPDX-License-Identifier: Apache-2.0
// Patches of an image as a panel, so that the patch embedding is a pointwise product over 3·p·p
// channels.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

// The columns of a panel, one pixel and all its channels each: values are gathered as they come,
// and go to the panel as whole blocks, but not before the next ones are gathered, since what was
// just stored is slow to load in other pieces.
template <class P, typename T>
struct PanelColumns {
  static constexpr int kMost = 32 * kLanes;  // all of a 7 × 7 patch, in L1; larger ones in parts
  static_assert(32 % P::kPanelBlocks == 0, "a part begins with a row of the panel");
  struct Part {
    typename P::Element* row;  // of kPanelBlocks blocks
    int count = 0;
    alignas(64) T values[2 * kMost + kCopySlack / sizeof(T)];
  };
  ptrdiff_t row_stride;  // in elements
  float scale;
  Part parts[2];
  int now = 0;

  PanelColumns(ptrdiff_t stride, float factor) : row_stride(stride), scale(factor) {}

  // Where the first values go.
  T* begin(typename P::Element* row) {
    parts[now].row = row;
    return parts[now].values;
  }
  // n more; returns where the next ones go.
  T* put(T* to, const T* values, int n) {
    while (n > 0) {
      const int count = n < kMost ? n : kMost;
      copy_values(to, values, count);
      to += count;
      values += count;
      n -= count;
      if (to < parts[now].values + kMost) continue;
      const int more = static_cast<int>(to - parts[now].values) - kMost;
      const T* const behind = parts[now].values + kMost;
      typename P::Element* const row = parts[now].row;
      end(parts[now].values + kMost);
      to = begin(row + kMost / (kLanes * P::kPanelBlocks) * row_stride);
      for (int i = 0; i < more; ++i) *to++ = behind[i];
    }
    return to;
  }
  // Of a column, or of as much of it as is written at once.
  void end(T* to) {
    const int count = static_cast<int>(to - parts[now].values);
    const int blocks = (count + kLanes - 1) / kLanes;
    if (count < blocks * kLanes) __builtin_memset(to, 0, kLanes * sizeof(T));
    parts[now].count = blocks * kLanes;
    now = 1 - now;
    write(parts[now]);
  }
  void finish() { write(parts[1 - now]); }

  void write(Part& part) const {
    typename P::Element* row = part.row;
    for (int b = 0, block = 0; b < part.count; b += kLanes) {
      P::template store_patch<T>(row + block * kLanes, load_values(part.values + b), scale);
      if (++block < P::kPanelBlocks) continue;
      block = 0;
      row += row_stride;
    }
    part.count = 0;
  }
};

// T is what the image holds; (h, w, 3) where the channels come last, else (3, h, w). P is the
// panel's precision.
template <typename T, bool kChannelsLast, class P>
void patches(const PatchParams* params) {
  const PatchParams& p = *params;
  const T* const src = static_cast<const T*>(p.src);
  const int size = p.patch_size;
  constexpr int kValues = kChannelsLast ? 3 : 1;  // of a pixel, side by side
  const int run_values = size * kValues;
  const bool fits = 3 * size * size <= PanelColumns<P, T>::kMost;  // into a part
  const ptrdiff_t plane = static_cast<ptrdiff_t>(p.h) * p.w;
  PanelColumns<P, T> columns(p.panel_block_stride * P::kPerWord, p.scale);
  int row = p.first / p.w_out, column = p.first % p.w_out;
  for (int i = 0; i < p.count; ++i) {
    T* to = columns.begin(reinterpret_cast<typename P::Element*>(p.panel) +
                          i * kLanes * P::kPanelBlocks * P::kPieces);
    const T* const first = src + (static_cast<ptrdiff_t>(row) * p.w + column) * size * kValues;
    for (int c = 0; c < 3 / kValues; ++c) {
      const T* run = first + c * plane;
      for (int ky = 0; ky < size; ++ky, run += ptrdiff_t{p.w} * kValues) {
        if (fits) {
          copy_values(to, run, run_values);
          to += run_values;
        } else {
          to = columns.put(to, run, run_values);
        }
      }
    }
    columns.end(to);
    if (++column < p.w_out) continue;
    column = 0;
    ++row;
  }
  columns.finish();
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
