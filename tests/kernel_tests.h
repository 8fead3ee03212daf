// SPDX-License-Identifier: Apache-2.0
// The kernel tests, one list an operator. test_kernels.cpp registers them for every variant as
// `<op>/<variant>.<shape>`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace convmixer::test {

struct KernelTest {
  std::string op, shape;
  std::function<void(const KernelTable&)> body;
};
using KernelTests = std::vector<KernelTest>;

// Sizes are relative to the table's tiles.
KernelTests pointwise_tests(const KernelTable& table);
KernelTests strassen_tests(const KernelTable& table);
KernelTests depthwise_tests(const KernelTable& table);
KernelTests patch_tests(const KernelTable& table);  // patches, the patch embedding, the mean
KernelTests activation_tests();
// The same in bf16 and int8.
KernelTests precision_tests(const KernelTable& table);
KernelTests precision_patch_tests();  // patches, the mean
KernelTests depthwise_tile_tests();   // where KernelTable::taps_in_tiles

}  // namespace convmixer::test
