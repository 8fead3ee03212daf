// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "engine/plan.h"
#include "kernels/registry.h"

namespace convmixer {
namespace {

// "1.23 M": a number with three digits or so.
std::string in_units(double value) {
  constexpr const char* kUnits[] = {"", "k", "M", "G", "T"};
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  return fmt::format("{:.3g} {}", value, kUnits[unit]);
}

}  // namespace

std::string describe_plan(const Plan& plan) {
  std::string text;
  std::size_t name_width = 0, shape_width = 0;
  const auto width = [](const std::string& s) {  // of UTF-8: bytes that begin a character
    return static_cast<std::size_t>(
        std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  };
  for (const LayerChoice& l : plan.layers) {
    name_width = std::max(name_width, width(l.layer));
    shape_width = std::max(shape_width, width(l.shape));
  }
  for (const LayerChoice& l : plan.layers) {
    text += l.layer + std::string(name_width - width(l.layer) + 2, ' ') + l.shape +
            std::string(shape_width - width(l.shape) + 2, ' ') + l.implementation + "\n";
  }
  if (!plan.refusals.empty()) {
    text += "refused for every layer:\n";
    for (const std::string& r : plan.refusals) text += "  " + r + "\n";
  }
  if (plan.onednn) {
    text += fmt::format(
        "activations between layers: {}, one image at a time{}\n", plan.onednn->layout(),
        plan.precision() == kInt8 ? "; depthwise layers read a copy with a border" : "");
  }
  if (plan.native) {
    const KernelTable& table = *plan.native->table;
    text += fmt::format(
        "activations between layers: {}, NCHW{}c{} with gaps of {} beside the rows; each block "
        "runs "
        "depth-first, in strips of rows\n",
        precision_name(table.precision), table.lanes,
        table.per_word == 1 ? "" : fmt::format(" of {} pixels a word", table.per_word),
        table.precision == kInt8 ? "zero points" : "zeros");
  }
  text += fmt::format("multiply-adds an image: {}\npacked weights: {}B\n",
                      in_units(static_cast<double>(plan.num_macs)),
                      in_units(static_cast<double>(plan.weight_bytes)));
  for (const std::string& name : plan.non_finite) {
    text += fmt::format("warning: {} holds NaN or infinite values\n", name);
  }
  return text;
}

}  // namespace convmixer
