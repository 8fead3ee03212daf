// SPDX-License-Identifier: Apache-2.0
// Pointwise products by Strassen's algorithm (kernels/strassen.inl.h), one level or two: which
// layers may, how their channels are balanced, and their weights.
//
// Its error is bounded by norms, not by element: where a channel is added to one a thousand times
// larger, three digits of it are lost. So the channels of r, the product's operand, and the rows of
// the weights are scaled to about 1 by powers of two, which is exact:
//   Σ_i w[o][i]·r[i] = 2^−f[o] · Σ_i (2^(f[o] − d[i]) · w[o][i]) · (2^d[i] · r[i]),
// where BatchNorm's running statistics tell how large r[i] is. 2^d goes into the depthwise layer's
// epilogue, 2^−f into the product's.
#pragma once

#include <string>
#include <vector>

#include "engine/graph.h"
#include "engine/packing.h"
#include "engine/plan.h"
#include "support/buffer.h"

namespace convmixer {

// Rows of pixels a strip, the operand of one product: at most 128 pixels (or one row, of up to
// 256), with two levels 256 (their halves and quarters are 64: half of it is 2 to 8 % slower, since
// each weight would be used too little), and of floats of 1024 channels or more 256; a multiple of
// 2^levels in every strip; 0 where no number of rows will do. Where pixels share a word, the parts
// are whole rows, together of an even number of pixels, and a strip may have up to 256 to have a
// row for each. It depends on the image and the number of channels alone: pixels that share
// roundings must not change with batch or threads.
int strassen_rows(const Geometry& geometry, const KernelTable& table, int levels);

struct Balance {
  std::vector<float> ic;  // 2^d
  std::vector<float> oc;  // 2^f
  double spread = 1;  // of what remains, see strassen.cpp; infinite where anything is not finite
};

// `before` makes the block's input (its affine and statistics tell the residual's size).
Balance balance(const Node& before, const Node& depthwise, const Node& pointwise);

// Why the layers of this shape cannot be Strassen products, or "".
std::string refuse_strassen(const Geometry& geometry, const KernelTable& table, int levels);
// Why they would gain nothing by this level, or "".
std::string doubt_strassen(const Geometry& geometry, const KernelTable& table, int levels);
// Why this layer would lose accuracy, or "".
std::string refuse_strassen(const Balance& balance);

// [oc tile of the first 1/n][7^levels][dim / n][oc tile], n = 2^levels: what the products multiply,
// of dim × dim weights row by row.
Buffer<float> strassen_weights(const float* weights, int dim, int oc_tile, int levels);

// As pack_pointwise, for KernelTable::strassen.
PackedPointwise pack_strassen(const Node& pointwise, const Balance& balance,
                              const KernelTable& table, int levels);

}  // namespace convmixer
