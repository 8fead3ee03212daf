// SPDX-License-Identifier: Apache-2.0
// The command: options, classify, run, transform, describe, info; results, bad input, wrong usage.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli_process.h"
#include "images_data.h"

namespace convmixer::test {
namespace {

// ---- classify ----

TEST_F(Cli, ClassifiesTheBundledImages) {
  run({"classify", kShare + "/images"});
  ASSERT_EQ(code, 0) << err;
  const std::vector<std::string> lines = lines_of(out);
  ASSERT_EQ(lines.size(), 12u);
  for (const std::string& line : lines) {  // …/cat_0001.jpg: cat 72.1 %  (…)
    const std::size_t colon = line.find(": ");
    const std::string file = fs::path(line.substr(0, colon)).filename().string();
    EXPECT_EQ(line.substr(colon + 2, line.find(' ', colon + 2) - colon - 2),
              file.substr(0, file.find('_')));
  }
}

TEST_F(Cli, JsonHoldsAnObjectALine) {
  write_text(folder / "text.jpg", "no image");
  write_text(folder / "empty.png", "");
  const std::string good = kShare + "/images/cat_0000.jpg";
  run({"classify", "--json", "--top", "3", good, (folder / "text.jpg").string(),
       (folder / "empty.png").string(), "/no/such/file.jpg", good});
  EXPECT_EQ(code, 1);
  const std::vector<std::string> lines = lines_of(out);
  ASSERT_EQ(lines.size(), 5u);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const nlohmann::json line = nlohmann::json::parse(lines[i]);
    if (i == 0 || i == 4) {
      EXPECT_EQ(line["status"], "ok");
      EXPECT_TRUE(line["error"].is_null());
      ASSERT_EQ(line["top"].size(), 3u);
      EXPECT_EQ(line["top"][0]["label"], "cat");
      EXPECT_EQ(line["top"][0]["index"], 3);
      EXPECT_GT(line["top"][0]["probability"], line["top"][1]["probability"]);
    } else {
      EXPECT_EQ(line["status"], i == 3 ? "io_error" : "format_error");
      EXPECT_NE(line["error"].get<std::string>().find(line["file"].get<std::string>()),
                std::string::npos);
      EXPECT_TRUE(line["top"].empty());
    }
  }
}

TEST_F(Cli, WalksFoldersWithoutGettingLost) {
  const fs::path cat = kShare + "/images/cat_0000.jpg";
  fs::create_directories(folder / "tree/b/deep");
  fs::copy(cat, folder / "tree/b/deep/2.JPG");
  fs::copy(cat, folder / "tree/a.jpeg");
  fs::copy(cat, folder / "tree/c.jpg");
  write_text(folder / "tree/notes.txt", "not looked at");
  write_text(folder / "tree/._a.jpeg", "what another system leaves");
  fs::create_directory(folder / "tree/.cache");
  fs::copy(cat, folder / "tree/.cache/a.jpg");
  fs::create_directory_symlink(folder / "tree", folder / "tree/b/loop");
  fs::create_directory_symlink("b", folder / "tree/e");   // the same folder twice
  write_text(folder / "tree/d\xFF.jpg", read_text(cat));  // a name that is no UTF-8
  run({"classify", "--json", (folder / "tree").string()});
  ASSERT_EQ(code, 0) << err;
  std::vector<std::string> names;
  for (const std::string& line : lines_of(out)) {
    names.push_back(
        fs::path(nlohmann::json::parse(line)["file"].get<std::string>()).filename().string());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"a.jpeg", "2.JPG", "c.jpg", "d\xEF\xBF\xBD.jpg"}));
  fs::create_directory(folder / "nothing");
  run({"classify", (folder / "nothing").string()});
  expect_error(1, {"nothing", "found none"});
  run({"classify", (folder / "nothing").string(), cat.string()});  // the others are printed
  EXPECT_EQ(code, 1);
  EXPECT_NE(out.find("cat_0000.jpg: cat"), std::string::npos) << out;
}

TEST_F(Cli, FindsTheModelByOptionThenEnvironmentThenItself) {
  const std::string image = kShare + "/images/cat_0000.jpg";
  run({"classify", image}, {"CONVMIXER_MODEL=/no/such.safetensors"});
  expect_error(1, {"/no/such.safetensors"});
  run({"classify", "--model", kShare + "/cifar10_256_8.safetensors", image},
      {"CONVMIXER_MODEL=/no/such.safetensors"});
  EXPECT_EQ(code, 0) << err;
  run({"classify", image}, {"CONVMIXER_MODEL=" + kShare + "/cifar10_256_8.safetensors"});
  EXPECT_EQ(code, 0) << err;
}

TEST_F(Cli, RefusesBadModels) {
  const std::string image = kShare + "/images/cat_0000.jpg";
  const std::string bytes = read_text(kShare + "/cifar10_256_8.safetensors");
  write_text(folder / "empty.safetensors", "");
  write_text(folder / "text.safetensors", "this is some text and no model");
  write_text(folder / "cut.safetensors", bytes.substr(0, bytes.size() / 2));
  for (const char* name :
       {"missing.safetensors", "empty.safetensors", "text.safetensors", "cut.safetensors", ""}) {
    const std::string path = (folder / name).string();
    run({"classify", "--model", path, image});
    expect_error(1, {path});
  }
}

TEST_F(Cli, ExifAndPixelLimit) {
  run({"classify", "--max-pixels", "100", kShare + "/images/cat_0000.jpg"});
  EXPECT_EQ(code, 1);
  EXPECT_NE(err.find("at most 100 pixels, found 32×32"), std::string::npos) << err;
  run({"classify", "--exif", "--top", "1000", kShare + "/images/cat_0000.jpg"});
  EXPECT_EQ(code, 0) << err;
}

// ---- usage ----

TEST_F(Cli, RefusesWrongUsage) {
  const std::string image = kShare + "/images/cat_0000.jpg";
  run({});
  expect_error(2, {"expected a command", "--help"});
  run({"clasify", image});
  expect_error(2, {});
  run({"classify"});
  expect_error(2, {"FILE"});
  run({"classify", "--no-such-flag", image});
  expect_error(2, {"--no-such-flag"});
  for (const char* threads : {"0", "-1", "1025", "two"}) {
    run({"classify", "--threads", threads, image});
    expect_error(2, {"--threads", "from 1 to 1024", threads});
  }
  run({"classify", "--threads", "auto", "--batch", "2", "--precision", "fp32", image});
  EXPECT_EQ(code, 0) << err;
  run({"classify", "--batch", "0", image});
  expect_error(2, {"--batch", "found \"0\""});
  run({"classify", "--precision", "int4", image});
  expect_error(2, {"--precision", "fp32", "int4"});
  run({"classify", "--isa", "sse9", image});
  expect_error(2, {"sse9", "portable", "avx2", "avx512"});
  run({"classify", image}, {"CONVMIXER_ISA=sse9"});
  expect_error(2, {"CONVMIXER_ISA", "sse9", "portable"});
  run({"classify", "--image-size", "32y32", image});
  expect_error(2, {"--image-size", "32y32", "1 to 16384"});
  for (const char* size : {"0", "4294967520", "224x", "x224", "16385", "32x32x32", "32x32 "}) {
    run({"transform", image, "--output", "/dev/null", "--image-size", size});
    expect_error(2, {"--image-size", "1 to 16384", "found \"" + std::string(size) + "\""});
  }
  run({"classify", "--mean", "1,2", image});
  expect_error(2, {"--mean", "1,2"});
  run({"classify", "--crop-pct", "1.5", image});
  expect_error(2, {"--crop-pct", "1.5"});
  for (const char* most : {"0", "-1", "99999999999999999999", "many"}) {
    run({"classify", "--max-pixels", most, image});
    expect_error(2, {"--max-pixels", "a whole number from 1 to 2^64 - 1", most});
  }
  run({"classify", "--top", "0", image});
  expect_error(2, {"--top", "from 1", "found \"0\""});
  run({"transform", "--crop-pct", "3", image, "--output", "/dev/null"});
  expect_error(2, {"--crop-pct", "from 1e-9 to 1", "found \"3\""});
  run({"classify", "--onednn", "maybe", image});
  expect_error(2, {"--onednn"});
}

TEST_F(Cli, StrassenAndLowMemoryReachThePlan) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--strassen", "on"}, "portable (Strassen)"},
      {{"--strassen", "off"}, "plain: Strassen is switched off"},
      {{"--strassen", "two"}, "plain: portable gains nothing"},
      {{"--low-memory"}, "plain: low memory is asked for"}};
  for (const auto& [options, text] : cases) {
    std::vector<std::string> arguments{"describe", "--isa", "portable"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    run(arguments);
    EXPECT_EQ(code, 0) << err;
    EXPECT_NE(out.find(text), std::string::npos) << out;
  }
  run({"describe", "--strassen", "on", "--low-memory"});
  EXPECT_EQ(code, 2);
  EXPECT_NE(err.find("memory"), std::string::npos) << err;
}

TEST_F(Cli, ExplainsItself) {
  run({"classfy", "--version"});
  EXPECT_EQ(code, 2);
  EXPECT_NE(err.find("\"classfy\" is not a command"), std::string::npos) << err;
  run({"--version"});
  EXPECT_EQ(code, 0);
  EXPECT_EQ(out.rfind("convmixer 0.", 0), 0u) << out;
  run({"--help"});
  EXPECT_EQ(code, 0);
  for (const char* command : {"classify", "eval", "run", "transform", "describe", "bench",
                              "calibrate", "compare", "convert", "info"}) {
    EXPECT_NE(out.find(command), std::string::npos) << command;
  }
  for (const char* command : {"classify", "eval", "run", "transform", "describe", "bench",
                              "calibrate", "compare", "convert", "info"}) {
    run({command, "--help"});
    EXPECT_EQ(code, 0) << command;
    EXPECT_NE(out.find("--help"), std::string::npos) << command;
    EXPECT_NE(out.find("Example: convmixer " + std::string(command)), std::string::npos) << command;
    run({command, "--version"});
    EXPECT_EQ(code, 0) << command;
    EXPECT_EQ(out.rfind("convmixer 0.", 0), 0u) << command;
  }
  run({"info"});
  EXPECT_EQ(code, 0);
  EXPECT_NE(out.find("variant portable: available"), std::string::npos) << out;
  run({"describe", "--isa", "portable", "--threads", "3", "--batch", "5"});
  EXPECT_EQ(code, 0) << err;
  EXPECT_NE(out.find("(3 threads, 5 images at once)"), std::string::npos) << out;
  EXPECT_NE(out.find("blocks.7.pointwise"), std::string::npos) << out;
  EXPECT_NE(out.find("isa portable is asked for"), std::string::npos) << out;
}

// Stacks of 1024 threads need 8 GB. OpenMP, whose threads are oneDNN's, would end the process.
TEST_F(Cli, NoticesThatThreadsAreRefused) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need more addresses than that";
#endif
  for (const char* onednn : {"off", "on"}) {
    SCOPED_TRACE(onednn);
    run_program("/bin/sh", {"sh", "-c",
                            "ulimit -v 6000000 && ulimit -s 8192 && exec \"$0\" classify --threads "
                            "1024 --onednn \"$1\" \"$2\"",
                            CONVMIXER_COMMAND, onednn, kShare + "/images/cat_0000.jpg"});
    EXPECT_EQ(code, 1);
    EXPECT_TRUE(err.find("threads: expected to start") != std::string::npos ||
                err.find("this build has no oneDNN") != std::string::npos)
        << err;
  }
}

TEST_F(Cli, NoticesAFullDisk) {
  run({"classify", kShare + "/images"}, {}, "/dev/full");
  EXPECT_EQ(code, 1);
  EXPECT_NE(err.find("standard output"), std::string::npos) << err;
  run({"--version"}, {}, "/dev/full");
  EXPECT_EQ(code, 1);
}

// ---- run ----

TEST_F(Cli, RunGivesPyTorchsLogits) {
  struct Case {
    const char *name, *size, *activation;
  };
  for (const Case& c :
       {Case{"gelu_32", "32", "gelu"}, {"odd_20", "31", "gelu"}, {"relu_48", "224", "relu"}}) {
    const std::string tiny = kData + "/tiny/" + c.name, output = (folder / "y.npy").string();
    run({"run", "--model", tiny + "/timm.safetensors", "--input", tiny + "/input.npy", "--output",
         output, "--image-size", c.size, "--activation", c.activation, "--features",
         (folder / "f.npy").string()});
    ASSERT_EQ(code, 0) << err;
    const std::vector<double> want = read_values(tiny + "/logits.npy"), got = read_values(output);
    ASSERT_EQ(got.size(), want.size());
    double largest = 0, error = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      largest = std::max(largest, std::fabs(want[i]));
      error = std::max(error, std::fabs(got[i] - want[i]));
    }
    EXPECT_LE(error, 5e-6 * largest) << c.name;
    EXPECT_TRUE(fs::exists(folder / "f.npy"));
  }
}

std::string npy(const std::string& descr, const std::string& order, const std::string& shape,
                std::size_t bytes) {
  std::string header =
      "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(header.size());
  file += '\0';
  return file + header + std::string(bytes, '\0');
}

TEST_F(Cli, RunRefusesOtherArrays) {
  constexpr std::size_t kImage = 3 * 32 * 32 * 4;
  const std::string good = npy("'<f4'", "False", "(1, 3, 32, 32)", kImage);
  struct Case {
    std::string bytes, word;
  };
  const std::vector<Case> cases = {
      {"", "ends early"},
      {"just text", "another kind of file"},
      {good.substr(0, 30), "ends early"},
      {good.substr(0, good.size() - 1), "found 12287"},
      {good + "x", "found 12289"},
      {npy("'<f8'", "False", "(1, 3, 32, 32)", 2 * kImage), "'<f8'"},
      {npy("'<f4'", "True", "(1, 3, 32, 32)", kImage), "Fortran"},
      {npy("'<f4'", "False", "(1, 3, 32, 31)", 3 * 32 * 31 * 4), "(1, 3, 32, 31)"},
      {npy("'<f4'", "False", "(3, 32, 32)", kImage), "(3, 32, 32)"},
      {npy("'<f4'", "False", "(99999999999, 99999999999, 32, 32)", kImage), "fits"},
      {npy("'<f4'", "False", "(1, -3, 32, 32)", kImage), "shape"},
      {npy("'<f4'", "False", "1", kImage), "shape"},
  };
  const std::string input = (folder / "x.npy").string(), output = (folder / "y.npy").string();
  for (const Case& c : cases) {
    write_text(input, c.bytes);
    run({"run", "--input", input, "--output", output});
    expect_error(1, {"x.npy", c.word});
    EXPECT_FALSE(fs::exists(output)) << c.word;
  }
  run({"run", "--input", "/no/such.npy", "--output", output});
  expect_error(1, {"/no/such.npy"});
  run({"run", "--input", folder.string(), "--output", output});
  expect_error(1, {"regular file"});
  write_text(input, npy("'<f4'", "False", "(0, 3, 32, 32)", 0));
  run({"run", "--input", input, "--output", output});
  EXPECT_EQ(code, 0) << err;
}

// Nothing but the command's own captured output is left in the folder.
std::size_t files_in(const fs::path& folder) {
  std::size_t n = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    n += entry.path().filename() != "stdout" && entry.path().filename() != "stderr";
  }
  return n;
}

TEST_F(Cli, LeavesNothingHalfWritten) {
  const std::string tiny = kData + "/tiny/gelu_32";
  const std::vector<std::string> start = {
      "run", "--model", tiny + "/timm.safetensors", "--image-size",
      "32",  "--input", tiny + "/input.npy",        "--output"};
  const auto with = [&](const std::string& output) {
    std::vector<std::string> arguments = start;
    arguments.push_back(output);
    return arguments;
  };
  run(with("/no/such/folder/y.npy"));
  expect_error(1, {"/no/such/folder/y.npy", "cannot be written"});
  run(with(folder.string()));
  expect_error(1, {folder.string(), "cannot be written"});
  run(with("/dev/full"));
  expect_error(1, {"/dev/full", "cannot be written"});
  run(with("/dev/null"));
  EXPECT_EQ(code, 0) << err;
  EXPECT_EQ(files_in(folder), 0u);
  write_text(folder / "kept.npy", "old");
  run({"run", "--input", "/no/such.npy", "--output", (folder / "kept.npy").string()});
  EXPECT_EQ(code, 1);
  EXPECT_EQ(read_text(folder / "kept.npy"), "old");
  EXPECT_EQ(files_in(folder), 1u);
}

// A link stays a link; one that leads to the command's own stdout, as /dev/stdout does, is written
// through even where stdout is a regular file.
TEST_F(Cli, FollowsLinksOfOutputs) {
  const std::string image = kShare + "/images/cat_0000.jpg", png = "\x89PNG";
  write_text(folder / "real.png", "old");
  fs::create_symlink("real.png", folder / "link.png");
  run({"transform", image, "--output", (folder / "link.png").string()});
  EXPECT_EQ(code, 0) << err;
  EXPECT_TRUE(fs::is_symlink(folder / "link.png"));
  EXPECT_EQ(read_text(folder / "real.png").substr(0, 4), png);
  fs::create_symlink("/proc/self/fd/1", folder / "stdout_link");
  run({"transform", image, "--output", (folder / "stdout_link").string()});
  EXPECT_EQ(code, 0) << err;
  EXPECT_TRUE(fs::is_symlink(folder / "stdout_link"));
  EXPECT_EQ(out.substr(0, 4), png);
  const std::string longest(255, 'n');  // the longest name that a file may have
  run({"transform", image, "--output", (folder / longest).string()});
  EXPECT_EQ(code, 0) << err;
  EXPECT_EQ(files_in(folder), 4u);
}

// ---- transform ----

Bytes pixels_of(const std::string& path) { return decode(read_bytes(path)).pixels; }

TEST_F(Cli, TransformGivesPillowsPixels) {
  const std::string output = (folder / "crop.png").string();
  for (const char* name : kImages) {
    run({"transform", image_path(name), "--output", output, "--image-size", "224", "--crop-pct",
         "0.96"});
    ASSERT_EQ(code, 0) << err;
    EXPECT_TRUE(pixels_of(output) == pixels_of(image_path(name) + ".expected.png")) << name;
  }
  run({"transform", image_path("rgb.png"), "--output", "/no/such/crop.png"});
  expect_error(1, {"/no/such/crop.png"});
  write_text(folder / "zero.jpg", "");
  fs::remove(output);
  run({"transform", (folder / "zero.jpg").string(), "--output", output});
  expect_error(1, {"zero.jpg", "empty"});
  EXPECT_FALSE(fs::exists(output));
}

}  // namespace
}  // namespace convmixer::test
