// SPDX-License-Identifier: Apache-2.0
// What every reader of checkpoints does alike: names, wrappers, broken files, other networks.
#include <gtest/gtest.h>

#include <random>

#include "model_files.h"
#include "models/convmixer.h"

namespace convmixer {
namespace {

using namespace pickled;  // NOLINT(google-build-using-namespace)

constexpr int kDepth = 11;  // so that places and blocks have one digit and two

CheckpointFile model() { return random_convmixer(4, kDepth, 3, 2, 5); }

std::string authors(const std::string& timm) { return authors_name(timm, kDepth); }

std::string mmpretrain(const std::string& timm) {
  if (timm.starts_with("head.")) return "head.fc." + timm.substr(5);
  if (timm.starts_with("blocks.")) return "backbone.stages." + timm.substr(7);
  return "backbone." + timm;
}

struct Format {
  const char* name;
  std::string (*write)(const CheckpointFile&, const Rename&);
};

std::string as_safetensors(const CheckpointFile& file, const Rename& rename) {
  CheckpointFile renamed;
  for (const auto& [key, tensor] : file.tensors) renamed.tensors[rename(key)] = tensor;
  return renamed.bytes();
}

const Format kFormats[] = {{"safetensors", as_safetensors},
                           {"zip", as_torch_zip},
                           {"legacy", as_torch_legacy},
                           {"paddle", as_paddle}};

class Formats : public testing::TestWithParam<Format> {
 public:
  static std::string write(const CheckpointFile& file, const Rename& rename = as_it_is) {
    return GetParam().write(file, rename);
  }
};
INSTANTIATE_TEST_SUITE_P(Readers, Formats, testing::ValuesIn(kFormats),
                         [](const testing::TestParamInfo<Format>& format) {
                           return std::string(format.param.name);
                         });

void expect_model(const std::string& bytes) {
  const Checkpoint checkpoint = open_bytes(bytes);
  expect_same_weights(model(), checkpoint);
  const ModelConfig config = read_config(checkpoint, {});
  EXPECT_EQ(config.depth, kDepth);
  EXPECT_EQ(config.num_classes, 5);
  build_graph(checkpoint, config);
}

TEST_P(Formats, EveryTableOfNames) {
  expect_model(write(model()));
  expect_model(write(model(), authors));
  expect_model(write(model(), mmpretrain));
}

TEST_P(Formats, PrefixesOfWrappersAreTakenAway) {
  for (const char* prefix : {"module.", "_orig_mod.", "model.", "module._orig_mod.module."}) {
    SCOPED_TRACE(prefix);
    expect_model(write(model(), [&](const std::string& key) { return prefix + authors(key); }));
    expect_model(write(model(), [&](const std::string& key) { return prefix + key; }));
  }
}

TEST_P(Formats, TwoNamesOfOneTensorAreRefused) {
  CheckpointFile file = model();
  file.tensors["module.stem.0.bias"] = file.tensors["stem.0.bias"];
  expect_error(Code::kFormat, {"one tensor 'stem.0.bias', found a second one named 'stem.0.bias'"},
               [&] { open_bytes(write(file)); });
}

TEST_P(Formats, EveryPrefixIsRefused) {
  const std::string bytes = write(random_convmixer(1, 1, 1, 1, 1), as_it_is);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    SCOPED_TRACE(size);
    expect_error(Code::kFormat, {"<memory>: "}, [&] { open_bytes(bytes.substr(0, size)); });
  }
  expect_same_weights(random_convmixer(1, 1, 1, 1, 1), open_bytes(bytes));
}

TEST_P(Formats, ChangedBytesAreRefusedOrHarmless) {
  constexpr unsigned kSeed = 5;
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  const std::string good = write(random_convmixer(2, 1, 3, 1, 2), as_it_is);
  int opened = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good;
    for (unsigned changes = 1 + random() % 3; changes > 0; --changes) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    try {
      const Checkpoint checkpoint = open_bytes(bytes);
      build_graph(checkpoint, read_config(checkpoint, {}));
      ++opened;
    } catch (const Error& error) {
      EXPECT_NE(error.code(), Code::kInternal) << error.what();
    }
  }
  EXPECT_LT(opened, 3000);
}

TEST_P(Formats, OtherNetworksAreRefusedByTheKeyThatIsMissingOrOdd) {
  const auto refused = [](const CheckpointFile& file, const Rename& rename,
                          const std::vector<std::string>& parts) {
    expect_error(Code::kFormat, parts, [&] {
      const Checkpoint checkpoint = open_bytes(write(file, rename));
      build_graph(checkpoint, read_config(checkpoint, {}));
    });
  };
  CheckpointFile resnet;
  resnet.add("conv1.weight", {1, 1}, {1});
  resnet.add("bn1.running_mean", {1}, {1});
  resnet.add("layer1.0.conv1.weight", {1}, {1});
  resnet.add("fc.weight", {1, 1}, {1});
  refused(resnet, as_it_is,
          {"expected a ConvMixer", "found no tensor 'stem.0.weight'", "among its 4",
           "the first being 'bn1."});
  CheckpointFile vgg;
  vgg.add("0.weight", {1, 3, 1, 1}, {1, 1, 1});
  vgg.add("2.weight", {1, 1, 1, 1}, {1});
  refused(vgg, as_it_is,
          {"found no tensor 'blocks.0.0.fn.0.weight' ('3.0.fn.0.weight' in the file)"});
  CheckpointFile file = model();
  file.tensors.erase("blocks.10.3.bias");
  refused(file, authors, {"expected tensor 'blocks.10.3.bias' ('13.3.bias' in the file)", "none"});
  refused(file, mmpretrain, {"'blocks.10.3.bias' ('backbone.stages.10.3.bias' in the file)"});
  refused(file, as_it_is, {"expected tensor 'blocks.10.3.bias' of shape [4], found none"});
  file = model();
  file.add("blocks.3.4.weight", {1}, {1});
  refused(file, [](const std::string& key) { return "module." + authors(key); },
          {"only a ConvMixer's tensors, found 'blocks.3.4.weight' ('module.6.4.weight' in the"});
  file = model();
  file.add("stem.9.weight", {1}, {1});
  refused(file, as_it_is, {"found 'stem.9.weight' of shape [1]"});
  file = model();
  file.tensors.erase("head.bias");
  refused(file, authors, {"'head.bias' ('16.bias' in the file) of shape [5], found none"});
}

// --- Wrappers ------------------------------------------------------------------------------------

// One more layer of Python around the state dicts, in PyTorch's zip format.
std::string wrapped(const Items& objects) { return torch_zip(dict(objects), storages_of(model())); }

// A state dict that must not be taken: its only tensor is not one of a ConvMixer.
std::string other() {
  return dict({{"other", tensor(storage("FloatStorage", "stem.0.bias", 4), 0, {4}, {1})}});
}

TEST(Wrappers, StateDictsAreFound) {
  const std::string weights = torch_state_dict(model());
  for (const char* key : {"state_dict", "model_state_dict", "model_state", "model", "module",
                          "network", "net", "params", "state_dict_ema", "model_state_dict_ema",
                          "model_ema", "ema_state_dict", "ema_model", "ema"}) {
    SCOPED_TRACE(key);
    expect_model(wrapped({{"epoch", integer(3)}, {key, weights}, {"best", "G12345678"}}));
  }
  expect_model(wrapped({{"model", dict({{"state_dict", weights}, {"args", "N"}})}}));
  expect_model(wrapped({{"ema", dict({{"updates", "K\5"}, {"module", weights}})}}));
  const std::string three = dict({{"model", dict({{"state_dict", dict({{"module", weights}})}})}});
  expect_model(wrapped({{"ema", three}}));
  expect_error(Code::kFormat, {"expected a dict of tensors"}, [&] {
    open_bytes(wrapped({{"net", dict({{"ema", three}})}}));
  });
}

TEST(Wrappers, ThePlainWeightsWinOverTheirAverage) {
  const std::string weights = torch_state_dict(model());
  for (const char* average : {"state_dict_ema", "model_ema", "ema", "ema_state_dict"}) {
    SCOPED_TRACE(average);
    expect_model(wrapped({{average, other()}, {"state_dict", weights}}));
    expect_model(wrapped({{average, other()}, {"model", weights}}));
  }
  // Where the plain weights' key holds none, the average serves.
  expect_model(wrapped({{"model", text("a name")}, {"model_ema", weights}}));
  expect_model(wrapped({{"state_dict", "}"}, {"ema", weights}}));
}

TEST(Wrappers, WhatStandsBesideTheWeightsIsTolerated) {
  const std::string momentum =
      tensor(storage("FloatStorage", "is not in the file", 9), 0, {9}, {1});
  const std::string optimizer =
      dict({{"state", dict({{"0", dict({{"exp_avg", momentum}, {"step", "K\1"}})}})},
            {"param_groups", "](" + dict({{"lr", "G12345678"}}) + "e"}});
  const std::string arguments =
      name("argparse", "Namespace") + ")\x81" + dict({{"lr", "G12345678"}}) + "b";
  const std::string best =
      call(name("numpy.core.multiarray", "scalar"),
           {call(name("numpy", "dtype"), {text("f8"), "\x89", "\x88"}), bytes("12345678")});
  const std::string ordered = call(name("collections", "OrderedDict"), {}) + "(" +
                              torch_state_dict(model()).substr(2) + dict({{"_metadata", "}"}}) +
                              "b";
  expect_model(
      wrapped({{"state_dict", ordered},
               {"optimizer", optimizer},
               {"args", arguments},
               {"best", best},
               {"device", call(name("torch", "device"), {text("cuda"), "K\1"})},
               {"log", call(name("collections", "defaultdict"), {name("builtins", "list")})},
               {"output", call(name("pathlib", "PosixPath"), {text("/"), text("x")})}}));
}

TEST(Wrappers, AveragedNetworksHaveACounterMore) {
  CheckpointFile file;
  for (const auto& [key, tensor] : model().tensors) file.tensors["module." + key] = tensor;
  file.tensors["n_averaged"] = {"I64", {}, std::string(8, '\1')};
  file.tensors["steps"] = {"I64", {}, std::string(8, '\1')};
  expect_model(as_torch_zip(file));
}

TEST(Wrappers, FilesWithoutTensorsShowWhatTheyHave) {
  const auto refused = [](const std::string& objects, const std::string& part) {
    expect_error(Code::kFormat, {"<memory>: expected a dict of tensors", part},
                 [&] { open_bytes(torch_zip(objects, {})); });
  };
  refused("N", "found None");
  refused("](NNe", "found a list of 2");
  refused("}", "found a dict of 0");
  refused(dict({{"epoch", "K\1"}, {"model", "N"}}), "a dict of 2 with the keys 'epoch', 'model'");
  refused("}(K\1K\2K\3NNNX\1" + std::string(3, '\0') + "aNK\4NK\5NK\6Nu", "1, 3, None, 'a', 4, …");
  // Dicts that contain each other, under every key that is looked into.
  std::string all = "}q\1(";
  for (const char* key : {"state_dict", "model", "module", "ema", "net"}) all += text(key) + "h\1";
  refused(all + "u", "a dict of 5");
}

}  // namespace
}  // namespace convmixer
