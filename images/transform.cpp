// SPDX-License-Identifier: Apache-2.0
#include "images/transform.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "images/resize.h"
#include "support/error.h"

namespace convmixer {
namespace {

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

Size resized_size(const Size& src, const TransformOptions& o) {
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

void require(bool ok, const std::string& sentence) {
  if (!ok) throw Error(Code::kInvalidArgument, sentence);
}

void check(const TransformOptions& o) {
  constexpr int kLargest = 1 << 14;  // as of a model's input
  require(o.width >= 1 && o.height >= 1 && o.width <= kLargest && o.height <= kLargest,
          "image size: expected 1 to 16384 pixels a side, found " + std::to_string(o.height) + "×" +
              std::to_string(o.width));
  require(o.crop_pct > 0 && o.crop_pct <= 1,
          "crop_pct: expected a number above 0 and at most 1, found " + std::to_string(o.crop_pct));
}

Resizer make_resizer(const Size& src, const TransformOptions& o, std::uint8_t* dst) {
  const Size size = resized_size(src, o);
  const auto taps = [&](int from, int to, int kept) {
    const auto before = static_cast<int>(std::nearbyint((to - kept) / 2.0));
    return make_taps(from, to, before, kept, o.interpolation);
  };
  return {taps(src.width, size.width, o.width), taps(src.height, size.height, o.height), dst};
}

class TransformSink final : public RowSink {
 public:
  TransformSink(const TransformOptions& options, const std::string& name, std::uint8_t* dst)
      : options_(options), name_(name), dst_(dst) {}

  Window begin(int width, int height) override {
    try {
      return resizer_.emplace(make_resizer({width, height}, options_, dst_)).window();
    } catch (const Error& e) {  // it does not know the image's name
      throw Error(e.code(), name_ + ": " + e.what());
    }
  }
  void add(const std::uint8_t* row) override { resizer_->add(row); }

 private:
  const TransformOptions& options_;
  const std::string& name_;
  std::uint8_t* const dst_;
  std::optional<Resizer> resizer_;
};

}  // namespace

void transform_image(const RgbView& src, const TransformOptions& options, std::uint8_t* dst) {
  require(src.pixels != nullptr && src.width >= 1 && src.height >= 1,
          "image: expected at least one pixel, found " + std::to_string(src.width) + "×" +
              std::to_string(src.height));
  require(
      src.stride >= static_cast<std::size_t>(src.width) * 3,
      "image: expected a stride of at least width × 3 bytes, found " + std::to_string(src.stride));
  check(options);
  Resizer resizer = make_resizer({src.width, src.height}, options, dst);
  const Window w = resizer.window();
  const std::uint8_t* row = src.pixels + static_cast<std::size_t>(w.top) * src.stride +
                            static_cast<std::size_t>(w.left) * 3;
  for (int y = 0; y < w.height; ++y, row += src.stride) resizer.add(row);
}

void decode_transformed(const std::uint8_t* data, std::size_t size, const DecodeOptions& decode,
                        const TransformOptions& transform, const std::string& name,
                        std::uint8_t* dst) {
  check(transform);
  TransformSink sink(transform, name, dst);
  decode_rows(data, size, decode, name, sink);
}

}  // namespace convmixer
