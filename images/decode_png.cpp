// SPDX-License-Identifier: Apache-2.0
// PNG by libpng: every colour type and depth, to the RGB that Pillow's convert("RGB") gives.
#include <png.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "images/decoders.h"

namespace convmixer {
namespace {

// Some versions of libpng refuse longer chunks, by default than 8 MB, skipped ones too (others, as
// 1.6.39, only warn). Pillow takes texts of so many bytes.
constexpr png_alloc_size_t kMostChunkBytes = 64 << 20;

struct Reader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  const ImageBytes& bytes;
  std::size_t position = 0;
  GuardedCalls guard;

  explicit Reader(const ImageBytes& b) : bytes(b) {}
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  Reader& reader = *static_cast<Reader*>(png_get_error_ptr(png));
  reader.guard.set_text(message);
  std::longjmp(reader.guard.target, 1);
}

void on_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep to, std::size_t count) {
  Reader& reader = *static_cast<Reader*>(png_get_io_ptr(png));
  if (count > reader.bytes.size - reader.position) png_error(png, "it ends early");
  std::memcpy(to, reader.bytes.data + reader.position, count);
  reader.position += count;
}

void open(Reader& reader) {
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
  if (reader.png == nullptr) return;
  reader.info = png_create_info_struct(reader.png);
  if (reader.info == nullptr) return;
  // The number of pixels has a limit of its own; libpng's on sides would refuse long strips.
  png_set_user_limits(reader.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_chunk_malloc_max(reader.png, kMostChunkBytes);
  // Texts, colour profiles, gamma and the like are skipped: they do not change the pixels, and a
  // few kilobytes of compressed text may expand to gigabytes. Their checksums still count.
  png_set_keep_unknown_chunks(reader.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_crc_action(reader.png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_set_read_fn(reader.png, &reader, read_bytes);
  png_read_info(reader.png, reader.info);
}

// Asks libpng for 8-bit RGB: palettes looked up, 1 to 4 bits scaled to 8, the high byte of 16,
// alpha and transparency dropped. Grey of 16 bits without alpha stays as it is: Pillow clips it
// instead.
void set_transforms(Reader& reader, bool gray16) {
  const int color = png_get_color_type(reader.png, reader.info);
  const int depth = png_get_bit_depth(reader.png, reader.info);
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(reader.png);
  if (color == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(reader.png);
  if (depth == 16 && !gray16) png_set_strip_16(reader.png);
  if ((color & PNG_COLOR_MASK_COLOR) == 0 && !gray16) png_set_gray_to_rgb(reader.png);
  png_set_strip_alpha(reader.png);
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
}

void read_rows(Reader& reader, std::uint8_t* pixels, std::size_t row_bytes, int height) {
  // An interlaced image comes in seven passes over the same rows.
  const bool interlaced = png_get_interlace_type(reader.png, reader.info) != PNG_INTERLACE_NONE;
  for (int pass = 0; pass < (interlaced ? 7 : 1); ++pass) {
    for (int y = 0; y < height; ++y) {
      png_read_row(reader.png, pixels + static_cast<std::size_t>(y) * row_bytes, nullptr);
    }
  }
}

// The header chunk must come first: after the 8 bytes of the signature, its length and name, the
// sides. They are judged before libpng looks at anything that follows.
void check_header(const ImageBytes& bytes, const DecodeOptions& options) {
  if (bytes.size < 24 || std::memcmp(bytes.data + 12, "IHDR", 4) != 0) return;
  check_pixels(png_get_uint_32(bytes.data + 16), png_get_uint_32(bytes.data + 20), options,
               bytes.name);
}

// Chunks, behind the 8 bytes of the signature: a big-endian size, a name, data, a checksum. The
// EXIF block may stand before or behind the pixels; of several, Pillow takes the last.
void find_exif(const ImageBytes& bytes, std::vector<std::uint8_t>& exif) {
  std::size_t at = 8;
  while (bytes.size - at >= 12) {
    const std::uint8_t* const chunk = bytes.data + at;
    const std::size_t size = png_get_uint_32(chunk);
    if (size > bytes.size - at - 12 || std::memcmp(chunk + 4, "IEND", 4) == 0) return;
    if (std::memcmp(chunk + 4, "eXIf", 4) == 0) exif.assign(chunk + 8, chunk + 8 + size);
    at += 12 + size;
  }
}

}  // namespace

void decode_png(const ImageBytes& bytes, const DecodeOptions& options, RowSink& sink) {
  check_header(bytes, options);
  Reader reader(bytes);
  reader.guard.run(bytes, "PNG", [&] { open(reader); });
  if (reader.info == nullptr) throw std::bad_alloc();
  RgbImage image =
      allocate_image(png_get_image_width(reader.png, reader.info),
                     png_get_image_height(reader.png, reader.info), options, bytes.name);
  const bool gray16 = png_get_color_type(reader.png, reader.info) == PNG_COLOR_TYPE_GRAY &&
                      png_get_bit_depth(reader.png, reader.info) == 16;
  reader.guard.run(bytes, "PNG", [&] { set_transforms(reader, gray16); });
  const std::size_t row_bytes = static_cast<std::size_t>(image.width) * (gray16 ? 2 : 3);
  if (png_get_rowbytes(reader.png, reader.info) != row_bytes) {
    throw Error(Code::kInternal, bytes.name + ": libpng did not convert the image to RGB");
  }
  std::vector<std::uint8_t> gray;
  if (gray16) gray.resize(row_bytes * static_cast<std::size_t>(image.height));
  std::uint8_t* const pixels = gray16 ? gray.data() : image.pixels.data();
  reader.guard.run(bytes, "PNG", [&] { read_rows(reader, pixels, row_bytes, image.height); });
  std::vector<std::uint8_t> exif;
  if (options.exif_orientation) find_exif(bytes, exif);
  for (std::size_t i = 0; i < gray.size(); i += 2) {  // big-endian
    const std::uint8_t value = gray[i] != 0 ? 255 : gray[i + 1];
    std::fill_n(image.pixels.data() + i / 2 * 3, 3, value);
  }
  give(std::move(image), exif, sink);
}

}  // namespace convmixer
