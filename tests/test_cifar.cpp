// SPDX-License-Identifier: Apache-2.0
// The bundled model on 200 CIFAR-10 test images, through the C API alone: JPEG file → pixels →
// logits, against the logits that PyTorch gives in double (data/cifar).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "handles.h"
#include "tests/check.h"

namespace convmixer::test {
namespace {

const std::string kFolder = std::string(CONVMIXER_TEST_DATA) + "/cifar/";
constexpr std::size_t kImages = 200;

struct Images {
  std::vector<std::string> paths;
  std::vector<int> labels;
};

Images listed() {
  Images images;
  std::ifstream list(kFolder + "list.txt");
  std::string path;
  for (int label = 0; list >> path >> label;) {
    images.paths.push_back(kFolder + path);
    images.labels.push_back(label);
  }
  return images;
}

class Cifar : public testing::TestWithParam<const char*> {};

TEST_P(Cifar, GivesPyTorchsLogits) {
  const Images images = listed();
  ASSERT_EQ(images.paths.size(), kImages);
  convmixer_model_options options = CONVMIXER_MODEL_OPTIONS_INIT;
  const bool onednn = std::string(GetParam()) == "onednn";
  options.onednn = onednn ? CONVMIXER_ONEDNN_ON : CONVMIXER_ONEDNN_OFF;
  options.isa = onednn ? nullptr : GetParam();
  convmixer_model* opened = nullptr;
  const convmixer_status status = convmixer_model_open(kBundledModel.c_str(), &options, &opened);
  if (status == CONVMIXER_UNSUPPORTED) GTEST_SKIP() << convmixer_last_error();
  ASSERT_EQ(status, CONVMIXER_OK) << convmixer_last_error();
  const ModelHandle model(opened);
  const SessionHandle session = open_session(model, 0);

  std::vector<std::uint8_t> pixels(kImages * kImageBytes);
  for (std::size_t i = 0; i < kImages; ++i) {
    convmixer_image image{};
    image.path = images.paths[i].c_str();
    convmixer_image_options transform = CONVMIXER_IMAGE_OPTIONS_INIT;
    transform.image_height = transform.image_width = 32;
    transform.crop_pct = 1.0;
    ASSERT_EQ(convmixer_transform(&image, &transform, pixels.data() + i * kImageBytes, kImageBytes),
              CONVMIXER_OK)
        << convmixer_last_error();
  }
  std::vector<float> logits(kImages * kClasses);
  ASSERT_EQ(convmixer_run_u8(session.get(), pixels.data(), kImages, logits.data(), nullptr),
            CONVMIXER_OK);

  const Npy want = read_npy(kFolder + "logits.npy");
  ASSERT_EQ(want.values.size(), logits.size());
  double largest = 0, error = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(want.values[i])));
    error = std::max(error, std::fabs(static_cast<double>(logits[i]) - want.values[i]));
  }
  EXPECT_LE(error, 5e-6 * largest);

  // The same labels through the whole pipeline.
  std::vector<convmixer_image> files(kImages);
  for (std::size_t i = 0; i < kImages; ++i) files[i].path = images.paths[i].c_str();
  std::vector<convmixer_prediction> best(kImages);
  std::vector<convmixer_result> results(kImages);
  ASSERT_EQ(convmixer_classify(session.get(), files.data(), kImages, nullptr, 1, best.data(),
                               results.data()),
            CONVMIXER_OK);
  int right = 0, want_right = 0;
  for (std::size_t i = 0; i < kImages; ++i) {
    ASSERT_EQ(results[i].status, CONVMIXER_OK) << results[i].error;
    const auto row = want.values.begin() + static_cast<std::ptrdiff_t>(i * kClasses);
    const int top = static_cast<int>(std::max_element(row, row + kClasses) - row);
    EXPECT_EQ(best[i].index, top) << images.paths[i];
    right += best[i].index == images.labels[i];
    want_right += top == images.labels[i];
  }
  EXPECT_EQ(right, want_right);
}

INSTANTIATE_TEST_SUITE_P(Variants, Cifar, testing::Values("portable", "avx2", "avx512", "onednn"),
                         [](const testing::TestParamInfo<const char*>& variant) {
                           return std::string(variant.param);
                         });

}  // namespace
}  // namespace convmixer::test
