// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <ostream>
#include <random>
#include <string>
#include <utility>

#include "images/resize.h"
#include "images/transform.h"
#include "images_data.h"
#include "support/error.h"

namespace convmixer::test {
namespace {

RgbView view(const RgbImage& image) {
  return {image.pixels.data(), image.width, image.height,
          static_cast<std::size_t>(image.width) * 3};
}

Bytes at_once(const std::string& name, const TransformOptions& options,
              const DecodeOptions& decode_options = {}) {
  const Bytes bytes = read_bytes(image_path(name));
  Bytes got(static_cast<std::size_t>(options.height) * static_cast<std::size_t>(options.width) * 3);
  decode_transformed(bytes.data(), bytes.size(), decode_options, options, name, got.data());
  return got;
}

class Fixture : public testing::TestWithParam<const char*> {};

TEST_P(Fixture, EqualsPillowByteForByte) {
  const RgbImage image = decode(read_bytes(image_path(GetParam())));
  const RgbImage want = decode(read_bytes(image_path(std::string(GetParam()) + ".expected.png")));
  ASSERT_EQ(want.width, 224);
  ASSERT_EQ(want.height, 224);
  constexpr std::size_t kGuard = 64, kBytes = std::size_t{224} * 224 * 3;
  Bytes got(kBytes + 2 * kGuard, 0xA5);
  transform_image(view(image), {}, got.data() + kGuard);
  std::size_t different = 0;
  for (std::size_t i = 0; i < kBytes; ++i) different += got[kGuard + i] != want.pixels[i];
  EXPECT_EQ(different, 0u);
  const auto untouched = [](std::uint8_t b) { return b == 0xA5; };
  EXPECT_TRUE(std::all_of(got.begin(), got.begin() + kGuard, untouched));
  EXPECT_TRUE(std::all_of(got.end() - kGuard, got.end(), untouched));
  EXPECT_TRUE(at_once(GetParam(), {}) == want.pixels);
}

std::string test_name(const testing::TestParamInfo<const char*>& image) {
  std::string name = image.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Images, Fixture, testing::ValuesIn(kImages), test_name);

// Crops of other sizes, shrunk and enlarged; the file's name in crops/ tells what Pillow did.
struct Crop {
  const char* image;
  int height, width;
  double crop_pct;
  Interpolation interpolation;

  std::string name() const {
    std::string text = image;
    std::replace(text.begin(), text.end(), '.', '_');
    return text + "_" + std::to_string(height) + "x" + std::to_string(width) +
           (interpolation == Interpolation::kBicubic ? "_bicubic" : "_bilinear");
  }
};
void PrintTo(const Crop& crop, std::ostream* os) { *os << crop.name(); }

class Crops : public testing::TestWithParam<Crop> {};

TEST_P(Crops, EqualPillowByteForByte) {
  const Crop& crop = GetParam();
  const RgbImage image = decode(read_bytes(image_path(crop.image)));
  const RgbImage want = decode(read_bytes(image_path("crops/" + crop.name() + ".png")));
  ASSERT_EQ(want.width, crop.width);
  ASSERT_EQ(want.height, crop.height);
  TransformOptions options;
  options.height = crop.height;
  options.width = crop.width;
  options.crop_pct = crop.crop_pct;
  options.interpolation = crop.interpolation;
  constexpr std::size_t kGuard = 64;
  Bytes got(want.pixels.size() + 2 * kGuard, 0xA5), framed(got);
  std::copy(want.pixels.begin(), want.pixels.end(), framed.begin() + kGuard);
  transform_image(view(image), options, got.data() + kGuard);
  EXPECT_EQ(got, framed);
  EXPECT_EQ(at_once(crop.image, options), want.pixels);
}

INSTANTIATE_TEST_SUITE_P(
    Images, Crops,
    testing::Values(Crop{"landscape_420.jpg", 64, 48, 0.95, Interpolation::kBicubic},
                    Crop{"portrait_422.jpg", 40, 72, 0.9, Interpolation::kBilinear},
                    Crop{"rgb.png", 64, 64, 0.875, Interpolation::kBilinear},
                    Crop{"upscale.png", 70, 90, 1.0, Interpolation::kBilinear},
                    Crop{"upscale.png", 90, 70, 0.96, Interpolation::kBicubic},
                    Crop{"wide.jpg", 20, 80, 0.96, Interpolation::kBicubic},
                    Crop{"gray.jpg", 33, 33, 1.0, Interpolation::kBicubic},
                    Crop{"landscape_444.jpg", 24, 24, 0.5, Interpolation::kBilinear}),
    [](const testing::TestParamInfo<Crop>& crop) { return crop.param.name(); });

RgbImage ramp(int width, int height) {
  RgbImage image{width, height, {}};
  for (int i = 0; i < width * height * 3; ++i) {
    image.pixels.push_back(static_cast<std::uint8_t>(i * 37 % 251));
  }
  return image;
}

Bytes transformed(const RgbImage& image, int height, int width, double crop_pct) {
  TransformOptions options;
  options.height = height;
  options.width = width;
  options.crop_pct = crop_pct;
  Bytes out(static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 3);
  transform_image(view(image), options, out.data());
  return out;
}

TEST(Transform, AtOnceTurnsAsExifSays) {
  TransformOptions options;
  options.height = 6;
  options.width = 4;
  DecodeOptions upright;
  upright.exif_orientation = true;
  for (const char* format : {"jpg", "png", "webp"}) {
    for (int o = 1; o <= 8; ++o) {
      const std::string name = "orientation/" + std::to_string(o) + "." + format;
      Bytes want(6 * 4 * 3);
      const RgbImage image = decode(read_bytes(image_path(name)), upright);
      transform_image(view(image), options, want.data());
      EXPECT_EQ(at_once(name, options, upright), want) << name;
    }
  }
}

TEST(Transform, AtOnceNamesTheImage) {
  TransformOptions options;
  options.crop_pct = 1e-9;
  try {
    at_once("rgb.png", options);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::kLimit);
    EXPECT_EQ(std::string(e.what()).rfind("rgb.png: ", 0), 0u) << e.what();
  }
}

TEST(Transform, SameSizeIsACopy) {
  const RgbImage image = ramp(32, 32);
  EXPECT_EQ(transformed(image, 32, 32, 1.0), image.pixels);
}

TEST(Transform, CropBeginsInTheMiddleWithTiesToEven) {
  // 35 × 32, crop 32: (35 − 32) / 2 = 1.5 → column 2. 37 wide: 2.5 → column 2.
  for (const int width : {35, 37}) {
    const RgbImage image = ramp(width, 32);
    const Bytes got = transformed(image, 32, 32, 1.0);
    for (std::size_t y = 0; y < 32; ++y) {
      EXPECT_TRUE(std::equal(
          got.begin() + static_cast<std::ptrdiff_t>(y * 96),
          got.begin() + static_cast<std::ptrdiff_t>(y * 96 + 96),
          image.pixels.begin() +
              static_cast<std::ptrdiff_t>((y * static_cast<std::size_t>(width) + 2) * 3)))
          << "width " << width << " row " << y;
    }
  }
}

TEST(Transform, ConstantImagesStayConstant) {
  for (const auto& [w, h] : {std::pair{1, 1}, {3, 500}, {640, 2}, {100, 101}}) {
    RgbImage image{w, h, Bytes(static_cast<std::size_t>(w) * static_cast<std::size_t>(h) * 3, 77)};
    for (const auto& [out_h, out_w] : {std::pair{24, 24}, {7, 30}, {30, 7}}) {
      const Bytes got = transformed(image, out_h, out_w, 0.9);
      EXPECT_EQ(got, Bytes(got.size(), 77)) << w << "×" << h << " to " << out_w << "×" << out_h;
    }
  }
}

TEST(Transform, RowsMayHaveAStride) {
  const RgbImage image = ramp(50, 40);
  Bytes padded(40 * 200, 0xFF);
  for (std::size_t y = 0; y < 40; ++y)
    std::copy_n(image.pixels.begin() + static_cast<std::ptrdiff_t>(y * 150), 150,
                padded.begin() + static_cast<std::ptrdiff_t>(y * 200));
  TransformOptions options;
  options.height = options.width = 24;
  Bytes got(24 * 24 * 3);
  transform_image({padded.data(), 50, 40, 200}, options, got.data());
  EXPECT_EQ(got, transformed(image, 24, 24, 0.96));
}

// The middle axis of outer × length × inner bytes, by sums that cannot overflow.
Bytes naive(const Taps& taps, const Bytes& src, std::size_t length, std::size_t inner) {
  Bytes dst;
  for (std::size_t outer = 0; outer < src.size() / length / inner; ++outer) {
    for (std::size_t k = 0; k < taps.ranges.size(); ++k) {
      for (std::size_t j = 0; j < inner; ++j) {
        std::int64_t sum = 1 << 21;
        for (std::size_t i = 0; i < static_cast<std::size_t>(taps.ranges[k].count); ++i) {
          const std::size_t at = static_cast<std::size_t>(taps.ranges[k].first) + i;
          sum += std::int64_t{taps.weights[k * taps.most + i]} *
                 src[(outer * length + at) * inner + j];
        }
        dst.push_back(static_cast<std::uint8_t>(std::clamp<std::int64_t>(sum >> 22, 0, 255)));
      }
    }
  }
  return dst;
}

// More rows than the vertical pass keeps, and fewer; with and without this CPU's instruction set.
TEST(Resize, EqualsNaiveSums) {
  std::mt19937 random(1);
  for (const auto& [w, h, to_w, to_h] : {std::array{61, 203, 40, 31},
                                         {9, 7, 23, 24},
                                         {300, 50, 17, 49},
                                         {33, 1, 1, 3},
                                         {8, 64, 8, 64},
                                         {1, 17, 16, 3}}) {
    const auto width = static_cast<std::size_t>(w), height = static_cast<std::size_t>(h);
    const Taps columns = make_taps(w, to_w, to_w / 4, (to_w + 1) / 2, Interpolation::kBicubic);
    const Taps rows = make_taps(h, to_h, to_h / 4, (to_h + 1) / 2, Interpolation::kBicubic);
    Bytes pixels(width * height * 3);  // many of them extreme, so that sums leave 0 … 255
    for (std::uint8_t& b : pixels)
      b = static_cast<std::uint8_t>(std::clamp(int(random() % 768) - 256, 0, 255));
    const Bytes want =
        naive(rows, naive(columns, pixels, width, 3), height, columns.ranges.size() * 3);
    for (const bool portable : {false, true}) {
      Bytes got(want.size() + 1, 0xA5);
      Resizer resizer(columns, rows, got.data(), portable);
      const Window part = resizer.window();
      for (int y = part.top; y < part.top + part.height; ++y) {
        resizer.add(pixels.data() + (y * w + part.left) * 3);
      }
      EXPECT_EQ(got.back(), 0xA5);
      got.pop_back();
      EXPECT_EQ(got, want) << w << "×" << h << (portable ? ", portable" : "");
    }
  }
}

TEST(Transform, RefusesWhatIsOutOfRange) {
  const RgbImage image = ramp(4, 4);
  Bytes out(16);
  const auto code = [&](RgbView src, int height, int width, double crop_pct) {
    TransformOptions options;
    options.height = height;
    options.width = width;
    options.crop_pct = crop_pct;
    try {
      transform_image(src, options, out.data());
    } catch (const Error& e) {
      return e.code();
    }
    return Code::kOk;
  };
  const RgbView src = view(image);
  for (const double pct : {0.0, -1.0, 1.5, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(code(src, 2, 2, pct), Code::kInvalidArgument) << pct;
  }
  EXPECT_EQ(code(src, 2, 2, std::numeric_limits<double>::denorm_min()), Code::kLimit);
  EXPECT_EQ(code(src, 2, 1, std::numeric_limits<double>::denorm_min()), Code::kLimit);
  EXPECT_EQ(code(src, 0, 2, 1), Code::kInvalidArgument);
  EXPECT_EQ(code(src, 2, -1, 1), Code::kInvalidArgument);
  EXPECT_EQ(code(src, 1 << 20, 2, 1), Code::kInvalidArgument);
  EXPECT_EQ(code({nullptr, 4, 4, 12}, 2, 2, 1), Code::kInvalidArgument);
  EXPECT_EQ(code({src.pixels, 0, 4, 12}, 2, 2, 1), Code::kInvalidArgument);
  EXPECT_EQ(code({src.pixels, 4, 4, 11}, 2, 2, 1), Code::kInvalidArgument);
  // One pixel high and a million wide: the long side would have 2.3e8 pixels with 224, 5e10 with
  // these.
  const Bytes line(3000000);
  EXPECT_EQ(code({line.data(), 1000000, 1, 3000000}, 16384, 16384, 0.3), Code::kLimit);
}

}  // namespace
}  // namespace convmixer::test
