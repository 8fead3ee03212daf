// SPDX-License-Identifier: Apache-2.0
// The kernel texts, compiled for CONVMIXER_ISA and one precision: CONVMIXER_BF16, CONVMIXER_INT8 or
// neither, with products of matrix tiles where CONVMIXER_TILES, and the one symbol that an
// instruction set's object exports.
#pragma once

#include "kernels/activation.inl.h"
#include "kernels/depthwise.inl.h"
#include "kernels/depthwise_winograd.inl.h"
#include "kernels/head.inl.h"
#include "kernels/patch_embed.inl.h"
#include "kernels/pointwise.inl.h"
#include "kernels/precision_fp32.inl.h"
#include "kernels/strassen.inl.h"
#if defined(CONVMIXER_BF16)
#include "kernels/precision_bf16.inl.h"
#elif defined(CONVMIXER_INT8)
#include "kernels/precision_int8.inl.h"
#elif defined(CONVMIXER_TILES)
#include "kernels/precision_split.inl.h"
#endif
#ifdef CONVMIXER_TILES
#include "kernels/precision_tiles.inl.h"
#endif
#if defined(CONVMIXER_TILES) && defined(CONVMIXER_BF16)
#define CONVMIXER_DEPTHWISE_TILES
#include "kernels/depthwise_tiles.inl.h"
#endif

#define CONVMIXER_TEXT_OF(name) #name
#define CONVMIXER_TEXT(name) CONVMIXER_TEXT_OF(name)

namespace convmixer::CONVMIXER_ISA {
namespace {

#if defined(CONVMIXER_BF16)
using VectorPrecision = Bf16;
#elif defined(CONVMIXER_INT8)
using VectorPrecision = Int8;
#else
using VectorPrecision = Fp32;
#endif
#ifndef CONVMIXER_TILES
using BlockPrecision = VectorPrecision;
#elif defined(CONVMIXER_BF16) || defined(CONVMIXER_INT8)
using BlockPrecision = Tiles<VectorPrecision>;
#else
using BlockPrecision = Split;
#endif

// P: of the blocks.
template <class P>
constexpr KernelTable table() {
  using Products = typename P::Products;
  using Patches = typename P::Patches;
  KernelTable t{};
  t.name = CONVMIXER_TEXT(CONVMIXER_ISA);
  t.precision = P::kPrecision;
  t.per_word = P::kPerWord;
  t.lanes = kLanes;
  t.panel_per_word = Products::kPerWord;
  t.panel_blocks = Products::kPanelBlocks;
  t.pieces = Products::kPieces;
  t.oc_tile = kOcTile;
  t.pixel_tile = kPixelTile;
  t.sum_words = kSumWords;
  t.pointwise[kActIdentity] = pointwise<Products, P, kActIdentity>;
  t.pointwise[kActRelu] = pointwise<Products, P, kActRelu>;
  t.pointwise[kActGelu] = pointwise<Products, P, kActGelu>;
  t.patch_embed[kActIdentity] = pointwise<Patches, P, kActIdentity>;
  t.patch_embed[kActRelu] = pointwise<Patches, P, kActRelu>;
  t.patch_embed[kActGelu] = pointwise<Patches, P, kActGelu>;
  if constexpr (P::kStrassen) {
    t.strassen[kActIdentity] = strassen<P, kActIdentity>;
    t.strassen[kActRelu] = strassen<P, kActRelu>;
    t.strassen[kActGelu] = strassen<P, kActGelu>;
    t.strassen_panel = strassen_panel<typename P::Strassen>;
  }
#if defined(CONVMIXER_DEPTHWISE_TILES)
  t.taps_in_tiles = true;
  t.depthwise[kActIdentity] = depthwise_in_tiles<P, kActIdentity>;
  t.depthwise[kActRelu] = depthwise_in_tiles<P, kActRelu>;
  t.depthwise[kActGelu] = depthwise_in_tiles<P, kActGelu>;
#elif !defined(CONVMIXER_BF16) && !defined(CONVMIXER_INT8)
  t.winograd = true;
  t.depthwise[kActIdentity] = depthwise_of_floats<P, kActIdentity>;
  t.depthwise[kActRelu] = depthwise_of_floats<P, kActRelu>;
  t.depthwise[kActGelu] = depthwise_of_floats<P, kActGelu>;
#else
  t.depthwise[kActIdentity] = depthwise<P, kActIdentity>;
  t.depthwise[kActRelu] = depthwise<P, kActRelu>;
  t.depthwise[kActGelu] = depthwise<P, kActGelu>;
#endif
  t.patches_f32 = patches<float, false, Patches>;
  t.patches_u8 = patches<unsigned char, true, Patches>;
  t.mean = mean<P>;
  t.activation[kActIdentity] = activation<kActIdentity, P>;
  t.activation[kActRelu] = activation<kActRelu, P>;
  t.activation[kActGelu] = activation<kActGelu, P>;
  if constexpr (P::kMatrixTiles) {
    t.fma_peak = P::peak;
  } else {
    t.fma_peak = fma_peak<P>;
  }
  return t;
}

}  // namespace

extern const KernelTable kTable;
constexpr KernelTable kTable = table<BlockPrecision>();

}  // namespace convmixer::CONVMIXER_ISA
