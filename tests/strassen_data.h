// SPDX-License-Identifier: Apache-2.0
// Operands of a Strassen product, from those of the plain one.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/kernels.h"
#include "tests/check.h"

namespace convmixer::test {

struct StrassenOperands {
  // `weights` (oc, ic), oc of all of plain's blocks, are combined by loops of the tests' own; the
  // panel is made of the plain one, which `plain` points to, by the kernel. Neither is
  // needed any more.
  StrassenOperands(const KernelTable& table, const std::vector<float>& weights, int levels,
                   int tiles_at_once, const PointwiseParams& plain);
  StrassenOperands(const StrassenOperands&) = delete;

  // After a call: nothing around the panel and the sums, or between the panel's blocks.
  testing::AssertionResult intact() const;

  std::ptrdiff_t block_words, block_stride, product_stride;  // of the panel
  Framed weights, panel, sums;
  StrassenParams params;
};

// The same as the plain product; dst's tiles in one call, by two at once, or each of the first
// part's in one.
void run_strassen(const KernelTable& table, KernelActivation activation,
                  const std::vector<float>& weights, int levels, const PointwiseParams& plain,
                  bool tile_by_tile);

}  // namespace convmixer::test
