// SPDX-License-Identifier: Apache-2.0
// convmixer convert: what it writes and says, labels from a file, refusals.
#include <gtest/gtest.h>

#include "cli_process.h"

namespace convmixer::test {
namespace {

class CliConvert : public Cli {
 protected:
  std::string path(const std::string& name) const { return (folder / name).string(); }
  std::string with_text(const std::string& name, const std::string& text) const {
    write_text(folder / name, text);
    return path(name);
  }

  const std::string tiny = kData + "/tiny/relu_48/timm.safetensors";
  const std::string bundled = kShare + "/cifar10_256_8.safetensors";
};

TEST_F(CliConvert, TheConvertedModelNeedsNoOptions) {
  const std::string output = path("model.safetensors"), input = kData + "/tiny/relu_48/input.npy";
  run({"convert", "--model", tiny, "--output", output, "--activation", "relu", "--mean",
       "0.5,0.25,0", "--std", "1,2,3", "--crop-pct", "0.9", "--bn-eps", "1e-5", "--interpolation",
       "bilinear", "--image-size", "224"});
  ASSERT_EQ(code, 0) << err;
  EXPECT_EQ(err, "");
  EXPECT_EQ(out, output +
                     ": ConvMixer-48/2, kernel 7, patch 7, ReLU, 1000 classes, 1000 labels, 0.07 "
                     "million parameters\n"
                     "images: 224×224 pixels, crop_pct 0.9, bilinear, mean 0.5, 0.25, 0, std 1, 2, "
                     "3\n");
  run({"run", "--model", tiny, "--activation", "relu", "--input", input, "--output",
       path("want.npy")});
  ASSERT_EQ(code, 0) << err;
  run({"run", "--model", output, "--input", input, "--output", path("got.npy")});
  ASSERT_EQ(code, 0) << err;
  EXPECT_EQ(read_text(path("got.npy")), read_text(path("want.npy")));
}

TEST_F(CliConvert, LabelsFromAFile) {
  const std::string lines = "zero\nein, zwei\ndrei\xC3\xA4\n3\n4\n5\n6\n7\n8";
  for (const std::string& text : {lines + "\nneun", lines + "\nneun\n", lines + "\nneun\n\n",
                                  "\xEF\xBB\xBF" + lines + "\r\nneun\r\n"}) {
    run({"convert", "--model", bundled, "--output", path("m"), "--labels",
         with_text("names.txt", text)});
    ASSERT_EQ(code, 0) << err;
    EXPECT_NE(out.find("10 classes, 10 labels"), std::string::npos) << out;
    run({"classify", "--top", "10", "--model", path("m"), kShare + "/images/cat_0000.jpg"});
    ASSERT_EQ(code, 0) << err;
    EXPECT_NE(out.find("cat_0000.jpg: 3 6"), std::string::npos) << out;  // cat 62.7 %
    for (const char* label : {"zero ", "ein, zwei ", "drei\xC3\xA4 ", "neun "}) {
      EXPECT_NE(out.find(label), std::string::npos) << label << " in " << out;
    }
  }
}

TEST_F(CliConvert, BadLabelsAreRefused) {
  const auto refused = [&](int want, const std::string& text, const std::string& word) {
    run({"convert", "--model", bundled, "--output", path("m"), "--labels",
         with_text("names.txt", text)});
    expect_error(want, {word});
    EXPECT_FALSE(fs::exists(folder / "m"));
  };
  refused(2, "a\nb\n", "expected 10 labels, one a class, found 2");
  refused(2, "1\n2\n3\n4\n5\n6\n7\n8\n9\ncaf\xe9\n", "expected UTF-8 as each label");
  refused(1, "a\n\nb\n", "names.txt: line 2: expected a name, found a blank line");
  refused(1, std::string("a\nb\0c\n", 6), "names.txt: line 2: expected a name, found a zero byte");
  refused(1, "", "names.txt: expected a name a line, found none");
  refused(1, "\n\n", "names.txt: expected a name a line, found none");
  run({"convert", "--model", bundled, "--output", path("m"), "--labels", path("none.txt")});
  expect_error(1, {"none.txt"});
  run({"convert", "--model", bundled, "--output", path("m"), "--labels", folder.string()});
  expect_error(1, {folder.string(), "expected a file of labels"});
  for (const char* endless : {"/dev/zero", "blank"}) {
    write_text(folder / "blank", std::string(1 << 20, '\n'));
    run({"convert", "--model", bundled, "--output", path("m"), "--labels",
         endless[0] == '/' ? endless : path(endless)});
    expect_error(1, {"at most 1000000 in 67108864 bytes, found more"});
  }
}

TEST_F(CliConvert, WrongUsageAndPlaces) {
  run({"convert", "--output", path("m")});
  expect_error(2, {"--model"});
  run({"convert", "--model", bundled});
  expect_error(2, {"--output"});
  run({"convert", "--model", bundled, "--output", path("m"), "--interpolation", "nearest"});
  expect_error(2, {"--interpolation", "nearest"});
  run({"convert", "--model", bundled, "--output", path("m"), "--isa", "avx2"});
  expect_error(2, {"--isa"});
  run({"convert", "--model", "/no/such.safetensors", "--output", path("m")});
  expect_error(1, {"/no/such.safetensors"});
  run({"convert", "--model", bundled, "--output", bundled});
  expect_error(2, {bundled, "expected another file"});
  run({"convert", "--model", bundled, "--output", folder.string()});
  expect_error(1, {folder.string(), "cannot be written"});
  run({"convert", "--model", bundled, "--output", "/no/such/folder/m"});
  expect_error(1, {"/no/such/folder/m", "cannot be written"});
  run({"convert", "--model", bundled, "--output", "/dev/full"});
  expect_error(2, {"/dev/full", "regular file"});
  EXPECT_FALSE(fs::exists(folder / "m"));
}

// A folder is taken wherever a model is.
TEST_F(CliConvert, FoldersOfHuggingFace) {
  fs::create_directory(folder / "hub");
  fs::copy_file(bundled, folder / "hub/model.safetensors");
  write_text(folder / "hub/config.json",
             R"({"architecture": "convmixer_256_8", "num_classes": 10, "label_names":
                 ["0", "1", "2", "gato", "4", "5", "6", "7", "8", "9"]})");
  const std::string image = kShare + "/images/cat_0000.jpg";
  run({"classify", "--model", path("hub"), image});
  EXPECT_EQ(code, 0) << err;
  EXPECT_NE(out.find("cat_0000.jpg: gato 62.7 %"), std::string::npos) << out;
  run({"classify", image}, {"CONVMIXER_MODEL=" + path("hub")});
  EXPECT_NE(out.find("gato 62.7 %"), std::string::npos) << out;
  run({"describe", "--model", path("hub")});
  EXPECT_EQ(code, 0) << err;
  run({"convert", "--model", path("hub"), "--output", path("m")});
  EXPECT_EQ(code, 0) << err;
  run({"classify", "--model", path("m"), image});
  EXPECT_NE(out.find("gato 62.7 %"), std::string::npos) << out;
  write_text(folder / "hub/config.json", R"({"crop_pct": 5})");
  run({"classify", "--model", path("hub"), image});
  expect_error(1, {"hub/config.json", "crop_pct"});
}

}  // namespace
}  // namespace convmixer::test
