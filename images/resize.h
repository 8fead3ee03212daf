// SPDX-License-Identifier: Apache-2.0
// A separable resize whose rows come one by one, equal to Pillow's byte for byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "images/decode.h"
#include "images/transform.h"

namespace convmixer {

// The source pixels that each kept result of one axis is a weighted sum of.
struct Taps {
  struct Range {
    int first, count;
  };
  std::vector<Range> ranges;          // firsts and ends rise
  std::vector<std::int32_t> weights;  // `most` a result, fixed point
  std::size_t most = 0;

  int begin() const { return ranges.front().first; }
  int end() const { return ranges.back().first + ranges.back().count; }
};

// For the results begin … begin + count − 1 (count ≥ 1) of an axis resized from src to dst pixels.
Taps make_taps(int src, int dst, int begin, int count, Interpolation interpolation);

// Horizontally first, eight rows at once, then vertically: each result as soon as its rows are
// there. Neither the source nor the rows between the passes are ever whole in memory.
class Resizer {
 public:
  // dst: a pixel, 3 bytes, for each of rows' and columns' results. `portable` leaves alone what
  // this CPU has beyond the compiler's default; the result is the same.
  Resizer(Taps columns, Taps rows, std::uint8_t* dst, bool portable = false);

  // The next row of the source's window(): width × 3 bytes.
  void add(const std::uint8_t* row);

  Window window() const {
    return {columns_.begin(), rows_.begin(), columns_.end() - columns_.begin(),
            rows_.end() - rows_.begin()};
  }

 private:
  using Pixel = std::uint32_t;  // r | g << 8 | b << 16; what is above does not matter
  // Eight pixels at once: dst[0 … 7] from src[i · step + 0 … 7] and weights[i], i < count.
  using Weigh = void(const Pixel* src, std::size_t step, const std::int32_t* weights, int count,
                     Pixel* dst);

  void resize_rows(int first);
  void resize_columns();

  Taps columns_, rows_;
  std::size_t width_;  // of a row between the passes: a multiple of eight pixels
  Weigh* weigh_;
  std::vector<Pixel> waiting_;  // up to eight rows, each pixel of theirs side by side
  std::vector<Pixel> between_;  // rows that the vertical pass still reads, and room for more
  int first_, next_;            // the source's rows that begin between_ and that comes next
  std::size_t result_ = 0;      // the vertical pass's next row
  std::uint8_t* dst_;
};

}  // namespace convmixer
