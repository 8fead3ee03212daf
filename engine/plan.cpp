// SPDX-License-Identifier: Apache-2.0
#include "engine/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "engine/candidates.h"
#include "engine/layout.h"
#include "engine/onednn_layers.h"
#include "engine/openmp.h"
#include "engine/passes.h"
#include "engine/quantize.h"
#include "engine/split.h"
#include "engine/strassen.h"
#include "engine/threads.h"
#include "kernels/registry.h"
#include "kernels/rounding.h"
#include "support/error.h"

namespace convmixer {
namespace {

// ---- Packing ----

void expect(bool usual) {
  if (!usual) throw Error(Code::kInternal, "unexpected graph after passes");
}

const Node& only(const std::vector<Node>& nodes, std::size_t i, Op op) {
  expect(i < nodes.size() && nodes[i].op == op);
  return nodes[i];
}

// The fused and folded graph, part by part.
struct Parts {
  const Node* patch_embed;
  Node patch_embed_raw;
  std::vector<std::pair<const Node*, const Node*>> blocks;  // depthwise, pointwise
  const Node* head;
};

// Rounding the weights of raw bytes would leave Σ (w − rounded w) · 255 · mean in every pixel,
// since the bias took the exact ones' share of the mean off.
void compensate_rounding(const std::array<double, 3>& mean, Node& raw) {
  const int area = raw.kernel_size * raw.kernel_size;
  const float* w = raw.weights.data;
  for (double& bias : raw.bias) {
    for (const double of_channel : mean) {
      for (int i = 0; i < area; ++i, ++w) {
        const float rounded = std::bit_cast<float>(std::uint32_t{to_bf16(*w)} << 16);
        bias += (static_cast<double>(*w) - rounded) * 255 * of_channel;
      }
    }
  }
}

// Throws Error(kInternal) where the blocks are not what the kernels take them for.
Parts take_apart(const Graph& graph, const Geometry& geometry, const std::array<double, 3>& mean,
                 const std::array<double, 3>& std, Precision precision) {
  Parts parts;
  parts.patch_embed = &only(graph.nodes, 0, Op::kPatchEmbed);
  parts.patch_embed_raw =
      fold_normalization(*parts.patch_embed, {mean.begin(), mean.end()}, {std.begin(), std.end()});
  if (precision == kBf16) compensate_rounding(mean, parts.patch_embed_raw);
  for (std::size_t i = 1; i + 1 < graph.nodes.size(); ++i) {
    const Node& block = only(graph.nodes, i, Op::kBlock);
    const Node& depthwise = only(block.body, 0, Op::kDepthwise);
    const Node& pointwise = only(block.body, 1, Op::kPointwise);
    expect(block.body.size() == 2 && depthwise.residual && !pointwise.residual &&
           depthwise.kernel_size == geometry.kernel_size && depthwise.oc == geometry.dim &&
           pointwise.ic == geometry.dim && pointwise.oc == geometry.dim);
    parts.blocks.emplace_back(&depthwise, &pointwise);
  }
  parts.head = &only(graph.nodes, graph.nodes.size() - 1, Op::kHead);
  return parts;
}

// Before a layer is packed, so that its weights are read from memory once.
void note_non_finite(const Node& node, Plan& plan) {
  if (has_non_finite(node)) plan.non_finite.push_back(node.name);
}

constexpr const char* kPieces = "a float is the sum of three bf16";

// Levels of Strassen's algorithm that the plan's pointwise products may have, and why not more.
struct StrassenChoice {
  int levels;
  std::string reason;
};

StrassenChoice choose_strassen(const PlanOptions& options, const Geometry& geometry,
                               const KernelTable& table) {
  if (options.strassen == Strassen::kOff) return {0, "Strassen is switched off"};
  if (options.observed) return {0, "calibration reads plain products"};
  if (table.strassen[kActIdentity] == nullptr) {
    return {0, fmt::format("{} has no Strassen products", table.name)};
  }
  std::string reason = refuse_strassen(geometry, table, 1);
  if (options.strassen == Strassen::kOn) return {reason.empty() ? 1 : 0, reason};
  if (reason.empty() && options.low_memory) reason = "low memory is asked for";
  if (reason.empty()) reason = doubt_strassen(geometry, table, 1);
  if (!reason.empty()) return {0, reason};
  if (options.strassen != Strassen::kTwo) return {1, ""};
  reason = refuse_strassen(geometry, table, 2);
  if (reason.empty()) reason = doubt_strassen(geometry, table, 2);
  return {reason.empty() ? 2 : 1, reason};
}

// The i-th block, with the better of the products; plan.products tells which and why.
NativeBlock pack_block(const Node& before, const Node& depthwise, const Node& pointwise,
                       const KernelTable& table, const PlanOptions& options, StrassenChoice choice,
                       std::size_t i, Plan& plan) {
  const bool bytes = table.precision == kInt8;
  Balance scales;
  if (choice.levels > 0 && !bytes) {  // sums of bytes are exact
    scales = balance(before, depthwise, pointwise);
    const std::string reason = refuse_strassen(scales);
    if (!reason.empty()) choice = {0, reason};
  }
  if (choice.levels == 0 && options.strassen == Strassen::kOn) {
    throw Error(Code::kUnsupported, fmt::format("{}: Strassen's algorithm is asked for, but {}",
                                                pointwise.name, choice.reason));
  }
  plan.products.push_back(table.pieces > 1        ? kPieces
                          : choice.levels == 0    ? "plain: " + choice.reason
                          : choice.levels == 2    ? "Strassen, two levels"
                          : choice.reason.empty() ? "Strassen"
                                                  : "Strassen, one level: " + choice.reason);
  if (bytes) {
    const Quantization& q = options.quantization;
    return {quantize_depthwise(depthwise, q.src(i), q.depthwise[i], table),
            quantize_pointwise(pointwise, q, i, table, choice.levels)};
  }
  if (choice.levels == 0) {
    return {pack_depthwise(depthwise, table, {}), pack_pointwise(pointwise, table)};
  }
  return {pack_depthwise(depthwise, table, scales.ic),
          pack_strassen(pointwise, scales, table, choice.levels)};
}

std::unique_ptr<NativePlan> pack_native(const Parts& parts, const Candidate& candidate,
                                        const PlanOptions& options, Plan& plan) {
  auto native = std::make_unique<NativePlan>();
  const KernelTable& table = *candidate.table;
  native->table = &table;
  native->head_table = candidate.fp32;
  native->strip_pixels = most_strip_pixels(plan.geometry, table, native->l2_bytes);
  native->low_memory = options.low_memory;
  const bool bytes = table.precision == kInt8;
  const Quantization& q = options.quantization;
  const StrassenChoice choice = choose_strassen(options, plan.geometry, table);
  if (choice.levels > 0) native->strip_rows = strassen_rows(plan.geometry, table, choice.levels);
  note_non_finite(*parts.patch_embed, plan);
  const auto pack_patches = [&](const Node& node, PatchOrder order) {
    if (!bytes) return pack_patch_embed(node, table, order);
    const float scale = order == PatchOrder::kChannelsFirst ? plan.patch_scale() : 1;
    return quantize_patch_embed(node, scale, q.stem, table, order);
  };
  native->patch_embed = pack_patches(*parts.patch_embed, PatchOrder::kChannelsFirst);
  native->patch_embed_raw = pack_patches(parts.patch_embed_raw, PatchOrder::kChannelsLast);
  plan.weight_bytes += native->patch_embed.bytes() + native->patch_embed_raw.bytes();
  const Node* before = parts.patch_embed;
  for (std::size_t i = 0; i < parts.blocks.size(); ++i) {
    const auto& [depthwise, pointwise] = parts.blocks[i];
    note_non_finite(*depthwise, plan);
    note_non_finite(*pointwise, plan);
    native->blocks.push_back(
        pack_block(*before, *depthwise, *pointwise, table, options, choice, i, plan));
    plan.weight_bytes +=
        native->blocks.back().depthwise.bytes() + native->blocks.back().pointwise.bytes();
    before = pointwise;
  }
  const bool any_strassen =
      std::any_of(native->blocks.begin(), native->blocks.end(),
                  [](const NativeBlock& b) { return b.pointwise.strassen > 0; });
  if (!any_strassen) native->strip_rows = 0;
  note_non_finite(*parts.head, plan);
  if (bytes) {
    const MeanScales of_mean = mean_scales(q);
    const int dim = plan.geometry.dim, count = ceil_div(dim, table.lanes) * table.lanes;
    native->mean_scale = padded(of_mean.scale, 0, dim, count);
    native->mean_shift = padded(of_mean.shift, 0, dim, count);
    plan.weight_bytes += native->mean_scale.bytes() + native->mean_shift.bytes();
  }
  native->head = pack_pointwise(*parts.head, *native->head_table);
  plan.weight_bytes += native->head.bytes();
  return native;
}

// By the implementations that oneDNN has for so many threads.
std::unique_ptr<onednn::Program> pack_onednn_for(int threads, const Parts& parts,
                                                 Precision precision, const PlanOptions& options,
                                                 Plan& plan) {
  const OmpThreads guard(threads);
  const Geometry& g = plan.geometry;
  const Quantization& q = options.quantization;
  check_threads(threads);
  plan.non_finite.clear();
  auto program = std::make_unique<onednn::Program>(
      precision, options.onednn == OneDnn::kOn ? onednn::Implementations::kAny
                                               : onednn::Implementations::kNoReference);
  note_non_finite(*parts.patch_embed, plan);
  add_patch_embed(*program, *parts.patch_embed, parts.patch_embed_raw, g, q);
  for (std::size_t i = 0; i < parts.blocks.size(); ++i) {
    const auto& [depthwise, pointwise] = parts.blocks[i];
    note_non_finite(*depthwise, plan);
    add_depthwise(*program, *depthwise, g, q, i);
    note_non_finite(*pointwise, plan);
    add_pointwise(*program, *pointwise, g, q, i);
  }
  note_non_finite(*parts.head, plan);
  add_head(*program, *parts.head, g, q);
  plan.weight_bytes = program->weight_bytes();
  return program;
}

// For the number of threads that sessions have by default, unless oneDNN has nothing for so many,
// or not the same for one thread, as which every session can run: then for one.
std::unique_ptr<onednn::Program> pack_onednn(const Parts& parts, Precision precision,
                                             const PlanOptions& options, Plan& plan) {
  try {
    auto program = pack_onednn_for(default_threads(), parts, precision, options, plan);
    const OmpThreads guard(1);
    if (program->fits()) return program;
  } catch (const Error& e) {
    if (e.code() != Code::kUnsupported) throw;
  }
  return pack_onednn_for(1, parts, precision, options, plan);
}

// ---- Description ----

std::string after(const Node& node) {
  std::string text;
  if (node.activation != Activation::kIdentity)
    text += fmt::format(" + {}", activation_name(node.activation));
  if (!node.affine.scale.empty())
    text += epilogue_of(node).shift.empty() ? " · scale" : " · scale + shift";
  if (node.residual) text += " + residual";
  return text;
}

// A line a layer; `op` counts oneDNN's operators.
void list_layers(const Parts& parts, Plan& plan) {
  const Geometry& g = plan.geometry;
  const auto pixels = static_cast<std::size_t>(g.h) * static_cast<std::size_t>(g.w);
  std::size_t op = 0, product = 0;
  const auto add = [&](const Node& node, std::string shape, std::size_t macs) {
    std::string name = plan.implementation();
    if (plan.native && node.op == Op::kHead) name = plan.native->head_table->name;
    if (plan.native && node.op == Op::kPointwise) name += " (" + plan.products[product++] + ")";
    if (plan.native && node.op == Op::kPatchEmbed && plan.native->table->pieces > 1) {
      name += fmt::format(" ({})", kPieces);
    }
    if (plan.precision() == kInt8 && node.op == Op::kPatchEmbed) {
      name += plan.native ? " (int16 products)" : " (fp32 products)";
    }
    if (plan.onednn) name += " (" + plan.onednn->implementation(op++) + ")";
    plan.layers.push_back({node.name, std::move(shape), std::move(name)});
    plan.num_macs += macs;
  };
  const auto dim = static_cast<std::size_t>(g.dim);
  const auto area = [](int side) {
    return static_cast<std::size_t>(side) * static_cast<std::size_t>(side);
  };
  const Node& patch = *parts.patch_embed;
  add(patch,
      fmt::format("patch embed {0}×{0}, 3×{1}×{2} → {3}×{4}×{5}{6}", g.patch_size, g.image_h,
                  g.image_w, g.dim, g.h, g.w, after(patch)),
      pixels * dim * 3 * area(g.patch_size));
  for (const auto& [depthwise, pointwise] : parts.blocks) {
    add(*depthwise,
        fmt::format("depthwise {0}×{0}, {1}×{2}×{3}{4}", g.kernel_size, g.dim, g.h, g.w,
                    after(*depthwise)),
        pixels * dim * area(g.kernel_size));
    add(*pointwise,
        fmt::format("pointwise {0} → {0}, {1}×{2}{3}", g.dim, g.h, g.w, after(*pointwise)),
        pixels * dim * dim);
  }
  ++op;  // the mean has its place in oneDNN's list
  add(*parts.head, fmt::format("mean + classifier {} → {}", g.dim, g.num_classes),
      dim * static_cast<std::size_t>(g.num_classes));
}

// Four times the largest |(x − mean) / std| of x = 0 … 1, or the nearest to it that a float and its
// inverse hold: room for arrays that are no images, as normally distributed ones.
float most_input(const std::array<double, 3>& mean, const std::array<double, 3>& std) {
  double most = 1e-30;
  for (std::size_t c = 0; c < mean.size(); ++c) {
    most = std::max(most, 4 * std::max(std::abs(mean[c]), std::abs(1 - mean[c])) / std[c]);
  }
  return static_cast<float>(std::min(most, 1e30));
}

}  // namespace

Geometry geometry_of(const Graph& graph) {
  const Node& patch = only(graph.nodes, 0, Op::kPatchEmbed);
  const Node& head = only(graph.nodes, graph.nodes.size() - 1, Op::kHead);
  Geometry g{};
  g.image_h = graph.h;
  g.image_w = graph.w;
  g.patch_size = patch.kernel_size;
  g.h = graph.h / g.patch_size;
  g.w = graph.w / g.patch_size;
  g.dim = patch.oc;
  g.num_classes = head.oc;
  g.kernel_size = graph.nodes[1].op == Op::kBlock
                      ? only(graph.nodes[1].body, 0, Op::kDepthwise).kernel_size
                      : 1;
  if (graph.ic != 3 || g.h < 1 || g.w < 1) {
    throw Error(
        Code::kInvalidArgument,
        fmt::format("image size: expected 3 channels and at least the patch's {0}×{0} pixels, "
                    "found {1}×{2}×{3}",
                    g.patch_size, graph.ic, graph.h, graph.w));
  }
  return g;
}

int Plan::strassen_levels() const {
  int most = 0;
  for (std::size_t i = 0; native && i < native->blocks.size(); ++i) {
    most = std::max(most, native->blocks[i].pointwise.strassen);
  }
  return most;
}

Precision Plan::precision() const {
  return native ? native->table->precision : onednn->precision();
}

const char* Plan::implementation() const { return native ? native->table->name : "onednn"; }

std::shared_ptr<const Plan> make_plan(const Graph& graph, const std::array<double, 3>& mean,
                                      const std::array<double, 3>& std,
                                      const PlanOptions& options) {
  const Graph fused = fuse(graph);
  auto plan = std::make_shared<Plan>();
  plan->geometry = geometry_of(fused);
  const Choice choice = choose_variants(options, plan->geometry);
  const Precision precision = choice.precision;
  const Graph folded = fold_batchnorm(fused);
  plan->most_input = most_input(mean, std);
  const Parts parts = take_apart(folded, plan->geometry, mean, std, precision);
  plan->features = parts.head->affine;
  if (precision == kInt8) {
    check_quantization(options.quantization, plan->geometry.dim,
                       static_cast<int>(parts.blocks.size()));
  } else if (has_int8_weights(graph)) {
    throw Error(Code::kInternal, "a graph of int8 weights needs precision int8");
  }
  plan->refusals = choice.not_bf16;
  for (const Candidate& c : choice.candidates) {
    std::string refusal = c.refusal;
    if (refusal.empty() && c.table != nullptr && !PlaneLayout(plan->geometry, *c.table).fits()) {
      throw Error(Code::kLimit,
                  fmt::format("image size {}×{}: its {}×{} pixels a channel are more than this "
                              "library can address",
                              graph.h, graph.w, plan->geometry.h, plan->geometry.w));
    }
    if (refusal.empty()) {
      // What another candidate has left.
      plan->non_finite.clear();
      plan->products.clear();
      plan->weight_bytes = 0;
      try {
        if (c.table != nullptr) {
          plan->native = pack_native(parts, c, options, *plan);
        } else {
          run_after_fork_too([&] { plan->onednn = pack_onednn(parts, precision, options, *plan); });
        }
        break;
      } catch (const Error& e) {
        const bool asked = options.onednn == OneDnn::kOn || options.strassen == Strassen::kOn;
        if (asked || e.code() != Code::kUnsupported) throw;
        refusal = e.what();
      }
    }
    plan->refusals.push_back(c.name + ": " + refusal);
  }
  if (!plan->native && !plan->onednn) {
    throw Error(Code::kUnsupported, fmt::format("precision {}: {}", precision_name(precision),
                                                fmt::join(plan->refusals, "; ")));
  }
  list_layers(parts, *plan);
  return plan;
}

}  // namespace convmixer
