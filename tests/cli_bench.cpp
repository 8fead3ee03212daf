// SPDX-License-Identifier: Apache-2.0
// convmixer bench: what it reports is complete and fits together; nothing depends on how fast.
#include <sys/resource.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "cli/run_times.h"
#include "cli_process.h"

namespace convmixer::test {
namespace {

TEST(RunTimes, MedianAnd99thPercentile) {
  struct Case {
    std::size_t runs;
    double median, p99;
  };
  for (const Case& c : {Case{1, 1, 1},
                        {2, 1.5, 2},
                        {5, 3, 5},
                        {99, 50, 99},
                        {100, 50.5, 99},
                        {101, 51, 100},
                        {200, 100.5, 198}}) {
    std::vector<double> times(c.runs);
    std::iota(times.begin(), times.end(), 1.0);
    EXPECT_EQ(cli::median(times), c.median) << c.runs;
    EXPECT_EQ(cli::p99(times), c.p99) << c.runs;
  }
}

struct Bench : Cli {
  // The report of `bench ARGUMENTS --json --seconds 0`, for a model of so many multiply-adds.
  nlohmann::json report(std::vector<std::string> arguments, double macs) {
    arguments.insert(arguments.begin(), "bench");
    arguments.insert(arguments.end(), {"--json", "--seconds", "0"});
    run(arguments);
    EXPECT_EQ(code, 0) << err;
    const std::vector<std::string> lines = lines_of(out);
    EXPECT_EQ(lines.size(), 1u) << out;
    const nlohmann::json r = nlohmann::json::parse(lines.at(0));
    for (const char* key :
         {"batch", "chunk", "threads", "images_per_second", "gflops", "fma_peak_gflops",
          "percent_of_peak", "peak_memory_bytes", "open_seconds", "file_bytes", "weight_bytes"}) {
      EXPECT_GT(r.at(key).get<double>(), 0) << key;
    }
    for (const char* key : {"model", "precision", "isa", "cpu", "version"}) {
      EXPECT_FALSE(r.at(key).get<std::string>().empty()) << key;
    }
    const double rate = r["images_per_second"], median = r["latency_ms"]["median"];
    near(rate * median / 1e3, r["batch"]);
    near(r["gflops"], 2e-9 * macs * rate);
    near(r["percent_of_peak"],
         100 * r["gflops"].get<double>() / r["fma_peak_gflops"].get<double>());
    EXPECT_GE(r.at("strassen_levels").get<int>(), 0);
    EXPECT_EQ(r.at("image_size").size(), 2u);
    EXPECT_GE(r["latency_ms"]["p99"], median);
    EXPECT_GT(r["peak_memory_bytes"], r["weight_bytes"]);
    return r;
  }

  static void near(double got, double want) { EXPECT_NEAR(got, want, 1e-9 * want); }
};

TEST_F(Bench, MeasuresAFile) {
  const std::string path = kShare + "/cifar10_256_8.safetensors";
  // The patch embedding, 8 blocks of 5×5 taps, the classifier.
  const double macs = 64 * (48 * 256 + 8 * (25 * 256 + 256 * 256)) + 2560;
  const nlohmann::json r = report({"--model", path, "--threads", "1", "--batch", "3"}, macs);
  EXPECT_EQ(r["model"], path);
  EXPECT_EQ(r["batch"], 3);
  EXPECT_EQ(r["threads"], 1);
  EXPECT_EQ(r["precision"], "fp32");
  EXPECT_EQ(r["latency_ms"]["runs"], 5);
  EXPECT_EQ(r["file_bytes"], fs::file_size(path));
  EXPECT_EQ(report({}, macs)["batch"], 1);  // the same model, the bundled one
}

TEST_F(Bench, MeasuresAPreset) {
  // 9 × 9 pixels, which the weights do not depend on.
  const double macs = 81 * (147 * 256 + 8 * (81 * 256 + 256 * 256)) + 256000;
  const std::vector<std::string> small = {"--image-size", "63", "--isa", "portable", "--runs", "2"};
  for (const char* name : {"convmixer_256_8", "256_8"}) {
    std::vector<std::string> arguments = small;
    arguments.insert(arguments.end(), {"--model", name});
    const nlohmann::json r = report(arguments, macs);
    EXPECT_EQ(r["model"], "convmixer_256_8");
    EXPECT_EQ(r["isa"], "portable");
    EXPECT_EQ(r["latency_ms"]["runs"], 2);
    // 997,864 parameters; for each of 17 × 256 channels two running statistics and int8's scale and
    // zero point; and the header.
    EXPECT_GT(r["file_bytes"], 4 * (997864 + 4 * 17 * 256));
    EXPECT_LT(r["file_bytes"], 4 * (997864 + 4 * 17 * 256) + 16384);
  }
}

TEST_F(Bench, PrintsATable) {
  run({"bench", "--seconds", "0", "--model", "256_8", "--image-size", "63"});
  ASSERT_EQ(code, 0) << err;
  for (const char* word : {"convmixer_256_8, random weights", "images/s", "ms p99", "5 runs",
                           "% of the FMA peak", "peak memory", "packed weights", "time to open"}) {
    EXPECT_NE(out.find(word), std::string::npos) << word << " in: " << out;
  }
}

TEST_F(Bench, RefusesWrongUsage) {
  for (const char* name : {"512_8", "convmixer_256", "256_8 "}) {
    run({"bench", "--model", name});
    expect_error(2, {"--model", name, "convmixer_1536_20, convmixer_1024_20, convmixer_768_32",
                     "convmixer_256_8"});
  }
  run({"bench", "--model", "/no/such.safetensors"});
  expect_error(1, {"/no/such.safetensors"});
  run({"bench", "--batch", "0"});
  expect_error(2, {"--batch", "from 1 to 4096", "found \"0\""});
  run({"bench", "--seconds", "-1"});
  expect_error(2, {"--seconds", "from 0", "found \"-1\""});
  run({"bench", "--seconds", "nan"});
  expect_error(2, {"--seconds"});
  run({"bench", "--runs", "0"});
  expect_error(2, {"--runs", "from 1"});
  run({"bench", "--threads", "0"});
  expect_error(2, {"--threads", "from 1 to 1024"});
  run({"bench", "--isa", "sse9", "--model", "256_8"});
  expect_error(2, {"sse9", "portable, avx2, avx512"});
}

TEST_F(Bench, NoticesWhereWeightsCannotBeWritten) {
  run({"bench", "--model", "256_8"}, {"TMPDIR=/no/such"});
  expect_error(1, {"/no/such", "cannot be written"});
  const fs::path place = folder / "place";
  fs::create_directory(place);
  const std::vector<std::string> environment = {"TMPDIR=" + place.string()};
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit limit{1 << 20, before.rlim_max};  // as a full disk; the file needs 4 MB
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  run({"bench", "--model", "256_8"}, environment);
  ::setrlimit(RLIMIT_FSIZE, &before);
  expect_error(1, {place.string(), "cannot be written"});
  EXPECT_TRUE(fs::is_empty(place));
  run({"bench", "--model", "256_8", "--seconds", "0", "--image-size", "63"}, environment);
  EXPECT_EQ(code, 0) << err;
  EXPECT_TRUE(fs::is_empty(place));
}

}  // namespace
}  // namespace convmixer::test
