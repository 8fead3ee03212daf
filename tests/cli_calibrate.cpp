// SPDX-License-Identifier: Apache-2.0
// convmixer calibrate: what its scales are worth, what it refuses, and files that were spoiled.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "calibrate_command.h"

namespace convmixer::test {
namespace {

// A float32 .npy of version 1.
std::string npy(const std::string& shape, const std::vector<float>& values) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }\n";
  const std::string start("\x93NUMPY\x01\x00", 8);
  const std::string length{static_cast<char>(header.size()), '\0'};
  return start + length + header + bytes_of(values);
}

TEST_F(Calibrate, ScalesKeepThePredictions) {
  const std::string model = calibrated({"--images", kCifar, "--samples", "100"});
  EXPECT_EQ(out, model + ": scales from 100 images; use it with --precision int8\n");
  EXPECT_EQ(err, "");
  run(int8({"compare", "--model", model, "--images", kCifar, "--json"}));
  ASSERT_EQ(code, 0) << err;
  const nlohmann::json report = nlohmann::json::parse(out);
  EXPECT_EQ(report["images"], 200);
  EXPECT_EQ(report["first"]["precision"], "fp32");
  EXPECT_EQ(report["second"]["precision"], "int8");
  EXPECT_GE(report["equal"], kLeastEqual);
  EXPECT_LT(report["relative_change"], kMostChange);
  EXPECT_GT(report["largest_change"], 0.001);
  run(int8({"classify", "--model", model, kShare + "/images/ship_0000.jpg"}));
  EXPECT_EQ(code, 0) << err;
  EXPECT_NE(out.find("ship_0000.jpg: ship "), std::string::npos) << out;
  // The largest range is another choice of scales, and another file.
  const std::string first = read_text(model);
  calibrated({"--images", kCifar, "--samples", "100", "--clip", "minmax"});
  EXPECT_NE(read_text(model), first);
}

// However the images are named, the same ones give the same file.
TEST_F(Calibrate, TakesFoldersFilesAndLists) {
  const std::string want = read_text(calibrated({"--images", kCifar + "/cat", "--samples", "6"}));
  std::vector<std::string> files{"--images"};
  std::string paths, labelled;
  for (const int i : {0, 3, 6, 10, 13, 16}) {  // 6 of 20, evenly spread
    const std::string name = "cat/00" + std::string(i < 10 ? "0" : "") + std::to_string(i) + ".jpg";
    files.push_back(kCifar + "/" + name);
    paths += name + "\n";
    labelled += kCifar + "/" + name + " cat\r\n\n";
  }
  EXPECT_EQ(read_text(calibrated(files)), want);
  write_text(folder / "paths.txt", paths);
  EXPECT_EQ(read_text(calibrated({"--images", path("paths.txt"), "--root", kCifar})), want);
  write_text(folder / "labelled.txt", labelled);
  EXPECT_EQ(read_text(calibrated({"--images", path("labelled.txt")})), want);
}

TEST_F(Calibrate, LeavesBrokenImagesOut) {
  const std::string cat = kCifar + "/cat/0000.jpg";
  const std::string want = read_text(calibrated({"--images", cat}));
  write_text(folder / "bad.jpg", "no image");
  EXPECT_EQ(read_text(calibrated({"--images", path("bad.jpg"), cat, "/no/such.png"})), want);
  EXPECT_NE(err.find("bad.jpg"), std::string::npos) << err;
  EXPECT_NE(err.find("/no/such.png"), std::string::npos) << err;
  EXPECT_NE(err.find("2 of 3 images failed"), std::string::npos) << err;
  EXPECT_NE(out.find("scales from 1 images"), std::string::npos) << out;
}

TEST_F(Calibrate, TakesAnArray) {
  const std::string tiny = kData + "/tiny/relu_48/timm.safetensors";
  const std::string input = kData + "/tiny/relu_48/input.npy";
  calibrated({"--model", tiny, "--activation", "relu", "--input", input});
  run({"run", "--model", path("m8"), "--input", input, "--output", path("want.npy")});
  ASSERT_EQ(code, 0) << err;
  run(int8({"run", "--model", path("m8"), "--input", input, "--output", path("got.npy")}));
  ASSERT_EQ(code, 0) << err;
  const std::vector<double> want = read_values(path("want.npy")),
                            got = read_values(path("got.npy"));
  ASSERT_EQ(got.size(), want.size());
  double error = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  EXPECT_LT(std::sqrt(error / size), 0.05);
  EXPECT_GT(error, 0);
}

// Rows of an array are chosen as images of a list are.
TEST_F(Calibrate, SpreadsItsSamplesOverAnArray) {
  constexpr std::size_t kValues = 3 * 32 * 32;
  const auto calibrated_on = [&](const std::vector<float>& rows, const char* samples) {
    std::vector<float> values;
    for (const float row : rows) values.insert(values.end(), kValues, row);
    write_text(folder / "x.npy", npy("(" + std::to_string(rows.size()) + ", 3, 32, 32)", values));
    return read_text(calibrated({"--input", path("x.npy"), "--samples", samples}));
  };
  EXPECT_EQ(calibrated_on({0, 0.5f, 1, -1, 2}, "2"), calibrated_on({0, 1}, "2"));
  EXPECT_NE(calibrated_on({0, 0.5f, 1, -1, 2}, "2"), calibrated_on({0, 0.5f}, "2"));
}

TEST_F(Calibrate, BadInputLeavesNoFile) {
  const auto refused = [&](int want, std::vector<std::string> arguments,
                           const std::vector<std::string>& words) {
    arguments.insert(arguments.begin(), {"calibrate", "--output", path("m8")});
    run(arguments);
    EXPECT_EQ(code, want) << err;
    EXPECT_EQ(out, "");
    for (const std::string& word : words)
      EXPECT_NE(err.find(word), std::string::npos) << word << " in: " << err;
    EXPECT_FALSE(fs::exists(folder / "m8"));
    // Nor what was half-written under another name.
    for (const auto& entry : fs::directory_iterator(folder)) {
      EXPECT_EQ(entry.path().filename().string().find("m8"), std::string::npos) << entry.path();
    }
  };
  const std::string cat = kCifar + "/cat/0000.jpg";
  fs::create_directory(folder / "empty");
  write_text(folder / "bad.png", "no image");
  write_text(folder / "none.txt", "\n\n");
  refused(2, {}, {"--images", "--input"});
  refused(2, {"--images", cat, "--input", path("x.npy")}, {"expected one of"});
  refused(1, {"--images", path("empty")}, {"empty", "found none"});
  refused(1, {"--images", path("none.txt")}, {"none.txt", "found none"});
  refused(1, {"--images", path("no.txt")}, {"no.txt", "cannot be read"});
  refused(1, {"--images", path("bad.png"), "/no/such.jpg"}, {"none of 2 images could be read"});
  refused(2, {"--images", cat, "--root", kCifar}, {"--root", "a list"});
  refused(2, {"--images", cat, "--samples", "0"}, {"--samples", "from 1"});
  refused(2, {"--images", cat, "--clip", "most"}, {"--clip"});
  refused(2, {"--images", cat, "--precision", "bf16"}, {"--precision"});
  refused(2, {"--images", cat, "--onednn", "on"}, {"--onednn"});
  refused(2, {"--images", cat, "--strassen", "on"}, {"--strassen"});
  refused(1, {"--images", cat, "--isa", "amx"}, {"isa amx: amx: ", "here can run: "});
  refused(1, {"--images", cat, "--model", path("no.safetensors")}, {"no.safetensors"});

  constexpr std::size_t kValues = 3 * 32 * 32;
  const auto with_array = [&](const std::string& text) {
    write_text(folder / "x.npy", text);
    return std::vector<std::string>{"--input", path("x.npy")};
  };
  refused(1, with_array("no array"), {"x.npy"});
  refused(1, with_array(npy("(3, 32, 32)", std::vector<float>(kValues))),
          {"x.npy", "(n, 3, 32, 32)", "found (3, 32, 32)"});
  refused(1, with_array(npy("(1, 3, 16, 64)", std::vector<float>(kValues))),
          {"x.npy", "found (1, 3, 16, 64)"});
  refused(1, with_array(npy("(0, 3, 32, 32)", {})), {"x.npy", "found (0, 3, 32, 32)"});
  std::vector<float> values(2 * kValues);
  values[kValues + 5] = std::numeric_limits<float>::quiet_NaN();
  refused(1, with_array(npy("(2, 3, 32, 32)", values)), {"x.npy", "stem", "NaN or infinite"});
  values[kValues + 5] = std::numeric_limits<float>::infinity();
  refused(1, with_array(npy("(2, 3, 32, 32)", values)), {"x.npy", "stem", "NaN or infinite"});
}

TEST_F(Calibrate, TheOutputIsAnotherFileThatCanBeWritten) {
  const std::string cat = kCifar + "/cat/0000.jpg";
  for (const char* output : {"/no/such/folder/m8", "/proc/m8", "/dev/full", ""}) {
    run({"calibrate", "--images", cat, "--output", output});
    EXPECT_NE(code, 0) << output;
    EXPECT_NE(err.find(output), std::string::npos) << err;
    EXPECT_EQ(out, "");
  }
  fs::copy_file(kShare + "/cifar10_256_8.safetensors", folder / "m");
  const std::string before = read_text(path("m"));
  run({"calibrate", "--model", path("m"), "--images", cat, "--output", path("m")});
  expect_error(2, {path("m"), "another file"});
  EXPECT_EQ(read_text(path("m")), before);
  // An older output is replaced, and stays where the new one is not made.
  const std::string made = read_text(calibrated({"--images", cat}));
  run({"calibrate", "--images", "/no/such.jpg", "--output", path("m8")});
  EXPECT_EQ(code, 1);
  EXPECT_EQ(read_text(path("m8")), made);
}

TEST_F(Calibrate, ScalesSurviveConversionAndAnotherCalibration) {
  const std::vector<std::string> images{"--images", kCifar + "/dog"};
  const std::string model = calibrated(images), bytes = read_text(model);
  run({"convert", "--model", model, "--output", path("converted")});
  ASSERT_EQ(code, 0) << err;
  EXPECT_EQ(read_text(path("converted")), bytes);
  std::vector<std::string> again{"--model", path("converted")};
  again.insert(again.end(), images.begin(), images.end());
  EXPECT_EQ(read_text(calibrated(again)), bytes);
  // Other images give other scales, in place of the first.
  fs::rename(model, path("first"));
  EXPECT_NE(read_text(calibrated({"--model", path("first"), "--images", kCifar + "/ship"})), bytes);
}

TEST_F(Calibrate, SpoiledScalesAreRefusedByName) {
  const std::string bytes = read_text(calibrated({"--images", kCifar + "/cat/0000.jpg"}));
  const auto refused = [&](auto edit, const std::vector<std::string>& words) {
    expect_refused(bytes, edit, words);
    expect_error(1, {path("edited")});
    run({"describe", "--model", path("edited")});  // nothing but int8 needs them
    EXPECT_EQ(code, 0) << err;
  };
  const std::string scale = "quant.blocks.3.depthwise.scale",
                    zero = "quant.blocks.7.pointwise.zero_point";
  refused([&](CheckpointFile& file) { file.add(scale, {255}, std::vector<float>(255, 1)); },
          {scale, "[256]", "[255]"});
  refused(set_value(scale, -1), {"blocks.3.depthwise", "channel 7", "positive", "-1"});
  refused(set_value(scale, 0), {"blocks.3.depthwise", "channel 7", "positive"});
  refused(set_value(scale, std::nanf("")), {"blocks.3.depthwise", "channel 7", "nan"});
  refused(set_value(zero, 256), {"blocks.7.pointwise", "channel 7", "256"});
  refused(set_value(zero, 0.5), {"blocks.7.pointwise", "channel 7", "0.5"});
  refused([&](CheckpointFile& file) { file.tensors.erase(scale); }, {scale});
  refused([&](CheckpointFile& file) { file.tensors.erase("quant.stem.zero_point"); },
          {"quant.stem.zero_point"});
  refused(
      [&](CheckpointFile& file) {
        file.tensors["quant.blocks.8.depthwise.scale"] = file.tensors.at(scale);
      },
      {"8 blocks", "quant.blocks.8.depthwise.scale"});
}

TEST_F(Calibrate, ScalesAreForOneConfiguration) {
  const std::string cat = kCifar + "/cat/0000.jpg", model = calibrated({"--images", cat});
  for (const std::vector<std::string>& option : {std::vector<std::string>{"--activation", "relu"},
                                                 {"--image-size", "64"},
                                                 {"--mean", "0,0,0"},
                                                 {"--bn-eps", "0.5"}}) {
    std::vector<std::string> arguments{"classify", "--model", model, cat};
    arguments.insert(arguments.end(), option.begin(), option.end());
    run(int8(arguments));
    expect_error(2, {model, "scales are for 'gelu, 32x32 pixels", "calibrate it again"});
    run(arguments);
    EXPECT_EQ(code, 0) << err;
  }
  fs::rename(model, path("small"));
  calibrated({"--model", path("small"), "--image-size", "64", "--images", cat});
  run(int8({"classify", "--model", model, cat}));
  EXPECT_EQ(code, 0) << err;
  run(int8({"classify", "--model", model, "--image-size", "32", cat}));
  expect_error(2, {"64x64 pixels", "calibrate it again"});
}

TEST_F(Calibrate, Int8NeedsScalesAndInstructions) {
  run(int8({"describe"}));
  expect_error(1, {"cifar10_256_8.safetensors", "scales", "convmixer calibrate"});
  run({"describe", "--precision", "bf16", "--isa", "avx2"});
  expect_error(1, {"precision bf16, isa avx2", "no such kernels", "portable"});
  run({"info"});
  const bool has_bf16 = out.find("variant avx512_bf16: available") != std::string::npos;
  run({"describe", "--precision", "bf16"}, {"CONVMIXER_ISA=avx2"});
  expect_error(1, {has_bf16 ? "CONVMIXER_ISA limits the choice to avx2" : "avx512_bf16: ",
                   "isa portable is asked for"});
  run({"describe", "--precision", "bf16", "--isa", "portable"});
  EXPECT_EQ(code, 0) << err;
  EXPECT_NE(out.find("portable_bf16"), std::string::npos) << out;
  const std::string model = calibrated({"--images", kCifar + "/cat/0000.jpg"});
  for (const std::string precision : {"bf16", "int8"}) {
    run({"describe", "--model", model, "--precision", precision, "--onednn", "on"});
    if (code == 0) {
      EXPECT_NE(out.find("onednn ("), std::string::npos) << out;
    } else {
      expect_error(1, {"oneDNN is asked for, but"});
    }
  }
}

}  // namespace
}  // namespace convmixer::test
