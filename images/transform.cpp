// SPDX-License-Identifier: Apache-2.0
#include "images/transform.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "support/error.h"

namespace convmixer {
namespace {

// Pillow's 8-bit arithmetic: coefficients of 22 fractional bits, so that a sum of them times 255,
// and its rounding, fit 32 bits with two bits to spare for the overshoot of the cubic.
constexpr int kFractionBits = 32 - 8 - 2;

double bilinear(double x) { return std::max(0.0, 1.0 - std::fabs(x)); }

// Keys' cubic convolution with a = −1/2.
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// The source pixels that each kept result of one axis is a weighted sum of.
struct Taps {
  struct Range {
    int first, count;
  };
  std::vector<Range> ranges;
  std::vector<std::int32_t> weights;  // `most` a result, fixed point
  std::size_t most = 0;

  int begin() const { return ranges.front().first; }
  int end() const { return ranges.back().first + ranges.back().count; }
};

// One result's weights, summing to 1. The filter is as wide as a result pixel where that is wider
// than a source pixel (shrinking), so that every source pixel counts.
void add_taps(Taps& taps, std::vector<double>& values, int src, double scale, int position,
              Interpolation interpolation) {
  const bool cubic = interpolation == Interpolation::kBicubic;
  const double filter_scale = std::max(scale, 1.0);
  const double support = (cubic ? 2.0 : 1.0) * filter_scale;
  const double center = (position + 0.5) * scale;
  const int first = std::max(0, static_cast<int>(center - support + 0.5));
  const int count = std::min(src, static_cast<int>(center + support + 0.5)) - first;
  double sum = 0;
  for (int i = 0; i < count; ++i) {
    const double x = (i + first - center + 0.5) * (1.0 / filter_scale);
    const double w = cubic ? bicubic(x) : bilinear(x);
    values[static_cast<std::size_t>(i)] = w;
    sum += w;
  }
  taps.ranges.push_back({first, count});
  for (std::size_t i = 0; i < taps.most; ++i) {
    double w = i < static_cast<std::size_t>(count) ? values[i] : 0.0;
    if (sum != 0.0) w /= sum;
    const double fixed = w * (1 << kFractionBits);
    taps.weights.push_back(static_cast<std::int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
  }
}

// For the results begin … begin + count − 1 of an axis resized from src to dst pixels.
Taps make_taps(int src, int dst, int begin, int count, Interpolation interpolation) {
  Taps taps;
  // Pillow passes the axis's end as a float.
  const double scale = static_cast<double>(static_cast<float>(src)) / dst;
  const double support =
      (interpolation == Interpolation::kBicubic ? 2.0 : 1.0) * std::max(scale, 1.0);
  taps.most = static_cast<std::size_t>(std::ceil(support)) * 2 + 1;
  std::vector<double> values(taps.most);
  for (int i = 0; i < count; ++i) add_taps(taps, values, src, scale, begin + i, interpolation);
  return taps;
}

std::uint8_t to_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

constexpr std::int32_t kHalf = 1 << (kFractionBits - 1);

void resize_row(const std::uint8_t* src, const Taps& taps, std::uint8_t* dst) {
  const std::int32_t* weights = taps.weights.data();
  for (const Taps::Range& range : taps.ranges) {
    const std::uint8_t* pixel = src + static_cast<std::size_t>(range.first) * 3;
    std::int32_t r = kHalf, g = kHalf, b = kHalf;
    for (int i = 0; i < range.count; ++i, pixel += 3) {
      r += pixel[0] * weights[i];
      g += pixel[1] * weights[i];
      b += pixel[2] * weights[i];
    }
    *dst++ = to_byte(r);
    *dst++ = to_byte(g);
    *dst++ = to_byte(b);
    weights += taps.most;
  }
}

// rows: `begin` of the taps is its first row.
void resize_columns(const std::uint8_t* rows, std::size_t row_bytes, const Taps& taps,
                    std::vector<std::int32_t>& sums, std::uint8_t* dst) {
  const std::int32_t* weights = taps.weights.data();
  for (const Taps::Range& range : taps.ranges) {
    std::fill(sums.begin(), sums.end(), kHalf);
    const std::uint8_t* row =
        rows + static_cast<std::size_t>(range.first - taps.begin()) * row_bytes;
    for (int i = 0; i < range.count; ++i, row += row_bytes) {
      const std::int32_t w = weights[i];
      for (std::size_t j = 0; j < row_bytes; ++j) sums[j] += row[j] * w;
    }
    for (std::size_t j = 0; j < row_bytes; ++j) dst[j] = to_byte(sums[j]);
    dst += row_bytes;
    weights += taps.most;
  }
}

struct Size {
  int width, height;
};

int checked_side(double side) {
  constexpr double kLargest = 1 << 30;
  if (side > kLargest) {
    throw Error(Code::kLimit, "resized image: expected sides of at most 2^30 pixels, found " +
                                  std::to_string(side));
  }
  return std::max(1, static_cast<int>(side));
}

Size resized_size(const RgbView& src, const TransformOptions& o) {
  const double target_w = std::floor(o.width / o.crop_pct),
               target_h = std::floor(o.height / o.crop_pct);
  if (o.width == o.height) {
    const auto short_side = static_cast<double>(std::min(src.width, src.height));
    const auto long_side = static_cast<double>(std::max(src.width, src.height));
    const int a = checked_side(target_w);
    const int b = checked_side(std::floor(target_w * long_side / short_side));
    return src.width <= src.height ? Size{a, b} : Size{b, a};
  }
  const double ratio = std::min(src.width / target_w, src.height / target_h);
  // nearbyint: ties to even, in the default rounding mode.
  return {checked_side(std::nearbyint(src.width / ratio)),
          checked_side(std::nearbyint(src.height / ratio))};
}

void check(const RgbView& src, const TransformOptions& o) {
  const auto require = [](bool ok, const std::string& sentence) {
    if (!ok) throw Error(Code::kInvalidArgument, sentence);
  };
  require(src.pixels != nullptr && src.width >= 1 && src.height >= 1,
          "image: expected at least one pixel, found " + std::to_string(src.width) + "×" +
              std::to_string(src.height));
  require(
      src.stride >= static_cast<std::size_t>(src.width) * 3,
      "image: expected a stride of at least width × 3 bytes, found " + std::to_string(src.stride));
  constexpr int kLargest = 1 << 14;  // as of a model's input
  require(o.width >= 1 && o.height >= 1 && o.width <= kLargest && o.height <= kLargest,
          "image size: expected 1 to 16384 pixels a side, found " + std::to_string(o.height) + "×" +
              std::to_string(o.width));
  require(o.crop_pct > 0 && o.crop_pct <= 1,
          "crop_pct: expected a number above 0 and at most 1, found " + std::to_string(o.crop_pct));
}

}  // namespace

void transform_image(const RgbView& src, const TransformOptions& options, std::uint8_t* dst) {
  check(src, options);
  const Size size = resized_size(src, options);
  const auto before = [](int whole, int part) {
    return static_cast<int>(std::nearbyint((whole - part) / 2.0));
  };
  const int left = before(size.width, options.width), top = before(size.height, options.height);
  const Taps columns = make_taps(src.width, size.width, left, options.width, options.interpolation);
  const Taps rows = make_taps(src.height, size.height, top, options.height, options.interpolation);

  // Horizontal first, for the rows that the vertical pass reads. An axis of unchanged size is
  // copied.
  const std::size_t row_bytes = static_cast<std::size_t>(options.width) * 3;
  const bool same_width = size.width == src.width, same_height = size.height == src.height;
  const int first = same_height ? top : rows.begin();
  const int last = same_height ? top + options.height : rows.end();
  std::vector<std::uint8_t> between;
  std::uint8_t* resized = dst;
  if (!same_height) {
    between.resize(static_cast<std::size_t>(last - first) * row_bytes);
    resized = between.data();
  }
  for (int y = first; y < last; ++y) {
    const std::uint8_t* const row = src.pixels + static_cast<std::size_t>(y) * src.stride;
    std::uint8_t* const to = resized + static_cast<std::size_t>(y - first) * row_bytes;
    if (same_width) {
      std::copy_n(row + static_cast<std::size_t>(left) * 3, row_bytes, to);
    } else {
      resize_row(row, columns, to);
    }
  }
  if (!same_height) {
    std::vector<std::int32_t> sums(row_bytes);
    resize_columns(resized, row_bytes, rows, sums, dst);
  }
}

}  // namespace convmixer
