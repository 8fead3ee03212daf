// SPDX-License-Identifier: Apache-2.0
#include "bench/layers.h"

#include <algorithm>
#include <bit>

#include "bench/checks.h"
#include "kernels/registry.h"

namespace convmixer::bench {
namespace {

PlanOptions only(const KernelTable& table, const Preset& preset, Strassen strassen) {
  PlanOptions options;
  for (const Variant& v : variants(table.precision)) {
    if (v.table == &table) options.isa = v.isa;
  }
  options.onednn = OneDnn::kOff;
  options.strassen = strassen;
  if (table.precision == kBf16) options.precision = PrecisionOption::kBf16;
  if (table.precision == kInt8) {
    options.precision = PrecisionOption::kInt8;
    options.quantization = quantization_of(preset);
  }
  return options;
}

// `terms` multiply-adds a value of the result; `size` bytes a weight and a value.
Work convolution_work(const Geometry& g, int terms, double src_bytes, double size) {
  const double values = 1.0 * g.dim * g.h * g.w;
  return {2 * values * terms, src_bytes + size * (1.0 * g.dim * terms + values)};
}

}  // namespace

Work pointwise_work(const Geometry& g, double size) {
  return convolution_work(g, g.dim, size * g.dim * g.h * g.w, size);
}
Work depthwise_work(const Geometry& g, double size) {
  return convolution_work(g, g.kernel_size * g.kernel_size, size * g.dim * g.h * g.w, size);
}
Work patch_embed_work(const Geometry& g, double src_size, double size) {
  return convolution_work(g, 3 * g.patch_size * g.patch_size,
                          src_size * static_cast<double>(g.image_values()), size);
}
Work head_work(const Geometry& g) {
  const double values = 1.0 * g.dim * g.h * g.w, weights = 1.0 * g.dim * g.num_classes;
  return {values + 2 * weights, sizeof(float) * (values + weights + g.num_classes)};
}

Layers::Layers(const Preset& preset, const KernelTable& table, Strassen strassen)
    : table_(table),
      graph_(folded_graph(preset)),
      plan_(make_plan(random_graph(preset), kMean, kStd, only(table, preset, strassen))),
      layout_(plan_->geometry, table),
      split_(choose_split(plan_->geometry, *plan_->native, 1, 1)) {
  const Geometry& g = plan_->geometry;
  panel_ = Buffer<float>(panel_words(*plan_, split_.panel_rows(g.h) * g.w));
  if (const int levels = block().pointwise.strassen; levels != 0) {
    const StrassenLayout layout(table, g.dim, split_.rows * g.w, levels);
    strassen_panel_ = Buffer<float>(layout.panel_words);
    sums_ = Buffer<float>(layout.sum_words);
  }
  src_ = Buffer<float>(layout_.image_stride);
  dst_ = Buffer<float>(layout_.image_stride);
  means_ = Buffer<float>(static_cast<std::size_t>(layout_.blocks * table.lanes));
  logits_ = Buffer<float>(static_cast<std::size_t>(plan_->native->head.oc_blk * table.lanes));
  Random random;
  const auto n = static_cast<std::size_t>(table.per_word);
  fill_values(table.precision, value_size(), panel_.data(), panel_.size() * n, random);
  image_ = random_image(g.image_h, g.image_w, random);
  if (table.precision == kInt8) {  // the borders
    const std::uint32_t ones = table.per_word == 4 ? 0x01010101u : 0x00010001u;
    const auto border = std::bit_cast<float>(ones * static_cast<std::uint32_t>(kZeroPoint));
    std::fill(src_.data(), src_.data() + src_.size(), border);
  }
  for (int i = 0; i < g.h * g.w; ++i) {
    offset_.push_back(static_cast<std::int32_t>(layout_.pixel(i)));
    if (i % g.w % table.per_word != 0) continue;  // of a group that is filled
    for (std::size_t c = 0; c < static_cast<std::size_t>(layout_.blocks); ++c) {
      fill_values(table.precision, value_size(),
                  src_.data() + c * layout_.block_stride + layout_.first_pixel() + offset_.back(),
                  static_cast<std::size_t>(table.lanes) * n, random);
    }
  }
}

float Layers::panel_value(const float* panel, const PanelLayout& at, int c, int pixel) const {
  const float* const block = panel + at.block(c / at.lanes);
  const int row = at.blocks_beside * at.lanes, lane = c % at.lanes;
  const Precision precision = table_.pieces > 1 ? kBf16 : table_.precision;
  float value = 0;
  for (int piece = table_.pieces - 1; piece >= 0; --piece) {
    const int i = (pixel * table_.pieces + piece) * row + lane;
    value += read_value(precision, value_size(), block, static_cast<std::size_t>(i));
  }
  return value;
}

float Layers::plane_value(const float* first_pixel, int c, int pixel) const {
  const auto n = static_cast<std::size_t>(table_.per_word);
  const float* const word = first_pixel +
                            static_cast<std::size_t>(c / table_.lanes) * layout_.block_stride +
                            layout_.pixel(pixel) + c % table_.lanes;
  return read_value(table_.precision, value_size(), word,
                    static_cast<std::size_t>(pixel % layout_.w) % n);
}

int Layers::rows_at(int first_row) const {
  return std::min(split_.rows, plan_->geometry.h - first_row);
}

PointwiseParams Layers::product(const PackedPointwise& w, int first_row, int rows) {
  return product_params(w, layout_, offset_.data(), first_row, first_row + rows, panel_.data(),
                        panel_layout(table_, rows * layout_.w).stride, dst_.data());
}

PointwiseParams Layers::multiply(const float* weights, int first_row) {
  const PackedPointwise& w = block().pointwise;
  PointwiseParams p = product(w, first_row, rows_at(first_row));
  p.weights = weights;
  if (w.strassen == 0) {
    table_.pointwise[w.activation](&p);
    return p;
  }
  const StrassenLayout layout(table_, plan_->geometry.dim, p.pixels, w.strassen);
  for (int b = 0; b < layout.blocks; ++b) {
    const StrassenPanelParams q =
        strassen_panel_params(layout, b, p.panel + b * p.panel_block_stride,
                              layout.blocks * p.panel_block_stride, strassen_panel_.data());
    table_.strassen_panel(&q);
  }
  const StrassenParams q = strassen_params(layout, p, strassen_panel_.data(), sums_.data());
  table_.strassen[w.activation](&q);
  return p;
}

void Layers::pointwise(const float* weights) {
  for (int y = 0; y < plan_->geometry.h; y += split_.rows) multiply(weights, y);
}

DepthwiseParams Layers::convolution(int channel_block, int first_row, int rows) {
  return depthwise_params(
      table_, layout_, block().depthwise, src_.data() + layout_.first_pixel(), channel_block,
      channel_block + 1, first_row, first_row + rows,
      panel_.data() + panel_layout(table_, rows * layout_.w).block(channel_block));
}

void Layers::convolve(int first_row, int rows) {
  for (int c = 0; c < layout_.blocks; ++c) {
    const DepthwiseParams p = convolution(c, first_row, rows);
    table_.depthwise[block().depthwise.activation](&p);
  }
}

void Layers::depthwise() {
  const int h = plan_->geometry.h, rows = split_.panel_rows(h);
  for (int y = 0; y < h; y += rows) convolve(y, std::min(rows, h - y));
}

void Layers::patches(bool u8, int first_row, int rows) {
  const void* const image =
      u8 ? static_cast<const void*>(image_.bytes.data()) : image_.floats.data();
  const PatchParams p = patch_params(*plan_, image, first_row, first_row + rows, panel_.data());
  (u8 ? table_.patches_u8 : table_.patches_f32)(&p);
}

void Layers::patch_embed(bool u8) {
  const PackedPointwise& w = u8 ? plan_->native->patch_embed_raw : plan_->native->patch_embed;
  for (int y = 0; y < plan_->geometry.h; y += split_.rows) {
    patches(u8, y, rows_at(y));
    PointwiseParams p = product(w, y, rows_at(y));
    p.panel_block_stride = patch_panel_layout(table_, p.pixels).stride;
    table_.patch_embed[w.activation](&p);
  }
}

void Layers::head() {
  const PackedPointwise& w = plan_->native->head;
  const int lanes = table_.lanes;
  for (int c = 0; c < layout_.blocks; ++c) {
    const MeanParams p = mean_params(*plan_, layout_, src_.data(), c, means_.data() + c * lanes);
    table_.mean(&p);
  }
  const std::int32_t first = 0;
  PointwiseParams p = pointwise_params(w);
  p.panel = means_.data();
  p.panel_block_stride = lanes;
  p.pixels = 1;
  p.dst = logits_.data();
  p.dst_offset = &first;
  p.dst_block_stride = lanes;
  plan_->native->head_table->pointwise[w.activation](&p);
}

// Of the first strip.
std::string Layers::check_pointwise() {
  if (table_.pieces > 1) convolve(0, rows_at(0));  // no random numbers are the pieces of one
  const PackedPointwise& w = block().pointwise;
  const PointwiseParams p = multiply(w.weights.data(), 0);
  const bool balanced = w.strassen > 0 && table_.precision == kFp32;
  const PanelLayout at = panel_layout(table_, p.pixels);
  const auto src = [&](int c, int i) {
    const float value = panel_value(panel_.data(), at, c, i);
    // Strassen's balance, which the weights undo.
    return balanced ? value / block().depthwise.src_scale[static_cast<std::size_t>(c)] : value;
  };
  const auto dst = [&](int c, int i) { return plane_value(p.dst, c, i); };
  return bench::check_pointwise(graph_.nodes[1].body[1], src, dst,
                                {table_.precision, balanced ? 8.0 : 1.0});
}

// The last channel block, over the whole image.
std::string Layers::check_depthwise() {
  const Node& node = graph_.nodes[1].body[0];
  const Geometry& g = plan_->geometry;
  const int last = layout_.blocks - 1, first = last * table_.lanes;
  const PanelLayout at = panel_layout(table_, g.h * g.w);
  Buffer<float> panel(at.words(1));
  DepthwiseParams p = convolution(last, 0, g.h);
  p.dst = panel.data();
  table_.depthwise[block().depthwise.activation](&p);
  const auto src = [&](int c, int i) { return plane_value(p.src, c - first, i); };
  const auto dst = [&](int c, int i) { return panel_value(panel.data(), at, c - first, i); };
  return bench::check_depthwise(node, first, node.oc - first, g.h, g.w, src, dst,
                                {table_.precision});
}

std::string Layers::check_patch_embed(bool u8) {
  patch_embed(u8);
  const auto dst = [&](int c, int i) {
    return plane_value(dst_.data() + layout_.first_pixel(), c, i);
  };
  return bench::check_patch_embed(graph_.nodes[0], image_, u8, dst, {table_.precision});
}

std::string Layers::check_head() {
  head();
  const auto src = [&](int c, int i) {
    return plane_value(src_.data() + layout_.first_pixel(), c, i);
  };
  const auto dst = [&](int c, int) { return logits_[static_cast<std::size_t>(c)]; };
  return bench::check_head(graph_.nodes.back(), plan_->geometry.h, plan_->geometry.w, src, dst);
}

}  // namespace convmixer::bench
