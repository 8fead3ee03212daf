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
#include "temporary_folder.h"
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

std::vector<std::uint8_t> pixels_of(const Images& images) {
  std::vector<std::uint8_t> pixels(images.paths.size() * kImageBytes);
  for (std::size_t i = 0; i < images.paths.size(); ++i) {
    convmixer_image image{};
    image.path = images.paths[i].c_str();
    convmixer_image_options transform = CONVMIXER_IMAGE_OPTIONS_INIT;
    transform.image_height = transform.image_width = 32;
    transform.crop_pct = 1.0;
    succeed(convmixer_transform(&image, &transform, pixels.data() + i * kImageBytes, kImageBytes));
  }
  return pixels;
}

std::vector<float> logits_of(const ModelHandle& model, const std::uint8_t* pixels,
                             std::size_t images) {
  std::vector<float> logits(images * kClasses);
  succeed(convmixer_run_u8(open_session(model, 0).get(), pixels, images, logits.data(), nullptr));
  return logits;
}

// The class of image i.
template <typename Logits>
int best_of(const Logits& logits, std::size_t i) {
  const auto row = logits.begin() + static_cast<std::ptrdiff_t>(i * kClasses);
  return static_cast<int>(std::max_element(row, row + kClasses) - row);
}

// Under sanitizers portable needs 0.1 s for an image; its logits are the same without.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kImagesForPortable = 40;
#else
constexpr std::size_t kImagesForPortable = kImages;
#endif

TEST_P(Cifar, GivesPyTorchsLogits) {
  const Images images = listed();
  ASSERT_EQ(images.paths.size(), kImages);
  const std::size_t count = std::string(GetParam()) == "portable" ? kImagesForPortable : kImages;
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
  const std::vector<float> logits = logits_of(model, pixels_of(images).data(), count);
  const Npy want = read_npy(kFolder + "logits.npy");
  ASSERT_EQ(want.values.size(), kImages * kClasses);
  double largest = 0, error = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(want.values[i])));
    error = std::max(error, std::fabs(static_cast<double>(logits[i]) - want.values[i]));
  }
  EXPECT_LE(error, 5e-6 * largest);

  // The same labels through the whole pipeline.
  std::vector<convmixer_image> files(count);
  for (std::size_t i = 0; i < count; ++i) files[i].path = images.paths[i].c_str();
  std::vector<convmixer_prediction> best(count);
  std::vector<convmixer_result> results(count);
  ASSERT_EQ(convmixer_classify(session.get(), files.data(), count, nullptr, 1, best.data(),
                               results.data()),
            CONVMIXER_OK);
  int right = 0, want_right = 0;
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_EQ(results[i].status, CONVMIXER_OK) << results[i].error;
    const int top = best_of(want.values, i);
    EXPECT_EQ(best[i].index, top) << images.paths[i];
    right += best[i].index == images.labels[i];
    want_right += top == images.labels[i];
  }
  EXPECT_EQ(right, want_right);
}

INSTANTIATE_TEST_SUITE_P(Variants, Cifar,
                         testing::Values("portable", "avx2", "avx512", "amx", "onednn"),
                         [](const testing::TestParamInfo<const char*>& variant) {
                           return std::string(variant.param);
                         });

// Writes the bundled model with scales from every other image, and weights in bytes.
void calibrate(const std::vector<std::uint8_t>& pixels, const std::string& path) {
  convmixer_calibration* made = nullptr;
  succeed(convmixer_calibration_create(kBundledModel.c_str(), nullptr, 0, &made));
  const CalibrationHandle calibration(made);
  for (std::size_t i = 0; i < kImages; i += 2) {
    convmixer_image image{};
    image.pixels = pixels.data() + i * kImageBytes;
    image.width = image.height = 32;
    convmixer_result result{};
    succeed(convmixer_calibration_add_images(made, &image, 1, nullptr, &result));
    ASSERT_EQ(result.status, CONVMIXER_OK) << result.error;
  }
  succeed(convmixer_calibration_write(made, path.c_str(), CONVMIXER_CLIPPING_DEFAULT,
                                      CONVMIXER_WEIGHTS_INT8));
}

struct Narrow {
  const char* isa;
  convmixer_precision precision;
  std::size_t images;  // portable is slow
};

class CifarPrecision : public testing::TestWithParam<Narrow> {};

// Of PyTorch's predictions bf16 keeps 99.9 % and int8 99.5 % over the 10,000 test images: one in 40
// may go. Logits change by 0.6 % of the largest, and 5 to 15.
TEST_P(CifarPrecision, KeepsThePredictions) {
  const Narrow narrow = GetParam();
  const std::vector<std::uint8_t> pixels = pixels_of(listed());
  const TemporaryFolder folder;
  std::string path = kBundledModel;
  if (narrow.precision == CONVMIXER_PRECISION_INT8) {
    path = (folder.path / "int8.safetensors").string();
    calibrate(pixels, path);
  }
  convmixer_model_options options = CONVMIXER_MODEL_OPTIONS_INIT;
  options.isa = narrow.isa;
  options.precision = narrow.precision;
  convmixer_model* opened = nullptr;
  const convmixer_status status = convmixer_model_open(path.c_str(), &options, &opened);
  if (status == CONVMIXER_UNSUPPORTED) GTEST_SKIP() << convmixer_last_error();
  ASSERT_EQ(status, CONVMIXER_OK) << convmixer_last_error();
  const ModelHandle model(opened);
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  ASSERT_EQ(convmixer_model_get_info(model.get(), &info), CONVMIXER_OK);
  EXPECT_EQ(info.precision, narrow.precision);

  const std::vector<float> logits = logits_of(model, pixels.data(), narrow.images);
  const Npy want = read_npy(kFolder + "logits.npy");
  double largest = 0, error = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(want.values[i])));
    error = std::max(error, std::fabs(static_cast<double>(logits[i]) - want.values[i]));
  }
  EXPECT_LE(error, (narrow.precision == CONVMIXER_PRECISION_BF16 ? 0.02 : 0.2) * largest);
  EXPECT_GT(error, 1e-4 * largest);  // fp32 is nearer
  std::size_t equal = 0;
  for (std::size_t i = 0; i < narrow.images; ++i) {
    equal += best_of(logits, i) == best_of(want.values, i);
  }
  EXPECT_GE(equal, narrow.images - narrow.images / 40);
}

INSTANTIATE_TEST_SUITE_P(Variants, CifarPrecision,
                         testing::Values(Narrow{"portable", CONVMIXER_PRECISION_BF16, 40},
                                         Narrow{"avx512", CONVMIXER_PRECISION_BF16, kImages},
                                         Narrow{"amx", CONVMIXER_PRECISION_BF16, kImages},
                                         Narrow{"portable", CONVMIXER_PRECISION_INT8, 40},
                                         Narrow{"avx2", CONVMIXER_PRECISION_INT8, kImages},
                                         Narrow{"avx512", CONVMIXER_PRECISION_INT8, kImages},
                                         Narrow{"amx", CONVMIXER_PRECISION_INT8, kImages}),
                         [](const testing::TestParamInfo<Narrow>& variant) {
                           const bool bf16 = variant.param.precision == CONVMIXER_PRECISION_BF16;
                           return std::string(variant.param.isa) + (bf16 ? "_bf16" : "_int8");
                         });

}  // namespace
}  // namespace convmixer::test
