// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>

#include "images/decode.h"
#include "images_data.h"
#include "support/error.h"

namespace convmixer::test {
namespace {

struct Outcome {
  Code code = Code::kOk;
  std::string text;
};

Outcome outcome(const Bytes& bytes, const DecodeOptions& options = {}) {
  try {
    decode(bytes, options);
  } catch (const Error& e) {
    return {e.code(), e.what()};
  }
  return {};
}

void put(Bytes& bytes, std::uint32_t value, int count, bool big_endian) {
  for (int i = 0; i < count; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(value >> 8 * (big_endian ? count - 1 - i : i)));
  }
}

Bytes join(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

Bytes text_bytes(const std::string& text) { return {text.begin(), text.end()}; }

// A PNG chunk with its checksum, as the PNG specification (annex D) computes it.
Bytes chunk(const std::string& name, const Bytes& data) {
  const Bytes body = join({text_bytes(name), data});
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const std::uint8_t b : body) {
    crc ^= b;
    for (int i = 0; i < 8; ++i) crc = (crc & 1) != 0 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
  }
  Bytes out;
  put(out, static_cast<std::uint32_t>(data.size()), 4, true);
  out.insert(out.end(), body.begin(), body.end());
  put(out, ~crc, 4, true);
  return out;
}

Bytes png_header(std::uint32_t width, std::uint32_t height) {
  Bytes data;
  put(data, width, 4, true);
  put(data, height, 4, true);
  for (const std::uint8_t b : {8, 2, 0, 0, 0}) data.push_back(b);
  return join({{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'}, chunk("IHDR", data)});
}

TEST(Decode, RefusesWhatIsNoImage) {
  EXPECT_EQ(outcome({}).code, Code::kFormat);
  EXPECT_NE(outcome({}).text.find("empty"), std::string::npos);
  const Outcome text = outcome(text_bytes("Hello, this is some text."));
  EXPECT_EQ(text.code, Code::kFormat);
  EXPECT_EQ(text.text,
            "an image: expected a JPEG, PNG or WebP image, found a file that begins with \"Hello, "
            "this \"");
  EXPECT_EQ(outcome({0, 1, 2}).code, Code::kFormat);
}

TEST(Decode, RefusesHugeImagesFromTheHeader) {
  const Outcome huge = outcome(png_header(100000, 100000));
  EXPECT_EQ(huge.code, Code::kLimit);
  EXPECT_NE(huge.text.find("100000×100000"), std::string::npos) << huge.text;
  EXPECT_EQ(outcome(png_header(0x7FFFFFFF, 0x7FFFFFFF)).code, Code::kLimit);
  EXPECT_EQ(outcome(png_header(0x7FFFFFFF, 1)).code, Code::kLimit);
  EXPECT_EQ(outcome(png_header(0, 5)).code, Code::kFormat);
  for (const char* name : {"gray.jpg", "rgb.png", "rgb.webp"}) {
    DecodeOptions options;
    options.max_pixels = 1000;
    EXPECT_EQ(outcome(read_bytes(image_path(name)), options).code, Code::kLimit) << name;
  }
}

TEST(Decode, RefusesWhatMemoryCannotAddress) {
  DecodeOptions options;
  options.max_pixels = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(outcome(png_header(0x7FFFFFFF, 0x7FFFFFFF), options).code, Code::kLimit);
  EXPECT_EQ(outcome(png_header(0xFFFFFFFF, 0xFFFFFFFF), options).code, Code::kLimit);
}

// NAME.rgb holds the pixels of Pillow's convert("RGB"), for every colour type and depth; the images
// of kImages are not interlaced.
TEST(Decode, InterlacedPngEqualsPillow) {
  for (const char* name : {"gray1",       "gray2",        "gray4",    "gray4_transparent",
                           "gray8",       "gray16",       "palette1", "gray8_transparent",
                           "palette2",    "palette4",     "palette8", "palette4_transparent",
                           "rgb8",        "rgb16",        "rgba8",    "palette8_transparent",
                           "gray_alpha8", "gray_alpha16", "rgba16",   "rgb8_transparent"}) {
    const std::string path = image_path(std::string("interlaced/") + name);
    const RgbImage got = decode(read_bytes(path + ".png"));
    EXPECT_EQ(got.width, 13) << name;
    EXPECT_EQ(got.height, 11) << name;
    EXPECT_EQ(got.pixels, read_bytes(path + ".rgb")) << name;
  }
}

// Wherever it is and whatever for: the last byte of each chunk belongs to its checksum.
TEST(Decode, RefusesWrongPngChecksums) {
  const Bytes header = png_header(2, 1);
  const Bytes text = chunk("tEXt", text_bytes(std::string("title") + '\0' + "a"));
  // One deflate block, stored: filter 0 and two pixels.
  const Bytes rows = chunk(
      "IDAT", {0x78, 0x01, 0x01, 7, 0, 0xF8, 0xFF, 0, 1, 2, 3, 4, 5, 6, 0x00, 0x3F, 0x00, 0x16});
  const Bytes end = chunk("IEND", {});
  EXPECT_EQ(decode(join({header, text, rows, end})).pixels, (Bytes{1, 2, 3, 4, 5, 6}));
  const auto damaged = [](Bytes bytes) {
    bytes.back() ^= 1;
    return bytes;
  };
  EXPECT_EQ(outcome(join({damaged(header), text, rows, end})).code, Code::kFormat);
  EXPECT_EQ(outcome(join({header, damaged(text), rows, end})).code, Code::kFormat);
  EXPECT_EQ(outcome(join({header, text, damaged(rows), end})).code, Code::kFormat);
}

// A chunk may claim two gigabytes; the file is read, the claim is not believed.
TEST(Decode, RefusesHugePngChunks) {
  for (const char* name : {"PLTE", "tRNS", "tEXt", "iCCP", "eXIf", "prVt", "IDAT"}) {
    Bytes bytes = png_header(2, 1);
    put(bytes, 0x7FFFFFFF, 4, true);
    EXPECT_EQ(outcome(join({bytes, text_bytes(name), Bytes(20)})).code, Code::kFormat) << name;
  }
}

// A JPEG without restart markers, its first scan again and again until there are `count` of them.
Bytes with_scans(const Bytes& jpeg, int count) {
  Bytes scan;
  std::size_t behind = 0;  // the first scan
  for (std::size_t at = 2; jpeg.at(at + 1) != 0xD9;) {
    const std::size_t begin = at;
    at += 2 + 256u * jpeg.at(at + 2) + jpeg.at(at + 3);
    if (jpeg.at(begin + 1) != 0xDA) continue;
    while (jpeg.at(at) != 0xFF || jpeg.at(at + 1) == 0) ++at;
    --count;
    if (behind != 0) continue;
    behind = at;
    scan = Bytes(jpeg.data() + begin, jpeg.data() + at);
  }
  Bytes bytes(jpeg.data(), jpeg.data() + behind);
  for (; count > 0; --count) bytes.insert(bytes.end(), scan.begin(), scan.end());
  return join({bytes, Bytes(jpeg.data() + behind, jpeg.data() + jpeg.size())});
}

TEST(Decode, LimitsScans) {
  const Bytes jpeg = read_bytes(image_path("progressive.jpg"));  // of 10
  EXPECT_EQ(decode(with_scans(jpeg, 100)).pixels, decode(jpeg).pixels);
  const Outcome refused = outcome(with_scans(jpeg, 101));
  EXPECT_EQ(refused.code, Code::kFormat);
  EXPECT_EQ(refused.text, "an image: damaged JPEG image: it has more than 100 scans");
}

TEST(Decode, LimitIsInclusive) {
  const Bytes bytes = read_bytes(image_path("one_pixel.png"));
  DecodeOptions options;
  options.max_pixels = 1;
  EXPECT_EQ(outcome(bytes, options).code, Code::kOk);
  options.max_pixels = 0;
  EXPECT_EQ(outcome(bytes, options).code, Code::kLimit);
}

// A truncated file is refused wherever it ends. (Only what follows the last pixel may be missing:
// the end chunk of a PNG.)
TEST(Decode, RefusesTruncatedFiles) {
  for (const char* name : {"gray.jpg", "cmyk.jpg", "progressive.jpg", "one_pixel.png",
                           "palette.png", "gray16.png", "rgb.webp", "lossy_alpha.webp"}) {
    const Bytes bytes = read_bytes(image_path(name));
    const bool png = std::string(name).find(".png") != std::string::npos;
    const std::size_t end_chunk = png ? 12 : 0;
    const std::size_t step = std::max<std::size_t>(1, bytes.size() / 200);
    for (std::size_t n = 0; n + end_chunk + 12 < bytes.size(); n += n < 64 ? 1 : step) {
      const Outcome o =
          outcome(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n)));
      EXPECT_EQ(o.code, Code::kFormat) << name << " cut to " << n << " of " << bytes.size();
      EXPECT_EQ(o.text.rfind("an image: ", 0), 0u) << o.text;
    }
  }
}

// Small files: every length. Pillow accepts a PNG whose pixels are complete, so their checksums and
// the end chunk (24 bytes) may be missing or not.
TEST(Decode, RefusesEveryPrefix) {
  for (const char* name : {"orientation/6.jpg", "orientation/6.png", "orientation/6.webp",
                           "interlaced/palette4.png", "interlaced/rgba16.png"}) {
    const Bytes bytes = read_bytes(image_path(name));
    const bool png = std::string(name).ends_with(".png");
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      const Code code =
          outcome(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n))).code;
      if (png && n + 24 >= bytes.size() && code == Code::kOk) continue;
      EXPECT_EQ(code, Code::kFormat) << name << " cut to " << n << " of " << bytes.size();
    }
  }
}

// Flipped bits give an image or an error, nothing else; sanitizers watch.
TEST(Decode, SurvivesFlippedBits) {
  DecodeOptions options;
  options.max_pixels = 1 << 20;
  options.exif_orientation = true;
  for (const char* name : {"gray.jpg", "progressive.jpg", "cmyk.jpg", "palette.png", "rgb.webp"}) {
    const Bytes bytes = read_bytes(image_path(name));
    const std::size_t step = std::max<std::size_t>(1, bytes.size() / 150);
    for (std::size_t at = 0; at < bytes.size(); at += at < 128 ? 1 : step) {
      Bytes damaged = bytes;
      damaged[at] ^= static_cast<std::uint8_t>(1u << at % 8);
      const Code code = outcome(damaged, options).code;
      EXPECT_TRUE(code == Code::kOk || code == Code::kFormat || code == Code::kLimit ||
                  code == Code::kUnsupported)
          << name << " byte " << at;
    }
  }
}

TEST(Decode, SurvivesEveryFlippedBit) {
  DecodeOptions options;
  options.max_pixels = 1 << 16;
  options.exif_orientation = true;
  for (const char* name : {"orientation/6.jpg", "orientation/6.png", "orientation/6.webp",
                           "interlaced/palette4_transparent.png"}) {
    Bytes bytes = read_bytes(image_path(name));
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      const auto mask = static_cast<std::uint8_t>(1u << bit % 8);
      bytes[bit / 8] ^= mask;
      const Code code = outcome(bytes, options).code;
      bytes[bit / 8] ^= mask;
      EXPECT_TRUE(code == Code::kOk || code == Code::kFormat || code == Code::kLimit ||
                  code == Code::kUnsupported)
          << name << " bit " << bit;
    }
  }
}

TEST(Decode, RefusesAnimatedWebP) {
  Bytes features;
  put(features, 0x02, 4, false);  // the animation flag
  put(features, 15, 3, false);    // 16 × 16
  put(features, 15, 3, false);
  Bytes bytes = text_bytes("RIFF");
  put(bytes, 4 + 8 + 10, 4, false);
  bytes = join({bytes, text_bytes("WEBPVP8X")});
  put(bytes, 10, 4, false);
  const Outcome o = outcome(join({bytes, features}));
  EXPECT_EQ(o.code, Code::kUnsupported) << o.text;
}

// ---- EXIF ----

Bytes tiff(int orientation, bool big_endian) {
  Bytes b = text_bytes(big_endian ? "MM" : "II");
  put(b, 42, 2, big_endian);
  put(b, 8, 4, big_endian);
  put(b, 1, 2, big_endian);       // entries
  put(b, 0x0112, 2, big_endian);  // orientation
  put(b, 3, 2, big_endian);       // a short
  put(b, 1, 4, big_endian);
  put(b, static_cast<std::uint32_t>(orientation), 2, big_endian);
  put(b, 0, 2, big_endian);
  put(b, 0, 4, big_endian);  // no further directory
  return b;
}

// The same image with an EXIF block in it.
Bytes with_exif(const std::string& name, const Bytes& block) {
  const Bytes bytes = read_bytes(image_path(name));
  const auto part = [&](std::size_t from, std::size_t to) {
    return Bytes(bytes.begin() + static_cast<std::ptrdiff_t>(from),
                 bytes.begin() + static_cast<std::ptrdiff_t>(to));
  };
  if (name.ends_with(".jpg")) {
    Bytes marker = {0xFF, 0xE1};
    put(marker, static_cast<std::uint32_t>(block.size() + 8), 2, true);
    return join({part(0, 2), marker, {'E', 'x', 'i', 'f', 0, 0}, block, part(2, bytes.size())});
  }
  if (name.ends_with(".png")) {
    return join({part(0, 33), chunk("eXIf", block), part(33, bytes.size())});
  }
  // WebP: the extended form, with the features in front and the block behind.
  const RgbImage image = decode(bytes);
  Bytes all = text_bytes("WEBPVP8X");
  put(all, 10, 4, false);
  put(all, 0x08, 4, false);  // the EXIF flag
  put(all, static_cast<std::uint32_t>(image.width - 1), 3, false);
  put(all, static_cast<std::uint32_t>(image.height - 1), 3, false);
  all = join({all, part(12, bytes.size()), text_bytes("EXIF")});
  put(all, static_cast<std::uint32_t>(block.size()), 4, false);
  all = join({all, block, Bytes(block.size() % 2)});
  Bytes riff = text_bytes("RIFF");
  put(riff, static_cast<std::uint32_t>(all.size()), 4, false);
  return join({riff, all});
}

// What EXIF 2.3, 4.6.4 says of each value: where row 0 and column 0 of the stored image lie when
// upright. Here as: the stored pixel for the upright image's (x, y), in terms of the upright
// image's size.
const std::uint8_t* stored(const RgbImage& s, int orientation, int x, int y, int up_w, int up_h) {
  const int mirror_x = up_w - 1 - x, mirror_y = up_h - 1 - y;
  int row = 0, column = 0;
  switch (orientation) {
    case 1:
      row = y;
      column = x;
      break;  // top, left
    case 2:
      row = y;
      column = mirror_x;
      break;  // top, right
    case 3:
      row = mirror_y;
      column = mirror_x;
      break;  // bottom, right
    case 4:
      row = mirror_y;
      column = x;
      break;  // bottom, left
    case 5:
      row = x;
      column = y;
      break;  // left, top
    case 6:
      row = mirror_x;
      column = y;
      break;  // right, top
    case 7:
      row = mirror_x;
      column = mirror_y;
      break;  // right, bottom
    case 8:
      row = x;
      column = mirror_y;
      break;  // left, bottom
    default:
      ADD_FAILURE();
  }
  return s.pixels.data() + (static_cast<std::size_t>(row) * static_cast<std::size_t>(s.width) +
                            static_cast<std::size_t>(column)) *
                               3;
}

TEST(Exif, TurnsInEveryFormat) {
  DecodeOptions upright;
  upright.exif_orientation = true;
  for (const char* name : {"landscape_420.jpg", "rgb.png", "rgb.webp"}) {
    const RgbImage plain = decode(read_bytes(image_path(name)));
    for (int o = 1; o <= 8; ++o) {
      const Bytes bytes = with_exif(name, tiff(o, o % 2 == 0));
      EXPECT_EQ(decode(bytes).pixels, plain.pixels) << "off by default";
      const RgbImage got = decode(bytes, upright);
      ASSERT_EQ(got.width, o >= 5 ? plain.height : plain.width) << name << " " << o;
      ASSERT_EQ(got.height, o >= 5 ? plain.width : plain.height) << name << " " << o;
      std::size_t different = 0;
      for (int y = 0; y < got.height; ++y) {
        for (int x = 0; x < got.width; ++x) {
          const auto at = (static_cast<std::size_t>(y) * static_cast<std::size_t>(got.width) +
                           static_cast<std::size_t>(x)) *
                          3;
          different += !std::equal(got.pixels.begin() + static_cast<std::ptrdiff_t>(at),
                                   got.pixels.begin() + static_cast<std::ptrdiff_t>(at + 3),
                                   stored(plain, o, x, y, got.width, got.height));
        }
      }
      EXPECT_EQ(different, 0u) << name << " orientation " << o;
    }
  }
}

// N.jpg, N.png and N.webp are the same 12 × 8 pixels stored with orientation N; jpg.rgb and so on
// are the eight results of PIL.ImageOps.exif_transpose, one behind the other.
TEST(Exif, EqualsPillow) {
  DecodeOptions upright;
  upright.exif_orientation = true;
  for (const std::string format : {"jpg", "png", "webp"}) {
    const Bytes want = read_bytes(image_path("orientation/" + format + ".rgb"));
    Bytes got;
    for (int o = 1; o <= 8; ++o) {
      const std::string name = "orientation/" + std::to_string(o) + "." + format;
      const RgbImage image = decode(read_bytes(image_path(name)), upright);
      EXPECT_EQ(image.width, o < 5 ? 12 : 8) << name;
      EXPECT_EQ(image.height, o < 5 ? 8 : 12) << name;
      got.insert(got.end(), image.pixels.begin(), image.pixels.end());
    }
    EXPECT_EQ(got, want) << format;
  }
}

bool turned(const Bytes& bytes) {  // of a file derived from orientation/1.*, 12 × 8
  DecodeOptions upright;
  upright.exif_orientation = true;
  return decode(bytes, upright).width == 8;
}

TEST(Exif, IsFoundWhereWritersPutIt) {
  const Bytes block = tiff(6, true);
  const Bytes marked = join({{'E', 'x', 'i', 'f', 0, 0}, block});
  const Bytes png = read_bytes(image_path("rgb.png"));
  const Bytes end = chunk("IEND", {});
  ASSERT_TRUE(std::equal(end.begin(), end.end(), png.end() - 12));
  DecodeOptions upright;
  upright.exif_orientation = true;
  const RgbImage plain = decode(png);
  const Bytes before_end(png.begin(), png.end() - 12);
  // Behind the pixels, and of two the last.
  EXPECT_NE(decode(join({before_end, chunk("eXIf", block), end}), upright).pixels, plain.pixels);
  EXPECT_EQ(
      decode(join({before_end, chunk("eXIf", block), chunk("eXIf", tiff(1, true)), end}), upright)
          .pixels,
      plain.pixels);
  for (const char* name : {"landscape_420.jpg", "rgb.png", "rgb.webp"}) {
    const Bytes want = decode(with_exif(name, block), upright).pixels;
    EXPECT_EQ(decode(with_exif(name, marked), upright).pixels, want) << name;
  }
  // A WebP whose flags do not announce the block.
  Bytes webp = read_bytes(image_path("orientation/6.webp"));
  EXPECT_TRUE(turned(webp));
  webp[20] ^= 0x08;
  EXPECT_FALSE(turned(webp));
}

// Any type of whole number will do, and of several values the first counts.
TEST(Exif, TypesOfTheTag) {
  const auto with = [](std::uint32_t type, std::uint32_t count, const Bytes& value,
                       const Bytes& behind = {}) {
    Bytes b = tiff(1, false);
    b[12] = static_cast<std::uint8_t>(type);
    b[14] = static_cast<std::uint8_t>(count);
    std::copy(value.begin(), value.end(), b.begin() + 18);
    return with_exif("orientation/1.jpg", join({b, behind}));
  };
  for (const std::uint32_t type : {3, 4, 6, 8, 9, 13}) {
    EXPECT_TRUE(turned(with(type, 1, {6, 0, 0, 0}))) << type;
    EXPECT_FALSE(turned(with(type, 0, {6, 0, 0, 0}))) << type;
  }
  for (const std::uint32_t type : {0, 1, 2, 5, 7, 10, 11, 12, 14, 255}) {
    EXPECT_FALSE(turned(with(type, 1, {6, 0, 0, 0}))) << type;
  }
  EXPECT_TRUE(turned(with(3, 2, {6, 0, 1, 0})));
  EXPECT_TRUE(turned(with(3, 3, {26, 0, 0, 0}, {6, 0, 1, 0, 1, 0})));
  EXPECT_FALSE(turned(with(3, 3, {26, 0, 0, 0}, {6, 0, 1, 0, 1})));  // one byte short
}

TEST(Exif, DamagedBlocksAreIgnored) {
  DecodeOptions upright;
  upright.exif_orientation = true;
  const Bytes good = tiff(6, false);
  const RgbImage plain = decode(read_bytes(image_path("rgb.png")));
  for (std::size_t n = 0; n < 22; ++n) {  // the entry ends at 22
    const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_EQ(decode(with_exif("landscape_420.jpg", cut), upright).width,
              decode(read_bytes(image_path("landscape_420.jpg"))).width);
  }
  for (const int value : {0, 9, 65535}) {
    EXPECT_EQ(decode(with_exif("rgb.png", tiff(value, true)), upright).pixels, plain.pixels);
  }
  Bytes far = good;
  far[4] = far[5] = far[6] = far[7] = 0xFF;  // the directory lies beyond the block
  EXPECT_EQ(decode(with_exif("rgb.png", far), upright).pixels, plain.pixels);
}

}  // namespace
}  // namespace convmixer::test
