// SPDX-License-Identifier: Apache-2.0
// How a run of ours is cut: batches into chunks, layers into strips of pixel rows.
#pragma once

#include "engine/plan.h"

namespace convmixer {

// The most pixels of a strip, unless a single row has more or most_strip_rows adds one to make a
// pair: enough to use each weight often, few enough for the panel to stay in L2.
int most_strip_pixels(const Geometry& geometry, const KernelTable& table);

// How the work of one layer over n images is cut: strips of `rows` rows of pixels and, where there
// are more threads than strips, each strip's output channels in `parts`.
struct Split {
  int rows, strips, parts;
};
Split choose_split(const Geometry& geometry, const NativePlan& native, int n, int threads,
                   int oc_tiles);

// The most rows of a strip that choose_split gives for any n and threads.
int most_strip_rows(const Geometry& geometry, const NativePlan& native);

// Images of a chunk: enough for 16 tasks a thread in every layer, so that threads wait little for
// each other at its end, as long as the activations of all of them leave half of the L3 cache to
// the weights; but in any case a task for each thread, and with low_memory no more.
int choose_chunk(const Geometry& geometry, const NativePlan& native, int threads);

}  // namespace convmixer
