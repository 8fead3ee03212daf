// SPDX-License-Identifier: Apache-2.0
// Each operator × variant × layer of the published models, on one thread: `<op>/<variant>/<shape>`.
// A result is compared with the oracle before its clock starts. `peak%`: of the FMA peak of the
// variant (oneDNN: of the precision's best), measured right behind the layer.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <tuple>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "bench/layers.h"
#include "bench/onednn_layer.h"
#include "engine/candidates.h"
#include "engine/peak.h"
#include "kernels/cpu.h"
#include "kernels/registry.h"
#include "tests/reference.h"

namespace convmixer::bench {
namespace {

// Those that can run, but for slow ones: portable in bf16 and int8, and where avx2 has two for
// int8, the second, which no plan takes.
std::vector<const KernelTable*> all_tables() {
  std::vector<const KernelTable*> tables = available_tables();
  for (const Precision precision : {kBf16, kInt8}) {
    std::string before;
    for (const Variant& v : variants(precision)) {
      if (v.table == nullptr || v.isa == "portable" || v.isa == before) continue;
      tables.push_back(v.table);
      before = v.isa;
    }
  }
  return tables;
}

double peak_of(const KernelTable& table, PeakRounds rounds = {}) {
  static Workers one(1);
  return measure_fma_peak(table, one, rounds);
}

// The clock around `run`, with counters, which JSON has in FLOP, bytes and percent. The peak is
// that of half a millisecond behind the layer: some CPUs lower their clock while vectors are loaded
// and multiplied at once, and raise it again in some milliseconds of multiply-adds alone.
template <typename F>
void measure(benchmark::State& state, Work work, const KernelTable& table, F run) {
  for (auto _ : state) run();
  const double peak = peak_of(table, {10, std::chrono::microseconds(50)});
  using benchmark::Counter;
  state.counters["FLOP/s"] = Counter(work.flops, Counter::kIsIterationInvariantRate);
  state.counters["bytes/s"] = Counter(work.bytes, Counter::kIsIterationInvariantRate);
  state.counters["peak%"] = Counter(100 * work.flops / peak, Counter::kIsIterationInvariantRate);
  state.counters["fma_peak"] = peak;
}

// The layers of the preset and variant that run now; made once, not for each repetition.
Layers& layers(const Preset& preset, const KernelTable& table, Strassen strassen = Strassen::kOff) {
  static std::unique_ptr<Layers> current;
  static std::tuple<const Preset*, const KernelTable*, Strassen> current_key;
  const std::tuple key{&preset, &table, strassen};
  if (!current || current_key != key) {
    current.reset();
    current = std::make_unique<Layers>(preset, table, strassen);
    current_key = key;
  }
  return *current;
}

bool correct(benchmark::State& state, const std::string& wrong) {
  if (!wrong.empty()) state.SkipWithError(wrong.c_str());
  return wrong.empty();
}

void bench_pointwise(benchmark::State& state, const Preset& preset, const KernelTable& table,
                     Strassen strassen) {
  Layers& l = layers(preset, table, strassen);
  if (!correct(state, l.check_pointwise())) return;
  const float* const weights = l.pointwise_weights().data();
  measure(state, l.pointwise_work(), table, [&] { l.pointwise(weights); });
}

// The weights of every image come from memory, as they do in a deep model: copies of twice the L3
// cache.
void bench_pointwise_cold(benchmark::State& state, const Preset& preset, const KernelTable& table,
                          Strassen strassen) {
  Layers& l = layers(preset, table, strassen);
  if (!correct(state, l.check_pointwise())) return;
  const Buffer<float>& weights = l.pointwise_weights();
  std::vector<Buffer<float>> copies;
  for (std::size_t bytes = 0; bytes < 2 * cache_sizes().l3; bytes += weights.bytes()) {
    copies.emplace_back(weights.size());
    std::copy(weights.data(), weights.data() + weights.size(), copies.back().data());
  }
  std::size_t next = 0;
  measure(state, l.pointwise_work(), table,
          [&] { l.pointwise(copies[next++ % copies.size()].data()); });
}

void bench_depthwise(benchmark::State& state, const Preset& preset, const KernelTable& table) {
  Layers& l = layers(preset, table);
  if (!correct(state, l.check_depthwise())) return;
  measure(state, l.depthwise_work(), table, [&] { l.depthwise(); });
}

void bench_patch_embed(benchmark::State& state, const Preset& preset, const KernelTable& table,
                       bool u8) {
  Layers& l = layers(preset, table);
  if (!correct(state, l.check_patch_embed(u8))) return;
  measure(state, l.patch_embed_work(u8), table, [&] { l.patch_embed(u8); });
}

void bench_head(benchmark::State& state, const Preset& preset, const KernelTable& table) {
  Layers& l = layers(preset, table);
  if (!correct(state, l.check_head())) return;
  measure(state, l.head_work(), table, [&] { l.head(); });
}

void bench_gelu(benchmark::State& state, const KernelTable& table) {
  constexpr std::size_t kCount = 2048;  // in the L1 cache
  Buffer<float> src(kCount), dst(kCount);
  for (std::size_t i = 0; i < kCount; ++i) src[i] = static_cast<float>(i) * 0.01f - 10.24f;
  table.activation[kActGelu](src.data(), dst.data(), kCount);
  for (std::size_t i = 0; i < kCount; ++i) {
    const double want = reference::gelu(src[i]),
                 limit = reference::kGeluLimits[table.precision] * std::max(1.0f, src[i]);
    if (!(std::fabs(want - double{dst[i]}) <= limit)) return state.SkipWithError("wrong result");
  }
  // Of kernels/activation.inl.h, a multiply-add for two: the power or the pieces, those of bf16,
  // the short form.
  const double of_fp32 = table.lanes < 16 ? 24 : 18;
  const double flops[kPrecisionCount] = {of_fp32, 12, 16};
  const Work work{flops[table.precision] * kCount, 2.0 * sizeof(float) * kCount};
  measure(state, work, table, [&] {
    table.activation[kActGelu](src.data(), dst.data(), kCount);
    benchmark::ClobberMemory();
  });
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kCount));
}

void bench_onednn(benchmark::State& state, const Preset& preset, Op op, Precision precision,
                  bool u8) {
  OneDnnLayer layer(preset, op, precision, u8);
  if (!correct(state, layer.check())) return;
  measure(state, layer.work(), *available_tables(precision).front(), [&] { layer.run(); });
}

std::string onednn_name(Precision precision) {
  return precision == kFp32 ? "onednn" : fmt::format("onednn_{}", precision_name(precision));
}

template <typename F>
void add(const std::string& name, F f) {
  benchmark::RegisterBenchmark(name.c_str(), f);
}

void add_all() {
  for (const Preset& preset : kPresets) {
    const std::string c = fmt::format("c{0}_{1}x{1}", preset.dim, preset.side());
    const std::string k =
        fmt::format("c{0}_k{1}_{2}x{2}", preset.dim, preset.kernel_size, preset.side());
    const std::string p =
        fmt::format("c{0}_p{1}_{2}x{2}", preset.dim, preset.patch_size, preset.side());
    const std::string h =
        fmt::format("c{0}_{1}x{1}_{2}", preset.dim, preset.side(), Preset::kClasses);
    for (const KernelTable* table : all_tables()) {
      const std::string v = fmt::format("/{}/", table->name);
      for (const Strassen strassen : {Strassen::kOff, Strassen::kOn, Strassen::kTwo}) {
        if (strassen == Strassen::kTwo && preset.dim < 768) continue;
        if (strassen != Strassen::kOff && table->strassen[kActIdentity] == nullptr) continue;
        const std::string op = strassen == Strassen::kOn    ? "strassen"
                               : strassen == Strassen::kTwo ? "strassen_two"
                                                            : "pointwise";
        add(op + v + c,
            [&, table, strassen](auto& s) { bench_pointwise(s, preset, *table, strassen); });
        add(op + "_cold" + v + c,
            [&, table, strassen](auto& s) { bench_pointwise_cold(s, preset, *table, strassen); });
      }
      add("depthwise" + v + k, [&, table](auto& s) { bench_depthwise(s, preset, *table); });
      add("patch_embed_f32" + v + p,
          [&, table](auto& s) { bench_patch_embed(s, preset, *table, false); });
      add("patch_embed_u8" + v + p,
          [&, table](auto& s) { bench_patch_embed(s, preset, *table, true); });
      if (table->precision != kFp32) continue;  // the classifier is fp32's in all of them
      add("head" + v + h, [&, table](auto& s) { bench_head(s, preset, *table); });
    }
    for (const Precision precision : {kFp32, kBf16, kInt8}) {
      if (!lacks_onednn(precision).empty()) continue;
      const std::string v = fmt::format("/{}/", onednn_name(precision));
      const auto add_layer = [&](const std::string& name, Op op, bool u8 = false) {
        add(name,
            [&preset, op, precision, u8](auto& s) { bench_onednn(s, preset, op, precision, u8); });
      };
      add_layer("pointwise" + v + c, Op::kPointwise);
      add_layer("depthwise" + v + k, Op::kDepthwise);
      add_layer("patch_embed_f32" + v + p, Op::kPatchEmbed);
      add_layer("patch_embed_u8" + v + p, Op::kPatchEmbed, true);
      if (precision == kFp32) add_layer("head" + v + h, Op::kHead);
    }
  }
  for (const KernelTable* table : all_tables()) {
    add(fmt::format("gelu/{}/2048", table->name), [=](auto& s) { bench_gelu(s, *table); });
  }
}

// The short name of the commit that the folder of this program belongs to, with a + where files
// differ from it: what commit_of of bench/measuring.py tells.
std::string commit() {
  const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const std::string command = fmt::format(
      "git -C '{}' describe --always --exclude '*' --dirty=+ 2> /dev/null", folder.string());
  std::string text;
  if (std::FILE* const git = popen(command.c_str(), "r")) {
    for (int c = std::fgetc(git); c > ' '; c = std::fgetc(git)) text += static_cast<char>(c);
    pclose(git);
  }
  return text.empty() ? "unknown commit" : text;
}

// What this CPU or build cannot run, and why. (Google Benchmark has no skip that is not an error
// before 1.8.)
void tell_what_is_left_out() {
  for (const Precision precision : {kFp32, kBf16, kInt8}) {
    for (const Variant& v : variants(precision)) {
      if (v.table == nullptr) benchmark::AddCustomContext("without_" + v.name, v.refusal);
    }
    const std::string lacks = lacks_onednn(precision);
    if (!lacks.empty()) benchmark::AddCustomContext("without_" + onednn_name(precision), lacks);
  }
}

}  // namespace
}  // namespace convmixer::bench

int main(int argc, char** argv) {
  using namespace convmixer;
#ifdef _OPENMP
  omp_set_num_threads(1);  // oneDNN's
#endif
  benchmark::AddCustomContext("cpu", cpu_name());
  benchmark::AddCustomContext("commit", bench::commit());
  benchmark::AddCustomContext("compiler", __VERSION__);
  benchmark::AddCustomContext("flags", CONVMIXER_BENCH_FLAGS);
  benchmark::AddCustomContext("threads", "1");
  for (const KernelTable* table : bench::all_tables()) {
    benchmark::AddCustomContext(fmt::format("fma_peak_{}", table->name),
                                fmt::format("{:.1f} GFLOP/s", bench::peak_of(*table) / 1e9));
  }
  bench::tell_what_is_left_out();
  bench::add_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
