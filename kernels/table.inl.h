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
#include "kernels/strassen.inl.h"
#if defined(CONVMIXER_BF16)
#include "kernels/precision_bf16.inl.h"
#elif defined(CONVMIXER_INT8)
#include "kernels/precision_int8.inl.h"
#else
#include "kernels/precision_fp32.inl.h"
#ifdef CONVMIXER_TILES
#include "kernels/precision_bf16x3.inl.h"
#endif
#endif
#ifdef CONVMIXER_TILES
#include "kernels/precision_tiles.inl.h"
#endif
#if defined(CONVMIXER_TILES) && defined(CONVMIXER_BF16)
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
using BlockPrecision = Bf16x3Planes;
#endif

// P: of the blocks; those that end in activation A.
template <class P, KernelActivation A>
constexpr void add_kernels(KernelTable& t) {
  t.pointwise[A] = pointwise<typename P::Products, P, A>;
  t.patch_embed[A] = pointwise<typename P::Patches, P, A>;
  if constexpr (P::kStrassen) t.strassen[A] = strassen<P, A>;
#if defined(CONVMIXER_TILES) && defined(CONVMIXER_BF16)
  t.depthwise[A] = depthwise_in_tiles<P, A>;
#elif defined(CONVMIXER_BF16) || defined(CONVMIXER_INT8)
  t.depthwise[A] = depthwise<P, A>;
#else
  t.depthwise[A] = depthwise_of_floats<P, A>;
#endif
  t.activation[A] = activation<A, P>;
}

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
#if defined(CONVMIXER_TILES) && defined(CONVMIXER_BF16)
  t.taps_in_tiles = true;
#elif !defined(CONVMIXER_BF16) && !defined(CONVMIXER_INT8)
  t.winograd = true;
#endif
  add_kernels<P, kActIdentity>(t);
  add_kernels<P, kActRelu>(t);
  add_kernels<P, kActGelu>(t);
  if constexpr (P::kStrassen) t.strassen_panel = strassen_panel<typename P::Strassen>;
  t.patches_f32 = patches<float, false, Patches>;
  t.patches_u8 = patches<unsigned char, true, Patches>;
  t.mean = mean<P>;
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
