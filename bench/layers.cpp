// SPDX-License-Identifier: Apache-2.0
#include "bench/layers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/passes.h"
#include "engine/split.h"
#include "kernels/registry.h"
#include "tests/reference.h"

namespace convmixer::bench {
namespace {

constexpr std::array<double, 3> kMean{0.485, 0.456, 0.406}, kStd{0.229, 0.224, 0.225};

// [−1, 1), the same numbers with any compiler (splitmix64).
struct Random {
  std::uint64_t state = 1;
  float next() {
    std::uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<float>((z ^ (z >> 31)) >> 40) * 0x1p-23f - 1.0f;
  }
};

Node random_node(Op op, const char* name, int ic, int oc, int kernel_size, int k, Random& random) {
  Node node;
  node.op = op;
  node.name = name;
  node.ic = ic;
  node.oc = oc;
  node.kernel_size = kernel_size;
  std::vector<float> weights(static_cast<std::size_t>(oc) * static_cast<std::size_t>(k));
  for (float& v : weights) v = random.next() * std::sqrt(3.0f / static_cast<float>(k));
  node.weights = Weights::own(std::move(weights));
  for (int i = 0; i < oc; ++i) {
    node.bias.push_back(random.next() * 0.1);
    if (op == Op::kLinear) continue;
    node.affine.scale.push_back(1 + random.next() * 0.5);
    node.affine.shift.push_back(op == Op::kDepthwise ? 0.0 : random.next());
  }
  return node;
}

Graph folded(const Preset& preset) { return fold_batchnorm(fuse(random_graph(preset))); }

// Of int8: bytes of ±4, in all tensors alike.
constexpr float kByteScale = 1.0f / 32, kZeroPoint = 128;

PlanOptions only(const KernelTable& table, int dim, Strassen strassen) {
  PlanOptions options;
  for (const Variant& v : variants(table.precision)) {
    if (v.table == &table) options.isa = v.isa;
  }
  options.onednn = OneDnn::kOff;
  options.strassen = strassen;
  if (table.precision == kBf16) options.precision = PrecisionOption::kBf16;
  if (table.precision == kInt8) {
    options.precision = PrecisionOption::kInt8;
    const auto count = static_cast<std::size_t>(dim);
    const ChannelScales scales{std::vector<float>(count, kByteScale),
                               std::vector<float>(count, kZeroPoint)};
    options.quantization = {scales, {2, scales}, {2, scales}};
  }
  return options;
}

// Value `i` of an array of a table's words, as a real.
float read_value(const KernelTable& table, const float* words, std::size_t i) {
  const auto* const halves = reinterpret_cast<const std::uint16_t*>(words);
  if (table.precision == kFp32) return words[i];
  if (table.precision == kBf16) return std::bit_cast<float>(std::uint32_t{halves[i]} << 16);
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(words);
  return (static_cast<float>(table.per_word == 4 ? bytes[i] : halves[i]) - kZeroPoint) * kByteScale;
}

// Random values in every word.
void fill_words(const KernelTable& table, float* words, std::size_t count, Random& random) {
  auto* const halves = reinterpret_cast<std::uint16_t*>(words);
  auto* const bytes = reinterpret_cast<std::uint8_t*>(words);
  for (std::size_t i = 0; i < count * static_cast<std::size_t>(table.per_word); ++i) {
    const float v = random.next();
    const auto byte = static_cast<std::uint8_t>(kZeroPoint + v / kByteScale);
    if (table.precision == kFp32) words[i] = v;
    if (table.precision == kBf16) halves[i] = to_bf16(v);
    if (table.precision == kInt8 && table.per_word == 4) bytes[i] = byte;
    if (table.precision == kInt8 && table.per_word == 2) halves[i] = byte;
  }
}

// `terms` multiply-adds a value of the result; `size` bytes a weight and a value.
Work convolution_work(const Geometry& g, int oc, int terms, double src_bytes, double size) {
  const double values = 1.0 * oc * g.h * g.w;
  return {2 * values * terms, src_bytes + size * (1.0 * oc * terms + values)};
}

// The error of element `what` is held to the limit that the kernel tests state (tests/check.h).
// Strassen products, whose bound is one of norms, to some times as much; bf16 and int8 to that of
// their weights' rounding, which the oracle does not do, and the result's.
struct Check {
  int k;
  std::string wrong;
  double factor = 1;
  Precision precision = kFp32;

  double limit(const reference::Result& want, std::size_t i) const {
    if (precision == kBf16) return 0x1p-8 * (want.sum.v[i] + 0.1);
    if (precision == kInt8) return 0.01 * want.sum.v[i] + 0.51 * kByteScale;
    return factor * 0x1p-24 * (4 + 2 * std::sqrt(static_cast<double>(k))) * want.sum.v[i] +
           2.5e-7 * want.gelu.v[i];
  }
  void add(const reference::Result& want, std::size_t i, float got) {
    double y = want.y.v[i];
    if (precision == kInt8) {
      y = std::clamp<double>(y, -kZeroPoint * kByteScale, (255 - kZeroPoint) * kByteScale);
    }
    if (!(std::fabs(y - double{got}) <= limit(want, i)) && wrong.empty()) {
      wrong = fmt::format("wrong result: element {}, want {}, got {}, limit {}", i, y, got,
                          limit(want, i));
    }
  }
};

reference::Epilogue epilogue(const Node& node, std::size_t first, std::size_t count) {
  const auto cut = [&](const std::vector<double>& v) {
    if (v.empty()) return v;
    const auto begin = v.begin() + static_cast<std::ptrdiff_t>(first);
    return std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(count));
  };
  return {node.activation, cut(node.bias), cut(node.affine.scale), cut(node.affine.shift)};
}

}  // namespace

Graph random_graph(const Preset& preset) {
  Random random;
  Graph graph;
  graph.h = graph.w = preset.image_size;
  const int dim = preset.dim, k = preset.kernel_size, p = preset.patch_size;
  const Activation activation = preset.relu ? Activation::kRelu : Activation::kGelu;
  graph.nodes.push_back(random_node(Op::kPatchEmbed, "stem", 3, dim, p, 3 * p * p, random));
  graph.nodes.back().activation = activation;
  for (int i = 0; i < 2; ++i) {  // the last one's BatchNorm is folded away
    Node block;
    block.op = Op::kBlock;
    block.name = "block";
    block.body.push_back(random_node(Op::kDepthwise, "depthwise", dim, dim, k, k * k, random));
    block.body.push_back(random_node(Op::kPointwise, "pointwise", dim, dim, 1, dim, random));
    block.body[0].residual = true;
    for (Node& node : block.body) node.activation = activation;
    graph.nodes.push_back(std::move(block));
  }
  Node mean;
  mean.op = Op::kMean;
  mean.ic = mean.oc = dim;
  graph.nodes.push_back(mean);
  graph.nodes.push_back(random_node(Op::kLinear, "head", dim, preset.num_classes, 1, dim, random));
  return graph;
}

Layers::Layers(const Preset& preset, const KernelTable& table, Strassen strassen)
    : table_(table),
      graph_(folded(preset)),
      plan_(make_plan(random_graph(preset), kMean, kStd, only(table, preset.dim, strassen))),
      layout_(plan_->geometry, table),
      rows_(choose_split(plan_->geometry, 1, 1, block().pointwise.tiles, plan_->native->strip_rows)
                .rows) {
  const Geometry& g = plan_->geometry;
  panel_ = Buffer<float>(panel_words(*plan_, rows_ * g.w));
  scratch_ = Buffer<float>(strassen_floats(table, g.dim, rows_ * g.w));
  src_ = Buffer<float>(layout_.image_stride);
  dst_ = Buffer<float>(layout_.image_stride);
  means_ = Buffer<float>(static_cast<std::size_t>(layout_.blocks * table.lanes));
  logits_ = Buffer<float>(static_cast<std::size_t>(plan_->native->head.oc_blk * table.lanes));
  image_ = Buffer<float>(3 * static_cast<std::size_t>(g.image_h * g.image_w));
  Random random;
  fill_words(table, panel_.data(), panel_.size(), random);
  for (std::size_t i = 0; i < image_.size(); ++i) {
    image_[i] = random.next() * 2;
    bytes_.push_back(static_cast<std::uint8_t>(127 + 127 * random.next()));
  }
  if (table.precision == kInt8) {  // the borders
    const std::uint32_t ones = table.per_word == 4 ? 0x01010101u : 0x00010001u;
    const auto border = std::bit_cast<float>(ones * static_cast<std::uint32_t>(kZeroPoint));
    std::fill(src_.data(), src_.data() + src_.size(), border);
  }
  for (int i = 0; i < g.h * g.w; ++i) {
    offset_.push_back(static_cast<std::int32_t>(layout_.pixel(i)));
    if (i % g.w % table.per_word != 0) continue;  // of a group that is filled
    for (std::size_t c = 0; c < static_cast<std::size_t>(layout_.blocks); ++c) {
      fill_words(table,
                 src_.data() + c * layout_.block_stride + layout_.first_pixel() + offset_.back(),
                 static_cast<std::size_t>(table.lanes), random);
    }
  }
}

float Layers::panel_value(const float* panel, std::ptrdiff_t block_stride, int c, int pixel) const {
  return read_value(table_, panel + c / table_.lanes * block_stride,
                    static_cast<std::size_t>(pixel * table_.lanes + c % table_.lanes));
}

float Layers::plane_value(const float* first_pixel, int c, int pixel) const {
  const auto n = static_cast<std::size_t>(table_.per_word);
  const float* const word = first_pixel +
                            static_cast<std::size_t>(c / table_.lanes) * layout_.block_stride +
                            layout_.pixel(pixel) + c % table_.lanes;
  return read_value(table_, word, static_cast<std::size_t>(pixel % layout_.w) % n);
}

int Layers::rows_at(int first_row) const { return std::min(rows_, plan_->geometry.h - first_row); }

PointwiseParams Layers::product(const PackedPointwise& w, int first_row, int rows) {
  return product_params(w, layout_, offset_.data(), first_row, first_row + rows, panel_.data(),
                        panel_stride(table_, rows * layout_.w), dst_.data());
}

void Layers::pointwise(const float* weights) {
  const PackedPointwise& w = block().pointwise;
  for (int y = 0; y < plan_->geometry.h; y += rows_) {
    PointwiseParams p = product(w, y, rows_at(y));
    p.weights = weights;
    multiply(table_, w, p, scratch_.data());
  }
}

DepthwiseParams Layers::convolution(int channel_block, int first_row, int rows) {
  return depthwise_params(table_, layout_, block().depthwise, src_.data() + layout_.first_pixel(),
                          channel_block, first_row, first_row + rows, panel_.data());
}

void Layers::depthwise() {
  for (int y = 0; y < plan_->geometry.h; y += rows_) {
    for (int c = 0; c < layout_.blocks; ++c) {
      const DepthwiseParams p = convolution(c, y, rows_at(y));
      table_.depthwise[block().depthwise.activation](&p);
    }
  }
}

void Layers::patches(bool u8, int first_row, int rows) {
  const void* const image = u8 ? static_cast<const void*>(bytes_.data()) : image_.data();
  const PatchParams p = patch_params(*plan_, image, first_row, first_row + rows, panel_.data());
  (u8 ? table_.patches_u8 : table_.patches_f32)(&p);
}

void Layers::patch_embed(bool u8) {
  const PackedPointwise& w = u8 ? plan_->native->patch_embed_raw : plan_->native->patch_embed;
  for (int y = 0; y < plan_->geometry.h; y += rows_) {
    patches(u8, y, rows_at(y));
    PointwiseParams p = product(w, y, rows_at(y));
    p.panel_block_stride = patch_panel_stride(table_, p.pixels);
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
  table_.pointwise[w.activation](&p);
}

// All output channels of a few pixels of the first strip.
std::string Layers::check_pointwise() {
  constexpr int kPixels = 5;
  const Node& node = graph_.nodes[1].body[1];
  const PointwiseParams p = product(block().pointwise, 0, rows_);
  multiply(table_, block().pointwise, p, scratch_.data());
  reference::Tensor src(1, node.ic, 1, kPixels);
  for (int c = 0; c < node.ic; ++c) {
    // Strassen's balance, which the weights undo.
    const float scale = block().pointwise.strassen > 0
                            ? block().depthwise.src_scale[static_cast<std::size_t>(c)]
                            : 1;
    for (int i = 0; i < kPixels; ++i) {
      src.at(0, c, 0, i) = panel_value(panel_.data(), p.panel_block_stride, c, i) / scale;
    }
  }
  const reference::Result want = reference::pointwise(
      src, node.oc, node.weights.data, epilogue(node, 0, static_cast<std::size_t>(node.oc)));
  Check check{node.ic, "", block().pointwise.strassen > 0 ? 8.0 : 1.0, table_.precision};
  for (int o = 0; o < node.oc; ++o) {
    for (int i = 0; i < kPixels; ++i) {
      check.add(want, want.y.index(0, o, 0, i), plane_value(p.dst, o, i));
    }
  }
  return check.wrong;
}

// The last channel block, over the whole image.
std::string Layers::check_depthwise() {
  const Node& node = graph_.nodes[1].body[0];
  const Geometry& g = plan_->geometry;
  const int lanes = table_.lanes, first = (layout_.blocks - 1) * lanes,
            area = g.kernel_size * g.kernel_size;
  Buffer<float> dst(static_cast<std::size_t>(panel_stride(table_, g.h * g.w)));
  DepthwiseParams p = convolution(layout_.blocks - 1, 0, g.h);
  p.dst = dst.data();
  table_.depthwise[block().depthwise.activation](&p);
  const int count = node.oc - first;
  reference::Tensor src(1, count, g.h, g.w);
  for (int c = 0; c < count; ++c) {
    for (int i = 0; i < g.h * g.w; ++i) src.at(0, c, i / g.w, i % g.w) = plane_value(p.src, c, i);
  }
  const reference::Result want = reference::depthwise(
      src, g.kernel_size, node.weights.data + first * area,
      epilogue(node, static_cast<std::size_t>(first), static_cast<std::size_t>(count)), true);
  Check check{area, "", 1, table_.precision};
  for (int c = 0; c < count; ++c) {
    for (int i = 0; i < g.h * g.w; ++i) {
      check.add(want, want.y.index(0, c, i / g.w, i % g.w), panel_value(dst.data(), 0, c, i));
    }
  }
  return check.wrong;
}

// The first channels of every pixel.
std::string Layers::check_patch_embed(bool u8) {
  constexpr int kChannels = 8;
  const Geometry& g = plan_->geometry;
  Node node = graph_.nodes[0];
  reference::Tensor src(1, 3, g.image_h, g.image_w, image_.data());
  if (u8) {
    node = fold_normalization(node, {kMean.begin(), kMean.end()}, {kStd.begin(), kStd.end()});
    for (std::size_t i = 0; i < bytes_.size(); ++i)
      src.v[i % 3 * (bytes_.size() / 3) + i / 3] = bytes_[i];
  }
  patch_embed(u8);
  const reference::Result want = reference::patch_embed(
      src, kChannels, g.patch_size, node.weights.data, epilogue(node, 0, kChannels));
  Check check{3 * g.patch_size * g.patch_size, "", 1, table_.precision};
  const float* const dst = dst_.data() + layout_.first_pixel();
  for (int c = 0; c < kChannels; ++c) {
    for (int i = 0; i < g.h * g.w; ++i) {
      check.add(want, want.y.index(0, c, i / g.w, i % g.w), plane_value(dst, c, i));
    }
  }
  return check.wrong;
}

// Every logit.
std::string Layers::check_head() {
  const Node& node = graph_.nodes.back();
  const Geometry& g = plan_->geometry;
  head();
  reference::Tensor src(1, g.dim, g.h, g.w);
  for (int c = 0; c < g.dim; ++c) {
    const float* const plane = src_.data() + layout_.first_pixel() +
                               static_cast<std::size_t>(c / table_.lanes) * layout_.block_stride;
    for (int i = 0; i < g.h * g.w; ++i) {
      src.at(0, c, i / g.w, i % g.w) =
          plane[offset_[static_cast<std::size_t>(i)] + c % table_.lanes];
    }
  }
  const reference::Result mean = reference::mean(src);
  reference::Result want = reference::pointwise(mean.y, node.oc, node.weights.data,
                                                {node.activation, node.bias, {}, {}});
  // The means cancel to nearly nothing: their own errors count, which are as large as their sums'.
  std::vector<float> size(node.weights.data, node.weights.data + node.weights.size);
  for (float& v : size) v = std::fabs(v);
  const reference::Result sums = reference::pointwise(mean.sum, node.oc, size.data(), {});
  Check check{g.dim + g.h * g.w, ""};
  for (int o = 0; o < node.oc; ++o) {
    const auto i = static_cast<std::size_t>(o);
    want.sum.v[i] += sums.y.v[i];
    check.add(want, i, logits_[i]);
  }
  return check.wrong;
}

Work Layers::pointwise_work() const {
  const Geometry& g = plan_->geometry;
  const double size = 4.0 / table_.per_word;
  return convolution_work(g, g.dim, g.dim, size * g.dim * g.h * g.w, size);
}
Work Layers::depthwise_work() const {
  const Geometry& g = plan_->geometry;
  const double size = 4.0 / table_.per_word;
  return convolution_work(g, g.dim, g.kernel_size * g.kernel_size, size * g.dim * g.h * g.w, size);
}
Work Layers::patch_embed_work(bool u8) const {
  const Geometry& g = plan_->geometry;
  return convolution_work(g, g.dim, 3 * g.patch_size * g.patch_size,
                          (u8 ? 1.0 : sizeof(float)) * 3 * g.image_h * g.image_w,
                          4.0 / patch_per_word(table_));
}
Work Layers::head_work() const {
  const Geometry& g = plan_->geometry;
  const double values = 1.0 * g.dim * g.h * g.w, weights = 1.0 * g.dim * g.num_classes;
  return {values + 2 * weights, sizeof(float) * (values + weights + g.num_classes)};
}

OneDnnLayer::OneDnnLayer(const Preset& preset, bool depthwise)
    : graph_(folded(preset)),
      node_(&graph_.nodes[1].body[depthwise ? 0 : 1]),
      side_(preset.side()) {
  const int k = node_->kernel_size, dim = node_->oc;
  const std::vector<float> bias(node_->bias.begin(), node_->bias.end());
  const std::vector<float> scale(node_->affine.scale.begin(), node_->affine.scale.end());
  const std::vector<float> shift(node_->affine.shift.begin(), node_->affine.shift.end());
  onednn::Convolution c{};
  c.name = node_->name;
  c.ic = c.oc = dim;
  c.h = c.w = side_;
  c.kernel_size = k;
  c.stride = 1;
  c.pad_begin = (k - 1) / 2;
  c.pad_end = k / 2;
  c.depthwise = c.residual = depthwise;
  c.activation = preset.relu ? kActRelu : kActGelu;
  c.weights = node_->weights.data;
  c.bias = bias.data();
  c.scale = scale.data();
  c.shift = depthwise ? nullptr : shift.data();
  program_.add_convolution(c);
  instance_ = std::make_unique<onednn::Instance>(program_);
  lanes_ = program_.layout() == "nChw16c" ? 16 : 8;
  Geometry g{};
  g.h = g.w = side_;
  work_ = convolution_work(g, dim, depthwise ? k * k : dim, sizeof(float) * dim * side_ * side_,
                           sizeof(float));
  src_ = Buffer<float>(static_cast<std::size_t>(ceil_div(dim, lanes_) * lanes_ * side_ * side_));
  dst_ = Buffer<float>(src_.size());
  Random random;
  for (std::size_t i = 0; i < src_.size(); ++i) src_[i] = random.next();
}

void OneDnnLayer::run() { instance_->run(src_.data(), false, dst_.data(), nullptr); }

std::string OneDnnLayer::check() {
  run();
  const int pixels = side_ * side_;
  const auto at = [&](int c, int i) {
    return static_cast<std::size_t>((c / lanes_ * pixels + i) * lanes_ + c % lanes_);
  };
  const bool depthwise = node_->op == Op::kDepthwise;
  // Every channel of five pixels, or every pixel of eight channels.
  const int ic = depthwise ? 8 : node_->ic, oc = depthwise ? 8 : node_->oc,
            count = depthwise ? pixels : 5;
  reference::Tensor src(1, ic, depthwise ? side_ : 1, depthwise ? side_ : count);
  for (int c = 0; c < ic; ++c) {
    for (int i = 0; i < count; ++i) src.at(0, c, i / src.w, i % src.w) = src_[at(c, i)];
  }
  const reference::Epilogue after = epilogue(*node_, 0, static_cast<std::size_t>(oc));
  const reference::Result want =
      depthwise ? reference::depthwise(src, node_->kernel_size, node_->weights.data, after, true)
                : reference::pointwise(src, oc, node_->weights.data, after);
  // oneDNN states no limit for its GELU: its error is within ours.
  Check check{depthwise ? node_->kernel_size * node_->kernel_size : ic, ""};
  for (int c = 0; c < oc; ++c) {
    for (int i = 0; i < count; ++i)
      check.add(want, want.y.index(0, c, i / src.w, i % src.w), dst_[at(c, i)]);
  }
  return check.wrong;
}

}  // namespace convmixer::bench
