// SPDX-License-Identifier: Apache-2.0
// Stored models in every format, through the C API: the logits that PyTorch gives in double
// (data/tiny), of every variant, opened by path and from memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "handles.h"
#include "models/convmixer.h"
#include "tests/check.h"
#include "tests/reference.h"

namespace convmixer::test {
namespace {

constexpr double kLimit = 5e-6, kHalfLimit = 3e-3;  // of max |logit|

struct Model {
  const char* name;
  Activation activation;
};
constexpr Model kModels[] = {
    {"gelu_32", Activation::kGelu}, {"relu_48", Activation::kRelu}, {"odd_20", Activation::kGelu}};

const char* const kVariants[] = {"portable", "avx2", "avx512", "amx", "onednn"};
const char* const kFiles[] = {
    "timm.safetensors", "locuslab.pth",   "checkpoint.pth.tar", "dataparallel_fp16.pth",
    "legacy.pth",       "mmpretrain.pth", "paddle.pdparams",    "paddle_protocol2.pdparams"};
const std::string kHalf = "dataparallel_fp16.pth";

std::string path_of(const Model& model, const std::string& file) {
  return std::string(CONVMIXER_TEST_DATA) + "/tiny/" + model.name + "/" + file;
}

// A null handle where this CPU or build lacks the variant.
template <typename Open>
ModelHandle opened(const Model& model, const std::string& variant, const Npy& input, Open open) {
  convmixer_model_options options = CONVMIXER_MODEL_OPTIONS_INIT;
  const bool onednn = variant == "onednn";
  options.onednn = onednn ? CONVMIXER_ONEDNN_ON : CONVMIXER_ONEDNN_OFF;
  options.isa = onednn ? nullptr : variant.c_str();
  options.activation =
      model.activation == Activation::kRelu ? CONVMIXER_ACTIVATION_RELU : CONVMIXER_ACTIVATION_GELU;
  options.image_height = input.shape.at(2);
  options.image_width = input.shape.at(3);
  convmixer_model* handle = nullptr;
  const convmixer_status status = open(&options, &handle);
  if (status != CONVMIXER_UNSUPPORTED) succeed(status);
  return ModelHandle(handle);
}

std::vector<float> logits_of(const ModelHandle& model, const Npy& input) {
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  succeed(convmixer_model_get_info(model.get(), &info));
  const auto n = static_cast<std::size_t>(input.shape.at(0));
  std::vector<float> logits(n * static_cast<std::size_t>(info.num_classes));
  succeed(convmixer_run_f32(open_session(model, 2).get(), input.values.data(), n, logits.data(),
                            nullptr));
  return logits;
}

template <typename T>
void expect_near(const std::vector<T>& want, const std::vector<float>& got, double limit) {
  ASSERT_EQ(want.size(), got.size());
  double largest = 0, error = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto value = static_cast<double>(want[i]);
    largest = std::max(largest, std::fabs(value));
    error = std::max(error, std::fabs(static_cast<double>(got[i]) - value));
  }
  EXPECT_LE(error, limit * largest);
  EXPECT_GT(largest, 0);
}

// The nearest value of 11 significant bits (10 below 2^-14), ties to even.
float rounded_to_half(float value) {
  if (value == 0) return value;
  const double unit = std::ldexp(1.0, std::max(std::ilogb(value), -14) - 10);
  return static_cast<float>(std::nearbyint(value / unit) * unit);
}

// What the oracle makes of the model with each of its weights rounded.
std::vector<double> oracle_of_rounded(const Model& model, const Npy& input) {
  Checkpoint checkpoint = open_checkpoint(path_of(model, "timm.safetensors"));
  for (auto& [name, view] : checkpoint.tensors) {
    if (view.dtype != DType::kF32) continue;
    const Weights weights = checkpoint.floats(name, view.shape);
    auto rounded = std::make_shared<std::vector<float>>(weights.data, weights.data + weights.size);
    std::transform(rounded->begin(), rounded->end(), rounded->begin(), rounded_to_half);
    view.data = reinterpret_cast<const std::uint8_t*>(rounded->data());
    view.owner = rounded;
  }
  ConfigOverrides overrides;
  overrides.activation = model.activation;
  overrides.image_height = input.shape.at(2);
  overrides.image_width = input.shape.at(3);
  const Graph graph = build_graph(checkpoint, read_config(checkpoint, overrides));
  const reference::Tensor src(input.shape.at(0), 3, graph.h, graph.w, input.values.data());
  return reference::evaluate(graph, src).logits;
}

using Case = std::tuple<const char*, const char*>;  // variant, file

class Formats : public testing::TestWithParam<Case> {};

TEST_P(Formats, GivePyTorchsLogits) {
  const std::string variant = std::get<0>(GetParam()), file = std::get<1>(GetParam());
  for (const Model& model : kModels) {
    SCOPED_TRACE(model.name);
    const Npy input = read_npy(path_of(model, "input.npy"));
    const Npy want = read_npy(path_of(model, "logits.npy"));
    const std::string path = path_of(model, file);
    const ModelHandle by_path =
        opened(model, variant, input, [&](const auto* options, convmixer_model** handle) {
          return convmixer_model_open(path.c_str(), options, handle);
        });
    if (by_path == nullptr) GTEST_SKIP() << convmixer_last_error();
    const std::vector<float> logits = logits_of(by_path, input);
    expect_near(want.values, logits, file == kHalf ? kHalfLimit : kLimit);

    ModelHandle from_memory;
    {
      const std::vector<std::uint8_t> bytes = read_file(path);
      from_memory =
          opened(model, variant, input, [&](const auto* options, convmixer_model** handle) {
            return convmixer_model_open_memory(bytes.data(), bytes.size(), options, handle);
          });
    }
    EXPECT_EQ(logits, logits_of(from_memory, input));
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, Formats,
                         testing::Combine(testing::ValuesIn(kVariants), testing::ValuesIn(kFiles)),
                         [](const testing::TestParamInfo<Case>& one) {
                           std::string name = std::get<0>(one.param);
                           name += std::string("_") + std::get<1>(one.param);
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

class HalfFormat : public testing::TestWithParam<const char*> {};

// Of the rounded weights, all formats' limit holds.
TEST_P(HalfFormat, GivesTheOraclesLogitsOfRoundedWeights) {
  for (const Model& model : kModels) {
    SCOPED_TRACE(model.name);
    const Npy input = read_npy(path_of(model, "input.npy"));
    const ModelHandle handle =
        opened(model, GetParam(), input, [&](const auto* options, convmixer_model** result) {
          return convmixer_model_open(path_of(model, kHalf).c_str(), options, result);
        });
    if (handle == nullptr) GTEST_SKIP() << convmixer_last_error();
    expect_near(oracle_of_rounded(model, input), logits_of(handle, input), kLimit);
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, HalfFormat, testing::ValuesIn(kVariants),
                         [](const testing::TestParamInfo<const char*>& variant) {
                           return std::string(variant.param);
                         });

// What Python would run: os.system('true').
TEST(Pickles, ThatNameAProgramAreRefusedByThatName) {
  const std::string file = "\x80\2cos\nsystem\nU\4true\x85R.";
  convmixer_model* model = nullptr;
  EXPECT_EQ(convmixer_model_open_memory(file.data(), file.size(), nullptr, &model),
            CONVMIXER_UNSUPPORTED);
  EXPECT_EQ(model, nullptr);
  EXPECT_NE(std::string(convmixer_last_error()).find("'os.system'; nothing was executed"),
            std::string::npos)
      << convmixer_last_error();
}

}  // namespace
}  // namespace convmixer::test
