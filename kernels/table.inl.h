// SPDX-License-Identifier: Apache-2.0
// The kernel texts, compiled for CONVMIXER_ISA, and the one symbol that an instruction set's object
// exports.
#pragma once

#include "kernels/activation.inl.h"
#include "kernels/depthwise.inl.h"
#include "kernels/head.inl.h"
#include "kernels/patch_embed.inl.h"
#include "kernels/pointwise.inl.h"
#include "kernels/strassen.inl.h"

namespace convmixer::CONVMIXER_ISA {

extern const KernelTable kTable;
const KernelTable kTable = {
    kName,
    kLanes,
    kOcTile,
    kPixelTile,
    {pointwise<kActIdentity>, pointwise<kActRelu>, pointwise<kActGelu>},
    {strassen<kActIdentity>, strassen<kActRelu>, strassen<kActGelu>},
    {depthwise<kActIdentity>, depthwise<kActRelu>, depthwise<kActGelu>},
    patches<float, false>,
    patches<unsigned char, true>,
    mean,
    {activation<kActIdentity>, activation<kActRelu>, activation<kActGelu>},
    fma_peak,
};

}  // namespace convmixer::CONVMIXER_ISA
