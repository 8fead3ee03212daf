// SPDX-License-Identifier: Apache-2.0
#include "images/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

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

constexpr std::size_t kLanes = 8;

// kLanes pixels, in vectors as wide as the instruction set has them: GCC takes wider ones apart
// into single numbers.
template <int kBytes>
struct Vector {
  using Lanes [[gnu::vector_size(kBytes)]] = std::uint32_t;
  using Signed [[gnu::vector_size(kBytes)]] = std::int32_t;
};

std::size_t whole_lanes(std::size_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

template <int kBytes>
[[gnu::always_inline]] inline typename Vector<kBytes>::Lanes to_bytes(
    typename Vector<kBytes>::Lanes sums) {
  using Signed = typename Vector<kBytes>::Signed;
  const Signed zero = {}, most = zero + 255;
  Signed v = reinterpret_cast<Signed>(sums) >> kFractionBits;
  v = v < zero ? zero : v;
  return reinterpret_cast<typename Vector<kBytes>::Lanes>(v > most ? most : v);
}

// A lane is a pixel: its channels are cut out where they are weighed, so that one load serves three
// sums and both passes are this text. Sums are taken modulo 2^32, which the true ones fit.
template <int kBytes>
[[gnu::always_inline]] inline void weigh(const std::uint32_t* src, std::size_t step,
                                         const std::int32_t* weights, int count,
                                         std::uint32_t* dst) {
  using Lanes = typename Vector<kBytes>::Lanes;
  for (std::size_t part = 0; part < kLanes; part += kBytes / sizeof(*src)) {
    Lanes r = Lanes{} + (1u << (kFractionBits - 1)), g = r, b = r;
    const std::uint32_t* from = src + part;
    for (int i = 0; i < count; ++i, from += step) {
      Lanes pixels;
      std::memcpy(&pixels, from, kBytes);
      const auto w = static_cast<std::uint32_t>(weights[i]);
      r += (pixels & 255) * w;
      g += (pixels >> 8 & 255) * w;
      b += (pixels >> 16 & 255) * w;
    }
    const Lanes bytes = to_bytes<kBytes>(r) | to_bytes<kBytes>(g) << 8 | to_bytes<kBytes>(b) << 16;
    std::memcpy(dst + part, &bytes, kBytes);
  }
}

void weigh_portable(const std::uint32_t* src, std::size_t step, const std::int32_t* weights,
                    int count, std::uint32_t* dst) {
  weigh<16>(src, step, weights, count, dst);
}

// The compiler's own dispatch (target_clones) needs a linker's support that not every system and
// sanitizer has.
#ifdef __x86_64__
[[gnu::target("avx2")]] void weigh_avx2(const std::uint32_t* src, std::size_t step,
                                        const std::int32_t* weights, int count,
                                        std::uint32_t* dst) {
  weigh<32>(src, step, weights, count, dst);
}
#endif

auto* choose_weigh([[maybe_unused]] bool portable) {
#ifdef __x86_64__
  if (!portable && __builtin_cpu_supports("avx2")) return &weigh_avx2;
#endif
  return &weigh_portable;
}

}  // namespace

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

// The vertical pass needs `most` rows beside the eight that come. Twice that, so that what is still
// read moves to the front once in so many rows only.
Resizer::Resizer(Taps columns, Taps rows, std::uint8_t* dst, bool portable)
    : columns_(std::move(columns)),
      rows_(std::move(rows)),
      width_(whole_lanes(columns_.ranges.size())),
      weigh_(choose_weigh(portable)),
      waiting_(static_cast<std::size_t>(columns_.end() - columns_.begin()) * kLanes),
      between_(width_ * std::min(whole_lanes(static_cast<std::size_t>(rows_.end() - rows_.begin())),
                                 2 * whole_lanes(rows_.most + kLanes))),
      first_(rows_.begin()),
      next_(first_),
      dst_(dst) {}

void Resizer::add(const std::uint8_t* row) {
  const std::size_t lane = static_cast<std::size_t>(next_ - rows_.begin()) % kLanes;
  Pixel* to = waiting_.data() + lane;
  for (Pixel* const last = to + waiting_.size() - kLanes; to != last; to += kLanes, row += 3) {
    *to = row[0] | row[1] << 8 | row[2] << 16 | Pixel{row[3]} << 24;  // one load
  }
  *to = row[0] | row[1] << 8 | row[2] << 16;
  ++next_;
  if (lane != kLanes - 1 && next_ != rows_.end()) return;
  resize_rows(next_ - static_cast<int>(lane) - 1);
  resize_columns();
}

// The waiting rows, of which `first` is the first. (Where they are fewer than eight, they are the
// last, and what is computed beside them is never read.)
void Resizer::resize_rows(int first) {
  if (static_cast<std::size_t>(first - first_) + kLanes > between_.size() / width_) {
    const int needed = rows_.ranges[result_].first;
    std::copy(between_.begin() + (needed - first_) * static_cast<std::ptrdiff_t>(width_),
              between_.begin() + (first - first_) * static_cast<std::ptrdiff_t>(width_),
              between_.begin());
    first_ = needed;
  }
  Pixel* to = between_.data() + static_cast<std::size_t>(first - first_) * width_;
  const std::int32_t* weights = columns_.weights.data();
  for (const Taps::Range& range : columns_.ranges) {
    Pixel pixels[kLanes];
    weigh_(waiting_.data() + static_cast<std::size_t>(range.first - columns_.begin()) * kLanes,
           kLanes, weights, range.count, pixels);
    for (std::size_t lane = 0; lane < kLanes; ++lane) to[lane * width_] = pixels[lane];
    weights += columns_.most;
    ++to;
  }
}

void Resizer::resize_columns() {
  for (; result_ < rows_.ranges.size(); ++result_) {
    const auto [first, count] = rows_.ranges[result_];
    if (first + count > next_) return;
    const Pixel* from = between_.data() + static_cast<std::size_t>(first - first_) * width_;
    for (std::size_t left = columns_.ranges.size(); left > 0; from += kLanes) {
      Pixel pixels[kLanes];
      weigh_(from, width_, rows_.weights.data() + result_ * rows_.most, count, pixels);
      const std::size_t n = std::min(left, kLanes);
      for (std::size_t lane = 0; lane < n; ++lane, dst_ += 3) {
        dst_[0] = static_cast<std::uint8_t>(pixels[lane]);
        dst_[1] = static_cast<std::uint8_t>(pixels[lane] >> 8);
        dst_[2] = static_cast<std::uint8_t>(pixels[lane] >> 16);
      }
      left -= n;
    }
  }
}

}  // namespace convmixer
