// SPDX-License-Identifier: Apache-2.0
// JPEG by libjpeg-turbo with its defaults (slow-integer DCT, fancy upsampling), as Pillow uses it.
#include <algorithm>
#include <cstring>
#include <utility>

#include "images/decoders.h"
// libjpeg's headers need <cstdio> first.
#include <jerror.h>
#include <jpeglib.h>

namespace convmixer {
namespace {

// A progressive file of a few kilobytes can ask for thousands of passes over a huge image. Encoders
// write about ten.
constexpr int kMostScans = 100;

struct Reader {
  jpeg_decompress_struct info{};  // its client_data leads handlers to the Reader
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  GuardedCalls guard;

  ~Reader() { jpeg_destroy_decompress(&info); }
};

[[noreturn]] void stop(j_common_ptr info, const char* text) {
  Reader& reader = *static_cast<Reader*>(info->client_data);
  reader.guard.set_text(text);
  std::longjmp(reader.guard.target, 1);
}

[[noreturn]] void on_error(j_common_ptr info) {
  char text[JMSG_LENGTH_MAX];
  info->err->format_message(info, text);
  stop(info, text);
}

// libjpeg only warns of a file that ends early and goes on with grey; Pillow and this library
// refuse it. Other warnings (bad Huffman codes and the like) let the image through, as in Pillow.
void on_message(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) stop(info, "it ends early");
}

void on_progress(j_common_ptr info) {
  const auto* const decompress = reinterpret_cast<j_decompress_ptr>(info);
  if (decompress->input_scan_number > kMostScans) stop(info, "it has more than 100 scans");
}

void print_nothing(j_common_ptr) {}

void open(Reader& reader, const ImageBytes& bytes, bool keep_exif) {
  reader.info.err = jpeg_std_error(&reader.errors);
  reader.errors.error_exit = on_error;
  reader.errors.emit_message = on_message;
  reader.errors.output_message = print_nothing;
  reader.info.client_data = &reader;
  jpeg_create_decompress(&reader.info);
  reader.progress.progress_monitor = on_progress;
  reader.info.progress = &reader.progress;
  jpeg_mem_src(&reader.info, bytes.data, static_cast<unsigned long>(bytes.size));
  if (keep_exif) jpeg_save_markers(&reader.info, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&reader.info, TRUE);
}

// The ink of Adobe's files is stored inverted, and Pillow takes every CMYK file for one of those.
// r = (255 − k) − c·(255 − k)/255, where the stored bytes are 255 − c and 255 − k; the division by
// 255 rounds to nearest: ((t >> 8) + t) >> 8 with t = a·b + 128.
void cmyk_to_rgb(const std::uint8_t* src, int width, std::uint8_t* dst) {
  for (int x = 0; x < width; ++x, src += 4) {
    const int white = src[3];
    for (int c = 0; c < 3; ++c) {
      const int t = (255 - src[c]) * white + 128;
      *dst++ = static_cast<std::uint8_t>(std::clamp(white - (((t >> 8) + t) >> 8), 0, 255));
    }
  }
}

void gray_to_rgb(const std::uint8_t* src, int width, std::uint8_t* dst) {
  for (int x = 0; x < width; ++x, dst += 3) dst[0] = dst[1] = dst[2] = src[x];
}

void find_exif(const Reader& reader, std::vector<std::uint8_t>& exif) {
  constexpr char kHeader[] = "Exif\0";  // six bytes with the terminator
  for (auto* m = reader.info.marker_list; m != nullptr; m = m->next) {
    if (m->data_length > sizeof(kHeader) && std::memcmp(m->data, kHeader, sizeof(kHeader)) == 0) {
      exif.assign(m->data, m->data + m->data_length);
      return;
    }
  }
}

// What of the image libjpeg-turbo may leave out. The tests hold its pixels against the whole
// image's; its older versions, which had errors there, and other libjpegs decode everything.
#if defined(LIBJPEG_TURBO_VERSION_NUMBER) && LIBJPEG_TURBO_VERSION_NUMBER >= 2001000

// A progressive image whose scans do not tell every bit is smoothed across blocks, and the blocks
// beside a cut would be smoothed otherwise. All scans have been read.
bool has_every_bit(const jpeg_decompress_struct& info) {
  if (info.progressive_mode == FALSE) return true;
  for (int c = 0; c < info.num_components; ++c) {
    const auto& bits = info.coef_bits[c];
    if (std::any_of(bits, bits + DCTSIZE2, [](int b) { return b != 0; })) return false;
  }
  return true;
}

// Upsampled chroma depends on its neighbours: one sample is up to four pixels wide.
constexpr int kMargin = 4;

// Returns the first column that libjpeg gives from now on: a block's first.
int cut_columns(jpeg_decompress_struct& info, const Window& wanted) {
  const int left = std::max(0, wanted.left - kMargin);
  const int right =
      std::min(static_cast<int>(info.output_width), wanted.left + wanted.width + kMargin);
  auto from = static_cast<JDIMENSION>(left), width = static_cast<JDIMENSION>(right - left);
  if (width == info.output_width || !has_every_bit(info)) return 0;
  jpeg_crop_scanline(&info, &from, &width);
  return static_cast<int>(from);
}

void skip_rows(jpeg_decompress_struct& info, int count) {
  if (count > 0) jpeg_skip_scanlines(&info, static_cast<JDIMENSION>(count));
}

#else
constexpr int kMargin = 0;
int cut_columns(jpeg_decompress_struct&, const Window&) { return 0; }
void skip_rows(jpeg_decompress_struct&, int) {}
#endif

void read_rows(Reader& reader, const Window& wanted, std::uint8_t* row, std::uint8_t* rgb,
               RowSink& sink) {
  jpeg_decompress_struct& info = reader.info;
  const auto left = static_cast<std::size_t>(wanted.left - cut_columns(info, wanted));
  const int height = static_cast<int>(info.output_height), bottom = wanted.top + wanted.height;
  skip_rows(info, wanted.top - kMargin);
  while (info.output_scanline < info.output_height) {
    const int y = static_cast<int>(info.output_scanline);
    // The last row is read in any case: libjpeg does not look at what is skipped at the end, and a
    // file that ends early would pass.
    if (y == bottom) skip_rows(info, height - 1 - y);
    if (jpeg_read_scanlines(&info, &row, 1) != 1 || y < wanted.top || y >= bottom) continue;
    if (info.out_color_components == 1) gray_to_rgb(row + left, wanted.width, rgb);
    if (info.out_color_components == 4) cmyk_to_rgb(row + left * 4, wanted.width, rgb);
    sink.add(info.out_color_components == 3 ? row + left * 3 : rgb);
  }
}

}  // namespace

void decode_jpeg(const ImageBytes& bytes, const DecodeOptions& options, RowSink& sink) {
  Reader reader;
  reader.guard.run(bytes, "JPEG", [&] { open(reader, bytes, options.exif_orientation); });
  jpeg_decompress_struct& info = reader.info;
  const int components = info.num_components;
  if (components != 1 && components != 3 && components != 4) {
    bytes.fail("expected a JPEG image of 1, 3 or 4 components, found " +
               std::to_string(components));
  }
  check_pixels(info.image_width, info.image_height, options, bytes.name);
  std::vector<std::uint8_t> exif;
  if (options.exif_orientation) find_exif(reader, exif);
  const bool upright = exif_orientation(exif.data(), exif.size()) == 1;
  WholeImage whole;
  RowSink& rows = upright ? sink : whole;
  const Window wanted =
      rows.begin(static_cast<int>(info.image_width), static_cast<int>(info.image_height));
  // Not aligned: libjpeg-turbo writes aligned rows past the cache, from where they are read at once
  // (saves 3 to 5 % of a JPEG's time).
  std::vector<std::uint8_t> row(1 + static_cast<std::size_t>(info.image_width) *
                                        static_cast<std::size_t>(components));
  std::vector<std::uint8_t> rgb(components == 3 ? 0 : static_cast<std::size_t>(wanted.width) * 3);
  info.out_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
  reader.guard.run(bytes, "JPEG", [&] {
    jpeg_start_decompress(&info);
    read_rows(reader, wanted, row.data() + 1, rgb.data(), rows);
    jpeg_finish_decompress(&info);
  });
  if (!upright) give(std::move(whole.image), exif, sink);
}

}  // namespace convmixer
