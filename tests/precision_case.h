// SPDX-License-Identifier: Apache-2.0
// Single layers in bf16 and int8, and running the kernels on them.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "tests/precision_data.h"

namespace convmixer::test {

struct LayerShape {
  int ic, oc, k, h, w;  // k of a depthwise layer, whose channels are ic
};

std::string text(const LayerShape& shape);  // "ic3_oc17_k1_2x150"

// One layer with operands of the table's precision.
struct LayerCase {
  const KernelTable& table;
  LayerShape s;
  bool depthwise, patch;  // patch: the operands of the patch embedding, 16 bits in int8
  int levels = 0;         // of Strassen's algorithm
  KernelActivation activation;
  std::vector<float> src, weights;  // (ic, h, w); [oc][ic] or [ic][k][k]
  std::vector<float> bias, scale, shift, unscale, zero, src_scale;

  // Random operands; the seed is the shape's.
  LayerCase(const KernelTable& table, const LayerShape& shape, bool depthwise, bool patch,
            KernelActivation activation);
  // The same operands for another variant.
  LayerCase(const LayerCase& other, const KernelTable& table);

  bool integers() const { return table.precision == kInt8; }
  bool bytes() const { return integers() && !patch; }
  int per_word() const { return patch && integers() ? 2 : table.per_word; }
  // In int8; no sum leaves int32.
  int most_src() const { return patch ? kMostPatchValue : 255; }
  int most_weight() const { return patch ? std::min(32767, 500000 / s.ic) : 127; }

  std::vector<float> values(Random& random, std::size_t count, int least, int most) const;
  float src_at(int c, int y, int x) const {
    return src[static_cast<std::size_t>((c * s.h + y) * s.w + x)];
  }
};

// The kernel's results, in planes or in a panel, rows and tiles in one call or one by one.
Words run(const LayerCase& layer, bool in_pieces);

}  // namespace convmixer::test
