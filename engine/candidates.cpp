// SPDX-License-Identifier: Apache-2.0
#include "engine/candidates.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/strassen.h"
#include "kernels/cpu.h"
#include "kernels/registry.h"
#include "kernels/tap_layout.h"
#include "support/error.h"

namespace convmixer {
namespace {

bool asks_for_strassen(const PlanOptions& options) {
  return options.strassen == Strassen::kOn || options.strassen == Strassen::kTwo;
}

// The largest depthwise kernels that oneDNN has fast code for. (Granite Rapids, oneDNN 2.6, bf16,
// two layers of 256 channels: 194 images a second with 14×14 taps, 17 with 15×15, where portable
// has 122 in fp32.)
constexpr int kMostOneDnnKernel = 14;

std::string refuse_onednn(const PlanOptions& options, Precision precision,
                          const std::string& limit) {
  if (options.onednn == OneDnn::kOff) return "switched off";
  if (options.observed) return "calibration reads the panels of our kernels";
  const bool automatic = options.precision == PrecisionOption::kAuto;
  if (options.onednn == OneDnn::kOn) return lacks_onednn(precision, !automatic);
  if (options.strassen == Strassen::kOn) return "Strassen products are asked for";
  if (!options.isa.empty()) return "isa " + options.isa + " is asked for";
  if (!limit.empty()) return "CONVMIXER_ISA limits the choice, and oneDNN makes its own";
  return lacks_onednn(precision);
}

// Of those that have code for the CPU's matrix tiles, before all that have not.
bool has_onednn_tiles(Precision precision) {
  return precision != kFp32 && onednn::support(precision) == onednn::Support::kTiles;
}

// The best up to `isa` whose panels hold floats, as the mean of features writes them.
const KernelTable* fp32_table(const std::string& isa) {
  const std::string best = isa_rank(isa) > isa_rank("avx512") ? "avx512" : isa;
  for (const Variant& v : variants(kFp32, {best, "beyond it"})) {
    if (v.table != nullptr) return v.table;
  }
  return nullptr;
}

constexpr const char* kNoStrassen = "it has no Strassen products, which are asked for";

// Why a variant of floats in pieces is not what is asked for, or gains nothing; or "".
std::string refuse_pieces(const PlanOptions& options, const Geometry& geometry) {
  if (options.observed) return "calibration reads floats, which it cuts into pieces";
  if (options.strassen == Strassen::kOn) return kNoStrassen;
  return options.isa.empty() ? doubt_pieces(geometry) : "";
}

IsaLimit limit_of(const PlanOptions& options, const Geometry& geometry, Precision precision,
                  const std::string& variable) {
  IsaLimit limit;
  if (!options.isa.empty()) {
    limit = {options.isa, "isa " + options.isa + " is asked for"};
  } else if (!variable.empty()) {
    limit = {variable, "CONVMIXER_ISA limits the choice to " + variable};
  }
  if (precision != kFp32 || (!limit.isa.empty() && limit.isa != "amx")) return limit;
  const std::string reason = refuse_pieces(options, geometry);
  return reason.empty() ? limit : IsaLimit{"avx512", reason};
}

std::vector<Candidate> list_candidates(const PlanOptions& options, const Geometry& geometry,
                                       Precision precision) {
  const std::string variable = options.isa.empty() ? isa_limit() : "";
  std::vector<Candidate> list;
  const Candidate onednn{"onednn", nullptr, nullptr, refuse_onednn(options, precision, variable)};
  // Behind ours with tiles, or before portable. (oneDNN, asked for its tiles, asks Linux for AMX.)
  const bool has_tiles = onednn.refusal.empty() && geometry.kernel_size <= kMostOneDnnKernel &&
                         has_onednn_tiles(precision);
  const int onednn_rank = isa_rank(has_tiles ? "avx512" : "portable");
  bool listed = false;
  for (const Variant& v : variants(precision, limit_of(options, geometry, precision, variable))) {
    if (!listed && isa_rank(v.isa) <= onednn_rank) {
      list.push_back(onednn);
      listed = true;
    }
    Candidate c{v.name, v.table, v.table != nullptr ? fp32_table(v.isa) : nullptr, v.refusal};
    if (!options.isa.empty() && v.isa != options.isa)
      c.refusal = "isa " + options.isa + " is asked for";
    if (options.onednn == OneDnn::kOn) c.refusal = "oneDNN is asked for";
    if (c.refusal.empty() && options.strassen == Strassen::kOn &&
        c.table->strassen[kActIdentity] == nullptr) {
      c.refusal = kNoStrassen;
    }
    // Far slower than fp32, which is never what somebody wants who did not ask for it.
    if (v.isa == "portable" && c.refusal.empty() && precision != kFp32 && options.isa.empty()) {
      c.refusal = fmt::format("its {} is slow, and runs only where isa portable is asked for",
                              precision_name(precision));
    }
    list.push_back(std::move(c));
  }
  return list;
}

bool any_can_run(const std::vector<Candidate>& list) {
  return std::any_of(list.begin(), list.end(), [](auto& c) { return c.refusal.empty(); });
}

void check_options(const PlanOptions& options) {
  if (!options.isa.empty() && isa_rank(options.isa) < 0) {
    throw Error(Code::kInvalidArgument,
                fmt::format("isa: expected one of {}, found \"{}\"", isa_names(), options.isa));
  }
  if (options.onednn == OneDnn::kOn && !options.isa.empty()) {
    throw Error(Code::kInvalidArgument,
                fmt::format("oneDNN chooses its own instruction set: leave isa out, found \"{}\"",
                            options.isa));
  }
  const bool strassen = asks_for_strassen(options);
  if (options.onednn == OneDnn::kOn && strassen) {
    throw Error(Code::kInvalidArgument, "oneDNN has no Strassen products: ask for one of the two");
  }
  if (options.low_memory && strassen) {
    throw Error(
        Code::kInvalidArgument,
        "Strassen's weights take 7/4 of the memory, of two levels 49/16: ask for them or for "
        "low memory");
  }
}

[[noreturn]] void refuse_all(const PlanOptions& options, Precision precision,
                             const std::vector<Candidate>& list) {
  std::string why, valid;
  for (const Variant& v : variants(precision)) {
    if (v.table != nullptr && v.isa != options.isa && valid.find(v.isa) == std::string::npos) {
      valid += (valid.empty() ? "" : ", ") + v.isa;
    }
    if (v.isa != options.isa) continue;
    const auto candidate =
        std::find_if(list.begin(), list.end(), [&](auto& c) { return c.name == v.name; });
    why += (why.empty() ? "" : "; ") + v.name + ": " + candidate->refusal;
  }
  if (options.onednn == OneDnn::kOn) {
    const auto onednn =
        std::find_if(list.begin(), list.end(), [](auto& c) { return c.name == "onednn"; });
    throw Error(
        Code::kUnsupported,
        fmt::format("oneDNN is asked for, but {}; without it can run: {}", onednn->refusal, valid));
  }
  if (options.isa.empty()) {
    for (const Candidate& c : list) why += (why.empty() ? "" : "; ") + c.name + ": " + c.refusal;
  } else if (why.empty()) {
    why = "it has no such kernels";
  }
  const std::string wanted = fmt::format("precision {}{}{}", precision_name(precision),
                                         options.isa.empty() ? "" : ", isa ", options.isa);
  throw Error(Code::kUnsupported, fmt::format("{}: {}; here can run: {}", wanted, why, valid));
}

// Whether products of fp32 would be Strassen's, but for the spread of a layer's weights.
bool fp32_has_strassen(const PlanOptions& options, const Geometry& geometry) {
  const auto list = list_candidates(options, geometry, kFp32);
  const auto first =
      std::find_if(list.begin(), list.end(), [](auto& c) { return c.refusal.empty(); });
  if (first == list.end() || first->table == nullptr) return false;
  const KernelTable& table = *first->table;
  return table.strassen[kActIdentity] != nullptr && refuse_strassen(geometry, table, 1).empty() &&
         doubt_strassen(geometry, table, 1).empty();
}

// Why kAuto is not bf16; empty where it is.
std::vector<std::string> refuse_bf16(const PlanOptions& options, const Geometry& geometry) {
  if (options.strassen == Strassen::kOn ||
      (options.strassen == Strassen::kTwo && fp32_has_strassen(options, geometry))) {
    return {"bf16: Strassen products are asked for"};
  }
  if (options.isa == "portable") return {"bf16: portable's is slow"};
  const bool slow_vectors = has_slow_bf16_vectors();
  const std::string slow = "this CPU's bf16 dot products are slower than fp32";
  if (slow_vectors && geometry.kernel_size > kMostKernelInTiles && options.onednn != OneDnn::kOn) {
    return {fmt::format("bf16: {0}, and layers of more than {1}×{1} taps run by them", slow,
                        kMostKernelInTiles)};
  }
  std::vector<std::string> reasons;
  for (const Candidate& c : list_candidates(options, geometry, kBf16)) {
    const bool onednn = c.table == nullptr;
    std::string reason = c.refusal;
    if (reason.empty() && slow_vectors &&
        !(onednn ? has_onednn_tiles(kBf16) : c.table->panel_blocks > 1)) {
      reason = slow;
    }
    if (reason.empty() && onednn && options.onednn != OneDnn::kOn &&
        geometry.kernel_size > kMostOneDnnKernel) {
      reason =
          fmt::format("its depthwise layers of more than {0}×{0} taps are slow", kMostOneDnnKernel);
    }
    if (reason.empty()) return {};
    reasons.push_back(c.name + ": " + reason);
  }
  return reasons;
}

}  // namespace

// Measured with amx against avx512 (docs/performance.md), models of 8 layers on 2 threads: with 128
// channels images of 256 pixels gain 8 % (of 64 they lose 4, and with 192 as much as they lose: two
// limits are enough); with 64 channels even 1,024 pixels gain 3 % or less; images of 49 pixels lose
// 3 to 9 % with 256 and 512 channels.
std::string doubt_pieces(const Geometry& g) {
  constexpr int kLeastDim = 128, kLeastPixels = 64;
  if (g.dim < kLeastDim) return fmt::format("dim {} is below {}", g.dim, kLeastDim);
  const int pixels = g.h * g.w;
  return pixels < kLeastPixels ? fmt::format("{} pixels are below {}", pixels, kLeastPixels) : "";
}

std::string lacks_onednn(Precision precision, bool emulated_too) {
  if (onednn::version().empty()) return "it is not part of this build";
  switch (onednn::support(precision)) {
    case onednn::Support::kNone:
      if (precision == kInt8) return "its int8 needs AVX512_VNNI, AVX-VNNI or AMX to be exact";
      return "its bf16 needs AVX-512 or AMX";
    case onednn::Support::kEmulated:
      return emulated_too ? "" : "it would emulate bf16: this CPU lacks AVX512_BF16";
    default:
      return "";
  }
}

Choice choose_variants(const PlanOptions& options, const Geometry& geometry) {
  check_options(options);
  Choice choice{};
  switch (options.precision) {
    case PrecisionOption::kFp32:
      choice.precision = kFp32;
      break;
    case PrecisionOption::kBf16:
      choice.precision = kBf16;
      break;
    case PrecisionOption::kInt8:
      choice.precision = kInt8;
      break;
    case PrecisionOption::kAuto:
      choice.not_bf16 = refuse_bf16(options, geometry);
      choice.precision = choice.not_bf16.empty() ? kBf16 : kFp32;
  }
  choice.candidates = list_candidates(options, geometry, choice.precision);
  if (!any_can_run(choice.candidates)) refuse_all(options, choice.precision, choice.candidates);
  return choice;
}

}  // namespace convmixer
