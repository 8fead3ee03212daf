// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/clock.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/random_weights.h"
#include "cli/run_times.h"

namespace convmixer::cli {
namespace {

struct BenchOptions {
  ModelOptions model;
  int batch = 1, runs = 5;
  double seconds = 5;
  bool json = false;
};

struct Report {
  std::string model;
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  convmixer_session_info session = CONVMIXER_SESSION_INFO_INIT;
  std::uint64_t file_bytes = 0, peak_memory_bytes = 0;
  double open_seconds = 0, fma_peak = 0;  // FLOP/s
  std::vector<double> run_seconds;        // sorted
  int batch = 0;

  double images_per_second() const { return batch / median(run_seconds); }
  double flops_per_second() const {
    return 2 * static_cast<double>(info.num_macs) * images_per_second();
  }
};

// The peak begins anew, where the system allows it, so that what came before opening (writing
// random weights) is not in it.
void reset_peak_memory() { std::ofstream("/proc/self/clear_refs") << "5"; }

std::uint64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::uint64_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib * 1024;
  }
  throw Failure(kFailed, "/proc/self/status: expected a line \"VmHWM: … kB\", found none");
}

std::string cpu_name() {
  const std::string text = text_of(convmixer_system_describe), key = "cpu: ";
  const std::size_t begin = text.find(key);
  if (begin == std::string::npos) return "unknown";
  return text.substr(begin + key.size(), text.find('\n', begin) - begin - key.size());
}

// The only place that knows presets; the rest sees a model file.
Model open_timed(ModelOptions o, Report& report) {
  std::optional<RandomWeights> weights;
  const Preset* const preset = find_preset(o.model);
  std::error_code error;
  if (preset != nullptr) {
    weights.emplace(*preset);
    report.model = preset->name;
    o.model = weights->path();
  } else {
    // A path that is not there is the library's error; a word may be meant as a preset.
    if (!o.model.empty() && o.model.find('/') == std::string::npos &&
        !std::filesystem::exists(o.model, error)) {
      throw Failure(kWrongUsage, fmt::format("--model: expected a file or one of {}, found \"{}\"",
                                             preset_names(), o.model));
    }
    report.model = o.model = find_model(o.model);
  }
  const std::uintmax_t bytes = std::filesystem::file_size(o.model, error);
  report.file_bytes = error ? 0 : bytes;
  reset_peak_memory();
  const Clock::time_point begin = Clock::now();
  Model model = open_model(o);
  report.open_seconds = seconds_since(begin);
  check(convmixer_model_get_info(model.get(), &report.info));
  return model;
}

class Runner {
 public:
  Runner(convmixer_session* session, Report& report)
      : session_(session),
        report_(report),
        src_(static_cast<std::size_t>(report.batch) * 3 *
             static_cast<std::size_t>(report.info.image_height) *
             static_cast<std::size_t>(report.info.image_width)),
        logits_(static_cast<std::size_t>(report.batch) *
                static_cast<std::size_t>(report.info.num_classes)) {
    Random random(2);
    for (float& v : src_) v = 1.7320508f * random.next();  // variance 1, as of normalised images
  }

  // A chunk is enough to bring weights and activations to where they stay.
  void warm_up(double seconds) {
    const Clock::time_point begin = Clock::now();
    do {
      run(std::min(report_.batch, report_.session.chunk_size));
    } while (seconds_since(begin) < seconds);
  }

  // Until there are so many runs in all, of so many seconds in all.
  void measure(int runs, double seconds) {
    std::vector<double>& times = report_.run_seconds;
    while (times.size() < static_cast<std::size_t>(runs) || measured_ < seconds) {
      const Clock::time_point begin = Clock::now();
      run(report_.batch);
      times.push_back(seconds_since(begin));
      measured_ += times.back();
    }
  }

  void measure_peak() {
    double peak = 0;
    check(convmixer_session_measure_fma_peak(session_, &peak));
    report_.fma_peak = std::max(report_.fma_peak, peak);
  }

 private:
  void run(int n) {
    check(convmixer_run_f32(session_, src_.data(), static_cast<std::size_t>(n), logits_.data(),
                            nullptr));
  }

  convmixer_session* session_;
  Report& report_;
  std::vector<float> src_, logits_;
  double measured_ = 0;  // seconds
};

std::string json_of(const Report& r) {
  nlohmann::ordered_json json;
  json["model"] = r.model;
  json["batch"] = r.batch;
  json["chunk"] = r.session.chunk_size;
  json["threads"] = r.session.threads;
  json["precision"] = precision_name(r.info.precision);
  json["isa"] = r.info.isa;
  json["strassen_levels"] = r.info.strassen_levels;
  json["image_size"] = {r.info.image_height, r.info.image_width};
  json["cpu"] = cpu_name();
  json["version"] = convmixer_version();
  json["images_per_second"] = r.images_per_second();
  json["latency_ms"]["median"] = 1e3 * median(r.run_seconds);
  json["latency_ms"]["p99"] = 1e3 * p99(r.run_seconds);
  json["latency_ms"]["runs"] = r.run_seconds.size();
  json["gflops"] = r.flops_per_second() / 1e9;
  json["fma_peak_gflops"] = r.fma_peak / 1e9;
  json["percent_of_peak"] = 100 * r.flops_per_second() / r.fma_peak;
  json["peak_memory_bytes"] = r.peak_memory_bytes;
  json["open_seconds"] = r.open_seconds;
  json["file_bytes"] = r.file_bytes;
  json["weight_bytes"] = r.info.weight_bytes;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string text_of(const Report& r) {
  std::string text;
  const auto line = [&text](const char* name, const std::string& value) {
    text += fmt::format("{:<16} {}\n", name, value);
  };
  line("model", r.model + (find_preset(r.model) != nullptr ? ", random weights" : ""));
  constexpr const char* kProducts[] = {"plain products", "Strassen products",
                                       "Strassen products, two levels"};
  line("variant", fmt::format("{}, {}, {}", r.info.isa, precision_name(r.info.precision),
                              kProducts[r.info.strassen_levels]));
  line("image size", fmt::format("{}×{}", r.info.image_height, r.info.image_width));
  line("threads", fmt::format("{}", r.session.threads));
  line("batch", fmt::format("{} ({} at once)", r.batch, std::min(r.batch, r.session.chunk_size)));
  line("cpu", cpu_name());
  line("version", convmixer_version());
  line("images/s", fmt::format("{:.2f}", r.images_per_second()));
  line("latency",
       fmt::format("{:.3f} ms median, {:.3f} ms p99, {} runs", 1e3 * median(r.run_seconds),
                   1e3 * p99(r.run_seconds), r.run_seconds.size()));
  line("GFLOP/s",
       fmt::format("{:.1f}, {:.1f} % of the FMA peak of {:.1f}", r.flops_per_second() / 1e9,
                   100 * r.flops_per_second() / r.fma_peak, r.fma_peak / 1e9));
  line("peak memory", fmt::format("{:.1f} MB", static_cast<double>(r.peak_memory_bytes) / 1e6));
  line("packed weights", fmt::format("{:.1f} MB", static_cast<double>(r.info.weight_bytes) / 1e6));
  line("time to open", fmt::format("{:.3f} s, a file of {:.1f} MB", r.open_seconds,
                                   static_cast<double>(r.file_bytes) / 1e6));
  return text;
}

void bench(const BenchOptions& o) {
  Report report;
  report.batch = o.batch;
  const Model model = open_timed(o.model, report);
  const Session session = make_session(model, o.model);
  check(convmixer_session_get_info(session.get(), &report.session));
  Runner runner(session.get(), report);
  runner.warm_up(std::min(1.0, o.seconds / 5));
  // In two halves, with the peak before, between and after: clocks change while it runs.
  runner.measure_peak();
  runner.measure((o.runs + 1) / 2, o.seconds / 2);
  runner.measure_peak();
  runner.measure(o.runs, o.seconds);
  runner.measure_peak();
  report.peak_memory_bytes = peak_memory();
  std::sort(report.run_seconds.begin(), report.run_seconds.end());
  print(o.json ? json_of(report) : text_of(report));
}

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "bench", "Measure a model's speed and memory on random images, or a published model's");
  auto o = std::make_shared<BenchOptions>();
  add_model_options(command, o->model);
  command.get_option("--model")
      ->description(
          "A checkpoint or a folder of one, or a published model, which gets random weights: " +
          preset_names() +
          ", or short 1536_20 (default: the environment variable CONVMIXER_MODEL, else "
          "the bundled CIFAR-10 model)")
      ->type_name("FILE|DIR|PRESET");
  add_threads_option(command, o->model);
  command.add_option("--batch", o->batch, "Images a run, 1 to 4096 (default: 1)")
      ->check(in_range("a number from 1 to 4096", 1, 4096))
      ->type_name("N");
  command.add_option("--seconds", o->seconds, "Measure for at least so long (default: 5)")
      ->check(in_range("a number from 0 to 86400", 0.0, 86400.0))
      ->type_name("S");
  command.add_option("--runs", o->runs, "Measure at least so many runs (default: 5)")
      ->check(in_range("a number from 1 to 1000000", 1, 1000000))
      ->type_name("N");
  command.add_flag("--json", o->json, "One JSON object on one line instead of a table");
  command.footer(
      "images/s is batch / median run. GFLOP/s counts the model's multiply-adds, two operations "
      "each. The FMA peak is what this\nvariant's multiply-adds reach on as many threads, measured "
      "in the same process before, between and after the runs;\nof oneDNN, our best "
      "variant's of that precision. Peak "
      "memory is the process's since before opening, input and output included.\n"
      "A preset's weights are written to TMPDIR (else /tmp) for the while: up to 210 MB.\n"
      "Example: convmixer bench --model 768_32 --batch 8 --threads 1");
  command.callback([o] { bench(*o); });
}

}  // namespace convmixer::cli
