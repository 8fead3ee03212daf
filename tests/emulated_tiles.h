// SPDX-License-Identifier: Apache-2.0
// The functions of kernels/simd_amx.h on any CPU, for the texts of matrix tiles; here those on
// tiles: what a register has no room for, or an instruction is not meant for, ends the program.
#pragma once

#include "emulated_tiles_vectors.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

struct TileConfig {
  uint16_t row_bytes[8] = {};
  uint8_t rows[8] = {};
};

struct Tile {
  int rows, words;
  float v[16][16];  // words of whatever they hold
};
thread_local Tile tile_file[8];

inline void need(bool kept) {
  if (!kept) __builtin_trap();
}

inline void configure_tiles(const TileConfig& config) {
  for (int i = 0; i < 8; ++i) {
    need(config.rows[i] <= 16 && config.row_bytes[i] <= 64 && config.row_bytes[i] % 4 == 0);
    tile_file[i] = {config.rows[i], config.row_bytes[i] / 4, {}};
  }
}
inline void release_tiles() { configure_tiles({}); }

template <int kTile>
void clear_tile() {
  need(tile_file[kTile].rows > 0);
  __builtin_memset(tile_file[kTile].v, 0, sizeof(tile_file[kTile].v));
}
template <int kTile>
void load_tile(const float* src, ptrdiff_t stride) {
  Tile& t = tile_file[kTile];
  need(t.rows > 0);
  for (int r = 0; r < t.rows; ++r) {
    const float* const row = src + r * stride / ptrdiff_t{sizeof(float)};
    __builtin_memcpy(t.v[r], row, static_cast<size_t>(t.words) * sizeof(float));
  }
}
template <int kTile>
void load_tile_once(const float* src, ptrdiff_t stride) {
  load_tile<kTile>(src, stride);
}
template <int kTile>
void store_tile(float* dst, ptrdiff_t stride) {
  const Tile& t = tile_file[kTile];
  need(t.rows > 0);
  for (int r = 0; r < t.rows; ++r) {
    float* const row = dst + r * stride / ptrdiff_t{sizeof(float)};
    __builtin_memcpy(row, t.v[r], static_cast<size_t>(t.words) * sizeof(float));
  }
}

inline void add_bf16(const float* a, const float* b, float* sum) {
  uint32_t x, w;
  __builtin_memcpy(&x, a, 4);
  __builtin_memcpy(&w, b, 4);
  for (int i = 0; i < 2; ++i) {  // the first value is in the lower half
    const uint32_t value = i == 0 ? x << 16 : x & 0xffff0000u,
                   weight = i == 0 ? w << 16 : w & 0xffff0000u;
    float v, f;
    __builtin_memcpy(&v, &value, 4);
    __builtin_memcpy(&f, &weight, 4);
    *sum += v * f;
  }
}
inline void add_int8(const float* a, const float* b, float* sum) {
  uint8_t x[4];
  int8_t w[4];
  int32_t total;
  __builtin_memcpy(x, a, 4);
  __builtin_memcpy(w, b, 4);
  __builtin_memcpy(&total, sum, 4);
  for (int i = 0; i < 4; ++i) total += x[i] * w[i];
  __builtin_memcpy(sum, &total, 4);
}

template <Precision kOf, int kSum, int kA, int kB>
void dot_tiles() {
  Tile &sum = tile_file[kSum], &a = tile_file[kA], &b = tile_file[kB];
  need(sum.rows == a.rows && a.words == b.rows && b.words == sum.words && a.words > 0);
  for (int m = 0; m < sum.rows; ++m) {
    for (int k = 0; k < a.words; ++k) {
      for (int n = 0; n < sum.words; ++n) {
        (kOf == kBf16 ? add_bf16 : add_int8)(&a.v[m][k], &b.v[k][n], &sum.v[m][n]);
      }
    }
  }
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
