// SPDX-License-Identifier: Apache-2.0
// The weights that convmixer calibrate writes: those of pointwise layers as it rounded them, beside
// the model's own or, by --weights int8, in their place.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "calibrate_command.h"

namespace convmixer::test {
namespace {

constexpr const char* kDepthwise = "blocks.3.0.fn.0.weight";
constexpr const char* kPointwise = "blocks.7.1.weight";
constexpr const char* kDepthwiseScale = "quant.blocks.3.depthwise.weight_scale";
constexpr const char* kPointwiseScale = "quant.blocks.7.pointwise.weight_scale";

class ByteWeightsFile : public Calibrate {
 protected:
  // Classes and probabilities of images of data/cifar, as classify prints them.
  std::string results(const std::string& model) {
    run(int8({"classify", "--json", "--model", model, kCifar + "/ship", kCifar + "/cat"}));
    EXPECT_EQ(code, 0) << err;
    return out;
  }

  std::string with_bytes(std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.end(), {"--weights", "int8", "--images", kCifar + "/dog"});
    const std::string model = calibrated(arguments);
    fs::rename(model, path("bytes"));
    return path("bytes");
  }
};

TEST_F(ByteWeightsFile, GivesTheSameResultsInLessSpace) {
  fs::rename(calibrated({"--images", kCifar + "/dog"}), path("kept"));
  const std::string kept = path("kept");
  const std::string want = results(kept);
  const std::uintmax_t kept_size = fs::file_size(kept);
  const std::string model = with_bytes();
  EXPECT_EQ(results(model), want);
  // 575,488 of 603,402 parameters are bytes; the other tensors and the header stay. The larger file
  // has 524,288 of these bytes as well.
  EXPECT_LT(fs::file_size(model), kept_size * 0.27);
  CheckpointFile file = parse_file(read_text(model));
  EXPECT_EQ(file.tensors.at(kDepthwise).dtype, "I8");
  EXPECT_EQ(file.tensors.at(kPointwise).dtype, "I8");
  EXPECT_EQ(file.tensors.at("stem.0.weight").dtype, "F32");
  EXPECT_EQ(file.tensors.at("head.weight").dtype, "F32");
  // What the parameters are and how many does not depend on how they are stored.
  run(int8({"describe", "--model", kept}));
  const std::string described = out;
  run(int8({"describe", "--model", model}));
  EXPECT_EQ(code, 0) << err;
  EXPECT_EQ(out.substr(out.find('\n')), described.substr(described.find('\n')));
}

// Without them int8 rounds each weight for itself, and is further from fp32.
TEST_F(ByteWeightsFile, RoundedWeightsBringResultsNearer) {
  // Nothing is cut, which a few pixels would weigh more by.
  const std::string model = calibrated({"--images", kCifar, "--clip", "minmax"});
  const auto change = [&](const std::string& path) {
    run(int8({"compare", "--json", "--model", path, "--images", kCifar}));
    EXPECT_EQ(code, 0) << err;
    return nlohmann::json::parse(out)["root_mean_square"].get<double>();
  };
  CheckpointFile file = parse_file(read_text(model));
  for (int i = 0; i < 8; ++i) {
    const std::string layer = "quant.blocks." + std::to_string(i) + ".pointwise.";
    EXPECT_EQ(file.tensors.at(layer + "weight").dtype, "I8");
    file.tensors.erase(layer + "weight");
    file.tensors.erase(layer + "weight_scale");
  }
  write_text(folder / "without", file.bytes());
  const double with = change(model), without = change(path("without"));
  EXPECT_LT(with, 0.9 * without);
  EXPECT_GT(with, 0.4 * without);
}

TEST_F(ByteWeightsFile, SpoiledRoundedWeightsAreRefusedByName) {
  const std::string bytes = read_text(calibrated({"--images", kCifar + "/dog/0000.jpg"}));
  const std::string weight = "quant.blocks.7.pointwise.weight";
  const auto refused = [&](auto edit, const std::vector<std::string>& words) {
    expect_refused(bytes, edit, words);
  };
  refused([&](CheckpointFile& file) { file.tensors.erase(weight); }, {weight, "found none"});
  refused([&](CheckpointFile& file) { file.tensors.erase(kPointwiseScale); },
          {kPointwiseScale, "found none"});
  refused(
      [&](CheckpointFile& file) {
        file.tensors.at(weight).shape = {256, 256};
      },
      {weight, "[256, 256, 1, 1]", "[256, 256]"});
  refused([&](CheckpointFile& file) { file.tensors.at(weight).dtype = "U8"; }, {weight, "U8"});
  refused([&](CheckpointFile& file) { file.tensors.at(weight).bytes[99] = '\x80'; },
          {weight, "-128"});
  for (const float value : {0.0f, -1.0f, HUGE_VALF, std::nanf("")}) {
    refused(set_value(kPointwiseScale, value), {kPointwiseScale, "channel 7", "positive"});
  }
  // Of a model that was trained further since.
  refused(
      [&](CheckpointFile& file) {
        std::string& floats = file.tensors.at(kPointwise).bytes;
        for (std::size_t at = 0; at < floats.size(); at += sizeof(float)) {
          float value = 0;
          std::memcpy(&value, &floats[at], sizeof value);
          value *= 1.001f;
          std::memcpy(&floats[at], &value, sizeof value);
        }
      },
      {"blocks.7.pointwise", "made from other weights", "calibrate it again"});
  for (const char* layer : {"stem", "blocks.8.pointwise", "blocks.3.depthwise"}) {
    refused(
        [&](CheckpointFile& file) {
          file.tensors["quant." + std::string(layer) + ".weight"] = file.tensors.at(weight);
        },
        {"quant." + std::string(layer) + ".weight"});
  }
}

TEST_F(ByteWeightsFile, IsConvertedAsItIs) {
  const std::string model = with_bytes();
  run({"convert", "--model", model, "--output", path("converted")});
  ASSERT_EQ(code, 0) << err;
  EXPECT_EQ(read_text(path("converted")), read_text(model));
  // Nothing else could open what has scales for another size.
  run({"convert", "--model", model, "--image-size", "64", "--output", path("larger")});
  expect_error(2, {model, "32x32 pixels", "the model that its weights were made from"});
  EXPECT_FALSE(fs::exists(path("larger")));
}

TEST_F(ByteWeightsFile, AnOddModelToo) {
  const std::string tiny = kData + "/tiny/odd_20";
  const auto run_of = [&](const std::string& weights) {
    calibrated({"--model", tiny + "/timm.safetensors", "--image-size", "31", "--input",
                tiny + "/input.npy", "--weights", weights});
    run(int8({"run", "--model", path("m8"), "--input", tiny + "/input.npy", "--output",
              path("logits.npy")}));
    EXPECT_EQ(code, 0) << err;
    return read_text(path("logits.npy"));
  };
  EXPECT_EQ(run_of("int8"), run_of("keep"));
}

TEST_F(ByteWeightsFile, IsForInt8Only) {
  const std::string model = with_bytes(), ship = kShare + "/images/ship_0000.jpg";
  for (const char* precision : {"fp32", "bf16", "auto"}) {
    run({"classify", "--model", model, "--precision", precision, ship});
    expect_error(2, {model, "weights are int8", "expected precision int8"});
  }
  run({"classify", "--model", model, ship});
  expect_error(2, {model, "expected precision int8"});
  run({"calibrate", "--model", model, "--images", ship, "--output", path("again")});
  expect_error(2, {model, "weights are int8", "the model that they were made from"});
  EXPECT_FALSE(fs::exists(path("again")));
  run({"calibrate", "--images", ship, "--weights", "int4", "--output", path("again")});
  expect_error(2, {"--weights"});
}

TEST_F(ByteWeightsFile, SpoiledOnesAreRefusedByName) {
  const std::string bytes = read_text(with_bytes());
  const auto refused = [&](auto edit, const std::vector<std::string>& words) {
    expect_refused(bytes, edit, words);
  };
  refused([&](CheckpointFile& file) { file.tensors.erase(kDepthwiseScale); },
          {kDepthwiseScale, "found none"});
  refused(
      [&](CheckpointFile& file) { file.add(kPointwiseScale, {255}, std::vector<float>(255, 1)); },
      {kPointwiseScale, "[256]", "[255]"});
  for (const float value : {0.0f, -1.0f, HUGE_VALF, std::nanf("")}) {
    refused(set_value(kPointwiseScale, value), {kPointwiseScale, "positive", "index 7"});
  }
  refused([&](CheckpointFile& file) { file.tensors.at(kPointwise).bytes[99] = '\x80'; },
          {kPointwise, "-128"});
  refused([&](CheckpointFile& file) { file.tensors.at(kDepthwise).dtype = "U8"; },
          {kDepthwise, "U8"});
  // Only where int8 computes may weights be bytes.
  refused(
      [&](CheckpointFile& file) {
        FileTensor& head = file.tensors.at("head.weight");
        head.dtype = "I8";
        head.bytes.resize(head.bytes.size() / sizeof(float));
      },
      {"head.weight", "F32", "I8"});
  // The bias holds the shift of the BatchNorm before already.
  for (const char* name : {"blocks.7.0.fn.2.bias", "blocks.7.0.fn.2.running_mean"}) {
    refused(set_value(name, 0.5f), {path("edited"), "blocks.7.pointwise", "no shift"});
  }
  // Bytes in two places.
  refused(
      [&](CheckpointFile& file) {
        file.tensors["quant.blocks.7.pointwise.weight"] = file.tensors.at(kPointwise);
      },
      {"once", "quant.blocks.0.pointwise.weight", "beside 'blocks.0.1.weight'"});
  // Scales of weights that are floats, or that are not there.
  for (const char* layer : {"stem", "blocks.8.depthwise"}) {
    refused(
        [&](CheckpointFile& file) {
          file.tensors["quant." + std::string(layer) + ".weight_scale"] =
              file.tensors.at(kDepthwiseScale);
        },
        {"quant." + std::string(layer) + ".weight_scale"});
  }
  refused([&](CheckpointFile& file) { file.tensors.erase("quant.blocks.3.depthwise.scale"); },
          {"quant.blocks.3.depthwise.scale"});
}

}  // namespace
}  // namespace convmixer::test
