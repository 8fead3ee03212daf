// SPDX-License-Identifier: Apache-2.0
// Folders with config.json: what is understood, what wins, what is refused.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "checkpoint_file.h"
#include "models/convmixer.h"
#include "temporary_folder.h"

namespace convmixer {
namespace {

namespace fs = std::filesystem;
using Doubles = std::array<double, 3>;

class HuggingFace : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder.path / name, std::ios::binary) << bytes;
  }
  // A model of 4 classes, 8 channels, patches of 2, kernel 3.
  void write_model(const std::string& name, const std::string& metadata = "") const {
    CheckpointFile file = random_convmixer(8, 2, 3, 2, 4);
    if (!metadata.empty()) file.metadata["convmixer"] = metadata;
    write(name, file.bytes());
  }
  ModelConfig open(const ConfigOverrides& overrides = {}) const {
    const Checkpoint checkpoint = open_checkpoint(folder.path.string());
    const ModelConfig config = read_config(checkpoint, overrides);
    build_graph(checkpoint, config);
    return config;
  }
  ModelConfig open_with(const std::string& json) const {
    write_model("model.safetensors");
    write("config.json", json);
    return open();
  }

  const test::TemporaryFolder folder;
};

TEST_F(HuggingFace, PretrainedCfgIsUsed) {
  const ModelConfig config = open_with(R"({"architecture": "convmixer_1024_20_ks9_p14.in1k",
      "num_classes": 4, "num_features": 1024, "global_pool": "avg", "model_args": {"pad": 1},
      "pretrained_cfg": {"tag": "in1k", "custom_load": false, "input_size": [3, 64, 48],
      "fixed_input_size": false, "interpolation": "bilinear", "crop_pct": 0.875, "pool_size": null,
      "crop_mode": "center", "mean": [0.5, 0.25, 0], "std": [1, 2, 3], "num_classes": 1000}})");
  EXPECT_EQ(config.dim, 8);  // shapes win
  EXPECT_EQ(config.num_classes, 4);
  EXPECT_EQ(config.image_height, 64);
  EXPECT_EQ(config.image_width, 48);
  EXPECT_EQ(config.interpolation, "bilinear");
  EXPECT_EQ(config.crop_pct, 0.875);
  EXPECT_EQ(config.mean, (Doubles{0.5, 0.25, 0}));
  EXPECT_EQ(config.std, (Doubles{1, 2, 3}));
  EXPECT_EQ(config.activation, Activation::kGelu);
  EXPECT_TRUE(config.labels.empty());
}

TEST_F(HuggingFace, OlderFlatFilesAreUsed) {
  const ModelConfig config = open_with(R"({"architecture": "convmixer_768_32", "num_classes": 4,
      "input_size": [3, 32, 32], "crop_pct": 1, "interpolation": "bilinear", "mean": [0, 0, 0],
      "std": [1, 1, 1], "first_conv": "stem.0", "labels": ["a", "b", "c", "d"]})");
  EXPECT_EQ(config.image_height, 32);
  EXPECT_EQ(config.crop_pct, 1);
  EXPECT_EQ(config.interpolation, "bilinear");
  EXPECT_EQ(config.mean, (Doubles{0, 0, 0}));
  EXPECT_EQ(config.std, (Doubles{1, 1, 1}));
  EXPECT_EQ(config.activation, Activation::kRelu);
  EXPECT_EQ(config.labels, (std::vector<std::string>{"a", "b", "c", "d"}));
}

TEST_F(HuggingFace, TheArchitecturesActivationIsUsed) {
  const std::pair<const char*, Activation> cases[] = {
      {R"({"architecture": "convmixer_768_32"})", Activation::kRelu},
      {R"({"architecture": "convmixer_768_32.in1k"})", Activation::kRelu},
      {R"({"architecture": "convmixer_256_8"})", Activation::kGelu},
      {R"({"architecture": "convmixer_1536_20"})", Activation::kGelu},
      {R"({"architecture": "convmixer_of_my_own"})", Activation::kRelu},  // the metadata's
      {R"({"architecture": null})", Activation::kRelu},
      {"{}", Activation::kRelu},
      {R"({"architecture": "convmixer_768_32", "model_args": {"act_layer": "gelu"}})",
       Activation::kGelu}};
  for (const auto& [json, want] : cases) {
    write_model("model.safetensors", R"({"activation": "relu"})");
    write("config.json", json);
    EXPECT_EQ(open().activation, want) << json;
  }
  write_model("model.safetensors", R"({"activation": "gelu"})");
  write("config.json", R"({"architecture": "convmixer_768_32"})");
  EXPECT_EQ(open().activation, Activation::kRelu);
}

TEST_F(HuggingFace, CallerThenConfigThenMetadataThenDefaultsWin) {
  write_model("model.safetensors", R"({"crop_pct": 0.5, "input_size": [3, 16, 16],
      "mean": [1, 1, 1], "interpolation": "bilinear", "labels": ["a", "b", "c", "d"]})");
  write("config.json", R"({"pretrained_cfg": {"crop_pct": 0.75, "input_size": [3, 32, 32]},
                           "mean": [2, 2, 2], "crop_pct": 0.625})");
  ModelConfig config = open({.crop_pct = 1.0});
  EXPECT_EQ(config.crop_pct, 1.0);
  EXPECT_EQ(config.image_height, 32);
  EXPECT_EQ(config.mean, (Doubles{2, 2, 2}));
  EXPECT_EQ(config.interpolation, "bilinear");
  EXPECT_EQ(config.labels[3], "d");  // those of the metadata are not lost
  EXPECT_EQ(config.std, (Doubles{0.229, 0.224, 0.225}));
  EXPECT_EQ(open().crop_pct, 0.75);
  const std::vector<std::string> stated{"w", "x", "y", "z"};
  config = open({.interpolation = "bicubic", .labels = stated});
  EXPECT_EQ(config.interpolation, "bicubic");
  EXPECT_EQ(config.labels, stated);
}

TEST_F(HuggingFace, LabelsInEveryForm) {
  const std::vector<std::string> want{"ant", "bee", "c", "d"};
  for (const char* json :
       {R"({"label_names": ["ant", "bee", "c", "d"], "label_descriptions": {"ant": "an insect"}})",
        R"({"labels": ["ant", "bee", "c", "d"]})",
        R"({"id2label": {"3": "d", "0": "ant", "2": "c", "1": "bee"}, "label2id": {"ant": 0}})",
        R"({"pretrained_cfg": {"label_names": ["ant", "bee", "c", "d"]}})",
        R"({"label_names": ["ant", "bee", "c", "d"], "labels": ["1", "2", "3", "4"],
            "id2label": {"0": "x", "1": "x", "2": "x", "3": "x"},
            "pretrained_cfg": {"label_names": ["5", "6", "7", "8"]}})"}) {
    EXPECT_EQ(open_with(json).labels, want) << json;
  }
  EXPECT_TRUE(open_with(R"({"label_names": null, "id2label": {}})").labels.empty());
}

TEST_F(HuggingFace, WeightsByEitherName) {
  write("config.json", "{}");
  write_model("pytorch_model.bin", R"({"crop_pct": 0.25})");  // the content decides
  EXPECT_EQ(open().crop_pct, 0.25);
  write_model("model.safetensors", R"({"crop_pct": 0.5})");
  EXPECT_EQ(open().crop_pct, 0.5);
  EXPECT_EQ(read_config(open_checkpoint(folder.path.string() + "/"), {}).crop_pct, 0.5);
}

TEST_F(HuggingFace, MissingFilesAreNamed) {
  const std::string name = folder.path.string();
  expect_error(Code::kIo, {name, "is a folder", "config.json"}, [&] { open(); });
  write("config.json", "{}");
  expect_error(Code::kIo, {name, "model.safetensors", "pytorch_model.bin", "found neither"},
               [&] { open(); });
  // A link to nothing and a folder are no weights; a folder that leads to itself is not followed.
  fs::create_symlink("nowhere", folder.path / "pytorch_model.bin");
  fs::create_directory_symlink(".", folder.path / "model.safetensors");
  expect_error(Code::kIo, {name, "found neither"}, [&] { open(); });
  fs::remove(folder.path / "model.safetensors");
  write("model.safetensors", "");
  expect_error(Code::kFormat, {name + "/model.safetensors: "}, [&] { open(); });
  write_model("model.safetensors");
  fs::remove(folder.path / "config.json");
  fs::create_directory(folder.path / "config.json");
  expect_error(Code::kIo, {name, "config.json"}, [&] { open(); });
}

struct BadConfig {
  const char* json;
  const char* part;
  Code code = Code::kFormat;
};

TEST_F(HuggingFace, BadConfigsAreRefusedByName) {
  const BadConfig cases[] = {
      {"", "valid JSON, found an error at byte 1"},
      {"{\"a\": 1", "valid JSON"},
      {"{\"a\": \"\xff\"}", "valid JSON"},
      {"[1]", "expected a JSON object, found an array of 1"},
      {R"({"architecture": 3})", "expected text as architecture, found '3'"},
      {R"({"architecture": "resnet50"})", "a convmixer as architecture, found 'resnet50'",
       Code::kUnsupported},
      {R"({"pretrained_cfg": {"architecture": "vit"}})", "found 'vit'", Code::kUnsupported},
      {R"({"pretrained_cfg": [1, 2]})", "expected an object as pretrained_cfg"},
      {R"({"model_args": 5})", "expected an object as model_args"},
      {R"({"model_args": {"act_layer": "silu"}})", "found 'silu'", Code::kUnsupported},
      {R"({"global_pool": "max"})", "expected avg as global_pool, found 'max'", Code::kUnsupported},
      {R"({"pretrained_cfg": {"crop_mode": "squash"}})", "expected center as crop_mode",
       Code::kUnsupported},
      {R"({"num_classes": "four"})", "expected an integer as num_classes"},
      {R"({"crop_pct": "0.9"})", "expected a number as crop_pct"},
      {R"({"crop_pct": 3})", "at most 1 as crop_pct, found 3"},
      {R"({"pretrained_cfg": {"input_size": [224, 224]}})", "[3, height, width] as input_size"},
      {R"({"pretrained_cfg": {"input_size": [3, 0, 224]}})", "image height"},
      {R"({"mean": [0, 0]})", "three numbers as mean"},
      {R"({"std": [1, 1, 0]})", "1e-6 to 1e6 as std"},
      {R"({"interpolation": "random"})", "found 'random'", Code::kUnsupported},
      {R"({"label_names": ["a", "b"]})", "expected 4 labels, one a class, found 2"},
      {R"({"label_names": "a"})", "a list of texts as label_names"},
      {R"({"labels": ["a", 2, "c", "d"]})", "expected text as labels, found '2'"},
      {R"({"id2label": ["a"]})", "expected an object as id2label"},
      {R"({"id2label": {"0": "a", "2": "b"}})", "numbers from 0 to 1 as keys of id2label"},
      {R"({"id2label": {"0": "a", "01": "b"}})", "found '01'"},
      {R"({"id2label": {"0": "a", "x": "b"}})", "found 'x'"},
      {R"({"id2label": {"0": 7}})", "expected text as 0"}};
  for (const BadConfig& bad : cases) {
    expect_error(bad.code, {folder.path.string() + "/config.json: ", bad.part},
                 [&] { open_with(bad.json); });
  }
  std::string deep(100, '[');
  expect_error(Code::kFormat, {"config.json: ", "nested too deeply"},
               [&] { open_with("{\"a\": " + deep + "}"); });
}

}  // namespace
}  // namespace convmixer
