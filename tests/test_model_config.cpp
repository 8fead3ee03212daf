// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "checkpoint_file.h"
#include "models/convmixer.h"

namespace convmixer {
namespace {

using Doubles = std::array<double, 3>;

// Shapes without data: enough for read_config.
Checkpoint shapes_only(int dim, int depth, int kernel_size, int patch_size, int classes) {
  Checkpoint checkpoint;
  checkpoint.name = "<memory>";
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
    checkpoint.tensors[name].shape = std::move(shape);
  };
  add("stem.0.weight", {dim, 3, patch_size, patch_size});
  for (int i = 0; i < depth; ++i) {
    add("blocks." + std::to_string(i) + ".0.fn.0.weight", {dim, 1, kernel_size, kernel_size});
  }
  add("head.weight", {classes, dim});
  return checkpoint;
}

Checkpoint with_metadata(const std::string& json) {
  Checkpoint checkpoint = shapes_only(8, 2, 3, 2, 4);
  checkpoint.metadata["convmixer"] = json;
  return checkpoint;
}

ModelConfig config_of(const std::string& json) { return read_config(with_metadata(json), {}); }

void expect_sizes(const ModelConfig& config, const nlohmann::json& want) {
  EXPECT_EQ(config.dim, want.at("dim"));
  EXPECT_EQ(config.depth, want.at("depth"));
  EXPECT_EQ(config.kernel_size, want.at("kernel_size"));
  EXPECT_EQ(config.patch_size, want.at("patch_size"));
  EXPECT_EQ(config.num_classes, want.at("num_classes"));
  EXPECT_EQ(activation_name(config.activation), want.at("activation"));
}

TEST(ModelConfig, TinyModels) {
  for (const char* name : {"gelu_32", "odd_20", "relu_48"}) {
    SCOPED_TRACE(name);
    const std::string folder = std::string(CONVMIXER_TEST_DATA) + "/tiny/" + name;
    const nlohmann::json want = nlohmann::json::parse(std::ifstream(folder + "/config.json"));
    const Checkpoint checkpoint = open_checkpoint(folder + "/timm.safetensors");
    ConfigOverrides overrides;  // there is no metadata
    if (want.at("activation") == "relu") overrides.activation = Activation::kRelu;
    overrides.image_height = overrides.image_width = want.at("image_size").get<int>();
    const ModelConfig config = read_config(checkpoint, overrides);
    expect_sizes(config, want);
    EXPECT_EQ(config.image_height, want.at("image_size"));
    EXPECT_EQ(config.image_width, want.at("image_size"));
    const Graph graph = build_graph(checkpoint, config);
    EXPECT_EQ(graph.nodes.size(), 3u + static_cast<std::size_t>(config.depth) + 2);
  }
}

TEST(ModelConfig, BundledModel) {
  const Checkpoint checkpoint =
      open_checkpoint(std::string(CONVMIXER_SHARE_DIR) + "/cifar10_256_8.safetensors");
  const ModelConfig config = read_config(checkpoint, {});
  expect_sizes(config, nlohmann::json::parse(checkpoint.metadata.at("convmixer")));
  EXPECT_EQ(config.image_height, 32);
  EXPECT_EQ(config.image_width, 32);
  EXPECT_EQ(config.mean, (Doubles{0.4914, 0.4822, 0.4465}));
  EXPECT_EQ(config.std, (Doubles{0.2471, 0.2435, 0.2616}));
  EXPECT_EQ(config.crop_pct, 1.0);
  EXPECT_EQ(config.bn_eps, 1e-5);
  EXPECT_EQ(config.interpolation, "bicubic");
  ASSERT_EQ(config.labels.size(), 10u);
  EXPECT_EQ(config.labels[0], "airplane");
  EXPECT_EQ(config.labels[9], "truck");
  EXPECT_EQ(build_graph(checkpoint, config).nodes.size(), 13u);
}

TEST(ModelConfig, DefaultsWithoutMetadata) {
  const ModelConfig config = read_config(shapes_only(1536, 20, 9, 7, 1000), {});
  EXPECT_EQ(config.activation, Activation::kGelu);
  EXPECT_EQ(config.image_height, 224);
  EXPECT_EQ(config.image_width, 224);
  EXPECT_EQ(config.mean, (Doubles{0.485, 0.456, 0.406}));
  EXPECT_EQ(config.std, (Doubles{0.229, 0.224, 0.225}));
  EXPECT_EQ(config.crop_pct, 0.96);
  EXPECT_EQ(config.interpolation, "bicubic");
  EXPECT_FALSE(config.stated_labels);
  ASSERT_EQ(config.labels.size(), 1000u);
  EXPECT_EQ(config.labels[0], "tench");

  EXPECT_EQ(read_config(shapes_only(768, 32, 7, 7, 10), {}).activation, Activation::kRelu);
  EXPECT_TRUE(read_config(shapes_only(768, 32, 7, 7, 10), {}).labels.empty());
  for (const Checkpoint& other : {shapes_only(767, 32, 7, 7, 10), shapes_only(768, 31, 7, 7, 10),
                                  shapes_only(768, 32, 8, 7, 10), shapes_only(768, 32, 7, 8, 10)}) {
    EXPECT_EQ(read_config(other, {}).activation, Activation::kGelu);
  }
}

TEST(ModelConfig, MetadataWinsOverDefaults) {
  const ModelConfig config = config_of(R"({"architecture": "convmixer", "dim": 8, "depth": 2,
      "kernel_size": 3, "patch_size": 2, "num_classes": 4, "activation": "relu",
      "input_size": [3, 2, 50], "mean": [0, -1.5, 2], "std": [1, 2, 0.5], "crop_pct": 0.5,
      "bn_eps": 0.001, "interpolation": "bilinear", "labels": ["a", "b", "ü", ""],
      "unknown": {"is": ["ignored", null]}})");
  EXPECT_EQ(config.activation, Activation::kRelu);
  EXPECT_EQ(config.image_height, 2);
  EXPECT_EQ(config.image_width, 50);
  EXPECT_EQ(config.mean, (Doubles{0, -1.5, 2}));
  EXPECT_EQ(config.std, (Doubles{1, 2, 0.5}));
  EXPECT_EQ(config.crop_pct, 0.5);
  EXPECT_EQ(config.bn_eps, 0.001);
  EXPECT_EQ(config.interpolation, "bilinear");
  EXPECT_EQ(config.labels, (std::vector<std::string>{"a", "b", "ü", ""}));
  EXPECT_TRUE(config_of(R"({"labels": []})").labels.empty());
  EXPECT_EQ(config_of("{}").image_width, 224);
}

TEST(ModelConfig, OverridesWinOverMetadata) {
  ConfigOverrides overrides;
  overrides.activation = Activation::kRelu;
  overrides.image_height = 64;
  overrides.image_width = 32;
  overrides.mean = {0.5, 0.25, 0};
  overrides.std = {1, 2, 3};
  overrides.crop_pct = 1.0;
  overrides.bn_eps = 0.25;
  const ModelConfig config = read_config(
      with_metadata(R"({"activation": "gelu", "input_size": [3, 1, 1], "mean": [1, 1, 1],
                        "std": [1, 1, 1], "crop_pct": 0.5, "bn_eps": 1})"),
      overrides);
  EXPECT_EQ(config.activation, Activation::kRelu);
  EXPECT_EQ(config.image_height, 64);
  EXPECT_EQ(config.image_width, 32);
  EXPECT_EQ(config.mean, *overrides.mean);
  EXPECT_EQ(config.std, *overrides.std);
  EXPECT_EQ(config.crop_pct, 1.0);
  EXPECT_EQ(config.bn_eps, 0.25);
}

TEST(ModelConfig, BadOverridesAreInvalidArguments) {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  const auto refused = [](const ConfigOverrides& overrides, const std::string& part) {
    expect_error(Code::kInvalidArgument, {"<memory>: ", part},
                 [&] { read_config(shapes_only(8, 2, 3, 16, 4), overrides); });
  };
  for (Activation bad : {Activation::kIdentity, static_cast<Activation>(9)}) {
    refused({.activation = bad}, "expected gelu or relu as activation");
  }
  for (int bad : {-1, 0, 16385}) {
    refused({.image_height = bad}, "as image height, found " + std::to_string(bad));
    refused({.image_width = bad}, "as image width, found " + std::to_string(bad));
  }
  refused({.image_height = 15}, "at least one patch, 16 pixels high and wide, found 15 × 224");
  refused({.image_width = 15}, "found 224 × 15");
  for (double bad : {nan, inf, -inf}) refused({.mean = Doubles{0, bad, 0}}, "as mean");
  for (double bad : {nan, inf, 0.0, -1.0}) refused({.std = Doubles{1, 1, bad}}, "as std");
  for (double bad : {nan, inf, 0.0, -1.0, 1.001}) refused({.crop_pct = bad}, "as crop_pct");
  for (double bad : {nan, inf, 0.0, -1.0}) refused({.bn_eps = bad}, "as bn_eps");
}

struct BadMetadata {
  const char* json;
  const char* part;
  Code code = Code::kFormat;
};

class BadMetadataTest : public testing::TestWithParam<BadMetadata> {};

TEST_P(BadMetadataTest, IsRefused) {
  expect_error(GetParam().code, {"<memory>: model metadata: ", GetParam().part},
               [] { config_of(GetParam().json); });
}

const BadMetadata kBadMetadata[] = {
    {"", "valid JSON, found an error at byte 1"},
    {"{", "valid JSON"},
    {"{} {}", "valid JSON"},
    {"{\"a\": \"\xff\"}", "valid JSON"},
    {R"({"bn_eps": 1e999})", "valid JSON"},
    {"[]", "expected a JSON object, found an array of 0"},
    {"\"text\"", "expected a JSON object, found '\"text\"'"},
    {"null", "expected a JSON object, found 'null'"},
    {R"({"architecture": 1})", "expected text as architecture, found '1'"},
    {R"({"architecture": "resnet50"})", "found 'resnet50'", Code::kUnsupported},
    {R"({"dim": "8"})", "expected an integer as dim, found '\"8\"'"},
    {R"({"dim": 8.0})", "expected an integer as dim, found '8.0'"},
    {R"({"dim": null})", "expected an integer as dim, found 'null'"},
    {R"({"dim": 18446744073709551615})", "expected an integer as dim"},
    {R"({"dim": 9})", "expected 8 as dim, as the tensors' shapes say, found 9"},
    {R"({"dim": -8})", "expected 8 as dim, as the tensors' shapes say, found -8"},
    {R"({"dim": 4294967304})", "found 4294967304"},
    {R"({"depth": 3})", "expected 2 as depth"},
    {R"({"kernel_size": 5})", "expected 3 as kernel_size"},
    {R"({"kernel_size": [3, 3]})", "expected an integer as kernel_size, found an array of 2"},
    {R"({"patch_size": 3})", "expected 2 as patch_size"},
    {R"({"num_classes": 1000})", "expected 4 as num_classes"},
    {R"({"activation": true})", "expected text as activation, found 'true'"},
    {R"({"activation": "silu"})", "expected gelu or relu as activation", Code::kUnsupported},
    {R"({"activation": "identity"})", "expected gelu or relu", Code::kUnsupported},
    {R"({"interpolation": 3})", "expected text as interpolation"},
    {R"({"interpolation": "nearest"})", "expected bicubic or bilinear", Code::kUnsupported},
    {R"({"input_size": 224})", "expected [3, height, width] as input_size, found '224'"},
    {R"({"input_size": [224, 224]})", "expected [3, height, width] as input_size"},
    {R"({"input_size": [1, 224, 224]})", "expected [3, height, width] as input_size"},
    {R"({"input_size": [3, 224.5, 224]})", "expected an integer as input_size, found '224.5'"},
    {R"({"input_size": [3, 0, 224]})", "as image height, found 0"},
    {R"({"input_size": [3, 224, -5]})", "as image width, found -5"},
    {R"({"input_size": [3, 16385, 224]})", "from 1 to 16384 as image height, found 16385"},
    {R"({"input_size": [3, 4294967300, 224]})", "from 1 to 16384 as image height"},
    {R"({"mean": 0.5})", "expected a list of three numbers as mean, found '0.5'"},
    {R"({"mean": [0, 0]})", "expected a list of three numbers as mean, found an array of 2"},
    {R"({"mean": [0, 0, "0"]})", "expected a number as mean"},
    {R"({"std": [1, 1, 1, 1]})", "expected a list of three numbers as std"},
    {R"({"std": [1, 0, 1]})", "expected numbers from 1e-6 to 1e6 as std, found 0"},
    {R"({"std": [1, 1, -0.5]})", "expected numbers from 1e-6 to 1e6 as std, found -0.5"},
    {R"({"labels": ["a", "b\u0000c", "d", "e"]})", "no zero byte as each label, found 'b'"},
    {R"({"std": [1, 1e-38, 1]})", "as std, found 1e-38"},
    {R"({"mean": [0, -1e39, 0]})", "expected numbers from -1e6 to 1e6 as mean, found -1e+39"},
    {R"({"crop_pct": "1"})", "expected a number as crop_pct"},
    {R"({"crop_pct": 0})", "at most 1 as crop_pct, found 0"},
    {R"({"crop_pct": 1.5})", "at most 1 as crop_pct, found 1.5"},
    {R"({"bn_eps": 0})", "above 0 as bn_eps, found 0"},
    {R"({"bn_eps": []})", "expected a number as bn_eps, found an array of 0"},
    {R"({"labels": "cat"})", "expected a list of texts as labels"},
    {R"({"labels": {"0": "cat"}})", "expected a list of texts as labels, found an object of 1"},
    {R"({"labels": ["a", "b", "c", 4]})", "expected text as labels, found '4'"},
    {R"({"labels": ["a", "b", "c"]})", "expected 4 labels, one a class, found 3"},
};

INSTANTIATE_TEST_SUITE_P(ModelConfig, BadMetadataTest, testing::ValuesIn(kBadMetadata));

TEST(ModelConfig, DeepOrHugeMetadataIsRefused) {
  expect_error(Code::kFormat, {"nested too deeply"},
               [] { config_of("{\"a\":" + std::string(1'000'000, '[')); });
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  expect_error(Code::kFormat, {"nested too deeply"}, [&] { config_of(objects); });
  expect_error(Code::kLimit, {"at most 64000000 bytes"},
               [] { config_of(std::string(64'000'001, ' ')); });
}

TEST(ModelConfig, AnImageSmallerThanAPatchIsRefused) {
  Checkpoint checkpoint = shapes_only(8, 1, 3, 300, 4);
  expect_error(Code::kFormat, {"at least one patch, 300 pixels high and wide, found 224 × 224"},
               [&] { read_config(checkpoint, {}); });
  EXPECT_EQ(read_config(checkpoint, {.image_height = 300, .image_width = 300}).image_height, 300);
  checkpoint.metadata["convmixer"] = R"({"input_size": [3, 600, 299]})";
  expect_error(Code::kFormat, {"found 600 × 299"}, [&] { read_config(checkpoint, {}); });
}

TEST(ModelConfig, LargerThanTheLimitsIsRefused) {
  const auto refused = [](const Checkpoint& checkpoint, const std::string& part) {
    expect_error(Code::kLimit, {part}, [&] { read_config(checkpoint, {}); });
  };
  refused(shapes_only(kMaxDim + 1, 1, 3, 2, 4), "a dimension of at most 65536");
  refused(shapes_only(8, kMaxDepth + 1, 3, 2, 4), "a depth of at most 4096");
  refused(shapes_only(8, 1, kMaxKernelSize + 1, 2, 4), "a kernel size of at most 255");
  refused(shapes_only(8, 1, 3, kMaxPatchSize + 1, 4), "a patch size of at most 1024");
  refused(shapes_only(8, 1, 3, 2, kMaxClasses + 1), "a number of classes of at most 1000000");
  refused(shapes_only(46341, 1, 3, 2, 4), "pointwise weights of at most 2147483647");
  refused(shapes_only(40000, 1, 3, 200, 4), "patch embedding weights");
  refused(shapes_only(40000, 1, 255, 2, 4), "depthwise weights");
  refused(shapes_only(40000, 1, 3, 2, kMaxClasses), "classifier weights");
  Checkpoint huge = shapes_only(40000, 1, 3, 1, 4);
  EXPECT_EQ(read_config(huge, {}).dim, 40000);
  huge.metadata["convmixer"] = R"({"input_size": [3, 16384, 16384]})";
  refused(huge, "a layer's output");
}

TEST(ModelConfig, FilesThatAreNoConvMixerAreRefusedByTensor) {
  const auto refused = [](const Checkpoint& checkpoint, const std::vector<std::string>& parts) {
    expect_error(Code::kFormat, parts, [&] { read_config(checkpoint, {}); });
  };
  refused(Checkpoint{}, {"no tensor 'stem.0.weight' among its 0"});
  Checkpoint resnet;
  resnet.tensors["conv1.weight"].shape = {64, 3, 7, 7};
  refused(resnet, {"ConvMixer in timm's key names", "among its 1, the first being 'conv1.weight'"});
  const auto with_shape = [](const std::string& tensor, std::vector<std::int64_t> shape) {
    Checkpoint checkpoint = shapes_only(8, 2, 3, 2, 4);
    checkpoint.tensors[tensor].shape = std::move(shape);
    return checkpoint;
  };
  refused(with_shape("stem.0.weight", {8, 3, 2}), {"'stem.0.weight' of 4 positive sizes"});
  refused(with_shape("stem.0.weight", {0, 3, 2, 2}), {"'stem.0.weight' of 4 positive sizes"});
  refused(with_shape("stem.0.weight", {8, 1, 2, 2}), {"[dim, 3, patch, patch]", "[8, 1, 2, 2]"});
  refused(with_shape("stem.0.weight", {8, 3, 2, 3}), {"[dim, 3, patch, patch]"});
  refused(with_shape("blocks.0.0.fn.0.weight", {8, 8, 3, 3}), {"[8, 1, kernel, kernel]"});
  refused(with_shape("blocks.0.0.fn.0.weight", {7, 1, 3, 3}), {"[8, 1, kernel, kernel]"});
  refused(with_shape("blocks.0.0.fn.0.weight", {8, 1, 3, 4}), {"[8, 1, kernel, kernel]"});
  refused(with_shape("head.weight", {4, 8, 1, 1}), {"'head.weight' of 2 positive sizes"});
  refused(with_shape("head.weight", {0, 8}), {"'head.weight' of 2 positive sizes"});
  refused(shapes_only(8, 0, 3, 2, 4), {"no tensor 'blocks.0.0.fn.0.weight'"});
  refused(with_shape("blocks.3.1.weight", {8}), {"found 'blocks.3' but no 'blocks.2'"});
  for (const char* odd : {"blocks.x.1", "blocks.", "blocks.-1.x", "blocks.01.x", "blocks.1",
                          "blocks.99999999999.x", "blocks.1x.y"}) {
    refused(with_shape(odd, {8}), {"a block's number behind 'blocks.', found tensor '", odd});
  }
  Checkpoint headless = shapes_only(8, 2, 3, 2, 4);
  headless.tensors.erase("head.weight");
  refused(headless, {"no tensor 'head.weight'"});
}

// --- build_graph ---

struct NodeShape {
  Op op;
  const char* name;
  int ic, oc, kernel_size;
  std::size_t weights, bias;
};

void expect_nodes(const std::vector<Node>& nodes, const std::vector<NodeShape>& want) {
  ASSERT_EQ(nodes.size(), want.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    SCOPED_TRACE(want[i].name);
    EXPECT_EQ(nodes[i].op, want[i].op);
    EXPECT_EQ(nodes[i].name, want[i].name);
    EXPECT_EQ(nodes[i].ic, want[i].ic);
    EXPECT_EQ(nodes[i].oc, want[i].oc);
    EXPECT_EQ(nodes[i].kernel_size, want[i].kernel_size);
    EXPECT_EQ(nodes[i].weights.size, want[i].weights);
    EXPECT_EQ(nodes[i].bias.size(), want[i].bias);
    EXPECT_TRUE(nodes[i].affine.empty());
    EXPECT_FALSE(nodes[i].residual);
  }
}

Graph build(const CheckpointFile& file) {
  const Checkpoint checkpoint = open_bytes(file.bytes());
  ConfigOverrides overrides;
  overrides.activation = Activation::kRelu;
  overrides.image_height = 9;
  overrides.image_width = 8;
  overrides.bn_eps = 0.125;
  return build_graph(checkpoint, read_config(checkpoint, overrides));
}

TEST(BuildGraph, HasTheLayersInOrder) {
  const CheckpointFile file = random_convmixer(5, 2, 3, 2, 4);
  const Graph graph = build(file);
  EXPECT_EQ(graph.ic, 3);
  EXPECT_EQ(graph.h, 9);
  EXPECT_EQ(graph.w, 8);
  expect_nodes(graph.nodes, {{Op::kPatchEmbed, "stem", 3, 5, 2, 60, 5},
                             {Op::kActivation, "stem.activation", 5, 5, 1, 0, 0},
                             {Op::kBatchNorm, "stem.batchnorm", 5, 5, 1, 0, 0},
                             {Op::kBlock, "blocks.0", 5, 5, 1, 0, 0},
                             {Op::kBlock, "blocks.1", 5, 5, 1, 0, 0},
                             {Op::kMean, "mean", 5, 5, 1, 0, 0},
                             {Op::kLinear, "head", 5, 4, 1, 20, 4}});
  const std::vector<Node>& body = graph.nodes[4].body;
  expect_nodes(body, {{Op::kDepthwise, "blocks.1.depthwise", 5, 5, 3, 45, 5},
                      {Op::kActivation, "blocks.1.depthwise.activation", 5, 5, 1, 0, 0},
                      {Op::kBatchNorm, "blocks.1.depthwise.batchnorm", 5, 5, 1, 0, 0},
                      {Op::kAdd, "blocks.1.add", 5, 5, 1, 0, 0},
                      {Op::kPointwise, "blocks.1.pointwise", 5, 5, 1, 25, 5},
                      {Op::kActivation, "blocks.1.pointwise.activation", 5, 5, 1, 0, 0},
                      {Op::kBatchNorm, "blocks.1.pointwise.batchnorm", 5, 5, 1, 0, 0}});
  EXPECT_EQ(body[1].activation, Activation::kRelu);
  EXPECT_EQ(body[6].batchnorm.eps, 0.125);
  const auto bytes = [](const auto& values, std::size_t size) {
    return std::string(reinterpret_cast<const char*>(values), size * sizeof(float));
  };
  EXPECT_EQ(bytes(body[4].weights.data, 25), file.tensors.at("blocks.1.1.weight").bytes);
  const BatchNorm& bn = body[2].batchnorm;
  EXPECT_EQ(bytes(bn.weight.data(), 5), file.tensors.at("blocks.1.0.fn.2.weight").bytes);
  EXPECT_EQ(bytes(bn.bias.data(), 5), file.tensors.at("blocks.1.0.fn.2.bias").bytes);
  EXPECT_EQ(bytes(bn.running_mean.data(), 5),
            file.tensors.at("blocks.1.0.fn.2.running_mean").bytes);
  EXPECT_EQ(bytes(bn.running_var.data(), 5), file.tensors.at("blocks.1.0.fn.2.running_var").bytes);
}

TEST(BuildGraph, EachTensorIsNeededInItsShapeAndAFloatType) {
  const CheckpointFile good = random_convmixer(5, 2, 3, 2, 4);
  for (const auto& [name, tensor] : good.tensors) {
    SCOPED_TRACE(name);
    CheckpointFile file = good;
    file.tensors.erase(name);
    if (name.ends_with("num_batches_tracked")) {
      EXPECT_NO_THROW(build(file));
      continue;
    }
    expect_error(Code::kFormat, {"<memory>: ", "'" + name + "'"}, [&] { build(file); });

    file = good;
    file.tensors[name].shape.insert(file.tensors[name].shape.begin(), 1);
    expect_error(Code::kFormat, {"<memory>: ", "'" + name + "'"}, [&] { build(file); });

    file = good;
    file.tensors[name].dtype = "I32";
    expect_error(Code::kFormat, {"'" + name + "' of dtype F32", "found 'I32'"},
                 [&] { build(file); });

    file = good;
    file.tensors[name + "_extra"] = tensor;
    expect_error(Code::kFormat, {"only a ConvMixer's tensors, found '" + name + "_extra'"},
                 [&] { build(file); });
  }
}

TEST(BuildGraph, NegativeVariancesAreRefusedAndNaNsPass) {
  const std::string name = "blocks.1.3.running_var";
  CheckpointFile file = random_convmixer(5, 2, 3, 2, 4);
  file.add(name, {5}, {1, 0, -0.5f, -1, 1});
  expect_error(Code::kFormat, {"<memory>: ", "'" + name + "', found -0.5 at index 2"},
               [&] { build(file); });
  file.add(name, {5}, {1, 0, -0.0f, std::nanf(""), std::numeric_limits<float>::infinity()});
  const Graph graph = build(file);
  EXPECT_TRUE(std::isnan(graph.nodes[4].body[6].batchnorm.running_var[3]));
}

}  // namespace
}  // namespace convmixer
