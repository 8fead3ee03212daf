// SPDX-License-Identifier: Apache-2.0
// A part of an image has the pixels of the whole, and the same files are refused.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "images/decode.h"
#include "images_data.h"
#include "support/error.h"
// libjpeg's header needs <cstdio> first.
#include <jpeglib.h>

namespace convmixer::test {
namespace {

std::string text(const Window& w) {
  return std::to_string(w.width) + "×" + std::to_string(w.height) + " from " +
         std::to_string(w.left) + ", " + std::to_string(w.top);
}

class PartSink final : public RowSink {
 public:
  explicit PartSink(const Window& part) : part_(part) {}
  Window begin(int, int) override { return part_; }
  void add(const std::uint8_t* row) override {
    pixels.insert(pixels.end(), row, row + part_.width * 3);
  }
  Bytes pixels;

 private:
  const Window part_;
};

Bytes part_of(const RgbImage& whole, const Window& part) {
  Bytes pixels;
  for (int y = part.top; y < part.top + part.height; ++y) {
    const auto row = whole.pixels.begin() + (std::ptrdiff_t{y} * whole.width + part.left) * 3;
    pixels.insert(pixels.end(), row, row + part.width * 3);
  }
  return pixels;
}

Bytes decode_part(const Bytes& bytes, const Window& part) {
  PartSink sink(part);
  decode_rows(bytes.data(), bytes.size(), {}, "an image", sink);
  return sink.pixels;
}

Code outcome_of_part(const Bytes& bytes, const Window& part) {
  try {
    decode_part(bytes, part);
  } catch (const Error& e) {
    return e.code();
  }
  return Code::kOk;
}

Window random_part(std::mt19937& random, int width, int height) {
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const int left = below(width), top = below(height);
  return {left, top, 1 + below(width - left), 1 + below(height - top)};
}

// How a JPEG is written.
struct Coding {
  const char* name;
  int components;
  int h, v;  // luma's sampling factors; chroma's are 1
  bool progressive = false, arithmetic = false, complete = true;
  int restart = 0;  // rows of MCUs
};

// Coarse waves with noise: chroma that differs from pixel to pixel, and edges at every block.
Bytes encode(const Coding& coding, int width, int height) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = coding.components;
  info.in_color_space = coding.components == 1   ? JCS_GRAYSCALE
                        : coding.components == 3 ? JCS_RGB
                                                 : JCS_CMYK;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 85, TRUE);
  info.comp_info[0].h_samp_factor = coding.h;
  info.comp_info[0].v_samp_factor = coding.v;
  info.arith_code = coding.arithmetic ? TRUE : FALSE;
  info.restart_in_rows = coding.restart;
  if (coding.progressive) jpeg_simple_progression(&info);
  // The first scans only: the rest of the bits stays unknown.
  if (!coding.complete) info.num_scans = 3;
  jpeg_start_compress(&info, TRUE);
  std::mt19937 random(7);
  Bytes row(static_cast<std::size_t>(width * coding.components));
  for (int y = 0; y < height; ++y) {
    auto wave = static_cast<std::size_t>(y) * 3;
    for (std::uint8_t& b : row) {
      b = static_cast<std::uint8_t>((wave += 5) % 200 + random() % 56);
    }
    JSAMPROW line = row.data();
    jpeg_write_scanlines(&info, &line, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  const Bytes bytes(memory, memory + size);
  std::free(memory);
  return bytes;
}

constexpr std::array kCodings = {Coding{"gray", 1, 1, 1},
                                 Coding{"444", 3, 1, 1},
                                 Coding{"422", 3, 2, 1},
                                 Coding{"440", 3, 1, 2},
                                 Coding{"420", 3, 2, 2},
                                 Coding{"411", 3, 4, 1},
                                 Coding{"410", 3, 4, 2},
                                 Coding{"cmyk", 4, 1, 1},
                                 Coding{"cmyk_420", 4, 2, 2},
                                 Coding{"444_progressive", 3, 1, 1, true},
                                 Coding{"422_progressive", 3, 2, 1, true},
                                 Coding{"420_progressive", 3, 2, 2, true},
                                 Coding{"420_incomplete", 3, 2, 2, true, false, false},
                                 Coding{"420_arithmetic", 3, 2, 2, false, true},
                                 Coding{"444_arithmetic", 3, 1, 1, false, true},
                                 Coding{"420_restart", 3, 2, 2, false, false, true, 1},
                                 Coding{"444_restart", 3, 1, 1, false, false, true, 2}};

class Parts : public testing::TestWithParam<Coding> {};

TEST_P(Parts, HaveThePixelsOfTheWhole) {
  std::mt19937 random(3);
  for (const auto& [w, h] : {std::array{1, 1}, {7, 90}, {16, 16}, {65, 64}, {97, 131}, {150, 33}}) {
    const Bytes bytes = encode(GetParam(), w, h);
    const RgbImage whole = decode(bytes);
    for (int i = 0; i < 40; ++i) {
      const Window part = random_part(random, w, h);
      ASSERT_EQ(decode_part(bytes, part), part_of(whole, part))
          << w << "×" << h << ": " << text(part);
    }
  }
}

// What is left out of the image is read all the same: a file that ends early is refused wherever it
// ends, and one with wrong bits gives the whole's pixels or none, as the whole does.
TEST_P(Parts, DamageIsThatOfTheWhole) {
  std::mt19937 random(5);
  const Bytes good = encode(GetParam(), 75, 83);
  for (std::size_t n = 3; n + 2 < good.size(); n += n < 700 ? 41 : 7 + good.size() / 60) {
    const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_EQ(outcome_of_part(cut, {20, 20, 9, 9}), Code::kFormat) << n << " of " << good.size();
  }
  for (int i = 0; i < 60; ++i) {
    Bytes bad = good;
    bad[random() % bad.size()] ^= static_cast<std::uint8_t>(1u << random() % 8);
    RgbImage whole;
    try {
      DecodeOptions options;
      options.max_pixels = 1 << 16;
      whole = decode(bad, options);
    } catch (const Error& e) {
      if (e.code() == Code::kLimit) continue;
      EXPECT_EQ(outcome_of_part(bad, {0, 0, 1, 1}), e.code()) << i;
      continue;
    }
    const Window part = random_part(random, whole.width, whole.height);
    EXPECT_EQ(decode_part(bad, part), part_of(whole, part)) << "bad " << i << ": " << text(part);
  }
}

INSTANTIATE_TEST_SUITE_P(Jpeg, Parts, testing::ValuesIn(kCodings),
                         [](const auto& coding) { return std::string(coding.param.name); });

}  // namespace
}  // namespace convmixer::test
