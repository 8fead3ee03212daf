// SPDX-License-Identifier: Apache-2.0
// convmixer_classify and convmixer_run_images: any mix of images, good and bad, in any number, with
// any number of threads.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/handles.h"
#include "tests/temporary_folder.h"

namespace convmixer::test {
namespace {

constexpr std::size_t kTop = 3;

convmixer_image image_of(const std::string& path) {
  convmixer_image image{};
  image.path = path.c_str();
  return image;
}

struct Labels {
  std::vector<convmixer_prediction> predictions;
  std::vector<convmixer_result> results;
};

Labels classify(const SessionHandle& session, const std::vector<convmixer_image>& images,
                const convmixer_image_options* options = nullptr, std::size_t top_k = kTop) {
  Labels labels;
  labels.predictions.resize(images.size() * top_k);
  labels.results.resize(images.size());
  std::memset(labels.results.data(), 0x55, images.size() * sizeof(convmixer_result));
  succeed(convmixer_classify(session.get(), images.data(), images.size(), options,
                             static_cast<std::int32_t>(top_k), labels.predictions.data(),
                             labels.results.data()));
  return labels;
}

bool same(const convmixer_prediction& a, const convmixer_prediction& b) {
  return a.index == b.index && a.probability == b.probability && a.logit == b.logit &&
         std::strcmp(a.label, b.label) == 0;
}

class Pipeline : public testing::Test {
 protected:
  const ModelHandle model_ = open_model();
  const std::vector<std::string> paths_ = sample_paths();
};

TEST_F(Pipeline, KnowsTheSamples) {
  const SessionHandle session = open_session(model_, 2);
  std::vector<convmixer_image> images;
  for (const std::string& path : paths_) images.push_back(image_of(path));
  const Labels got = classify(session, images);
  ASSERT_EQ(images.size(), 12u);
  for (std::size_t i = 0; i < images.size(); ++i) {
    ASSERT_EQ(got.results[i].status, CONVMIXER_OK) << got.results[i].error;
    EXPECT_STREQ(got.results[i].error, "");
    const std::string name = std::filesystem::path(paths_[i]).stem().string();
    EXPECT_EQ(name.substr(0, name.find('_')), got.predictions[i * kTop].label);
  }
}

TEST_F(Pipeline, PathDataAndPixelsAgree) {
  const SessionHandle session = open_session(model_, 2);
  convmixer_image_options options = CONVMIXER_IMAGE_OPTIONS_INIT;
  options.image_height = options.image_width = 32;
  options.crop_pct = 1.0;
  for (const std::string& path : paths_) {
    const std::vector<std::uint8_t> bytes = read_file(path);
    std::vector<std::uint8_t> pixels(kImageBytes), padded(32 * 100);
    convmixer_image images[4] = {image_of(path), {}, {}, {}};
    succeed(convmixer_transform(&images[0], &options, pixels.data(), pixels.size()));
    for (std::size_t y = 0; y < 32; ++y) {
      std::memcpy(padded.data() + y * 100, pixels.data() + y * 96, 96);
    }
    images[1].data = bytes.data();
    images[1].size = bytes.size();
    images[2].pixels = pixels.data();
    images[3].pixels = padded.data();
    images[3].stride = 100;
    images[2].width = images[2].height = images[3].width = images[3].height = 32;
    const Labels got = classify(session, {images, images + 4});
    const std::vector<float> logits = run(session, pixels);
    for (std::size_t i = 0; i < 4; ++i) {
      ASSERT_EQ(got.results[i].status, CONVMIXER_OK) << got.results[i].error;
      for (std::size_t k = 0; k < kTop; ++k) {
        const convmixer_prediction& p = got.predictions[i * kTop + k];
        EXPECT_TRUE(same(p, got.predictions[k])) << path << " " << i;
        EXPECT_EQ(p.logit, logits[static_cast<std::size_t>(p.index)]);
      }
    }
  }
}

TEST_F(Pipeline, ProbabilitiesAreTheSoftmax) {
  const Labels got = classify(open_session(model_, 1), {image_of(paths_[0])}, nullptr, kClasses);
  double sum = 0, powers = 0;
  for (const convmixer_prediction& p : got.predictions) sum += p.probability;
  for (const convmixer_prediction& p : got.predictions) powers += std::exp(double{p.logit});
  EXPECT_NEAR(sum, 1.0, 1e-6);
  for (const convmixer_prediction& p : got.predictions) {
    EXPECT_NEAR(p.probability, std::exp(double{p.logit}) / powers, 1e-7);
  }
}

// An image of each kind of badness, and the status it deserves.
std::pair<convmixer_image, convmixer_status> bad_image(std::size_t kind, const std::string& path,
                                                       const std::vector<std::uint8_t>& bytes) {
  static const std::string missing = "/nowhere/at.jpg";
  convmixer_image image{};
  switch (kind % 6) {
    case 0:
      return {image_of(missing), CONVMIXER_IO_ERROR};
    case 1:
      image.data = bytes.data();
      image.size = bytes.size() / 2;
      return {image, CONVMIXER_FORMAT_ERROR};
    case 2:  // nothing is set
      return {image, CONVMIXER_INVALID_ARGUMENT};
    case 3:  // two are
      image = image_of(path);
      image.data = bytes.data();
      image.size = bytes.size();
      return {image, CONVMIXER_INVALID_ARGUMENT};
    case 4:
      image.pixels = bytes.data();
      image.width = 4;
      image.height = -4;
      return {image, CONVMIXER_INVALID_ARGUMENT};
    default:
      image.pixels = bytes.data();
      image.width = image.height = 8;
      image.stride = 23;
      return {image, CONVMIXER_INVALID_ARGUMENT};
  }
}

// Statuses and predictions must be the same for any number of threads and any chunk.
TEST_F(Pipeline, BadImagesDoNotSpoilGoodOnes) {
  const std::vector<std::uint8_t> bytes = read_file(paths_[0]);
  const SessionHandle single = open_session(model_, 1);
  std::vector<convmixer_image> images;
  std::vector<convmixer_status> want;
  std::vector<Labels> alone;
  for (std::size_t i = 0; i < 50; ++i) {
    const bool bad = i % 7 == 3 || (i >= 16 && i < 32);  // single ones, and whole chunks of 1 to 8
    const auto [image, status] =
        bad ? bad_image(i, paths_[0], bytes)
            : std::pair(image_of(paths_[i * 5 % paths_.size()]), CONVMIXER_OK);
    images.push_back(image);
    want.push_back(status);
    alone.push_back(classify(single, {image}));
  }
  for (int threads = 1; threads <= 5; ++threads) {
    for (const int chunk : {1, 2, 3, 8, 32, 100}) {
      const Labels got = classify(open_session(model_, threads, chunk), images);
      for (std::size_t i = 0; i < images.size(); ++i) {
        ASSERT_EQ(got.results[i].status, want[i]) << i << ": " << got.results[i].error;
        ASSERT_EQ(got.results[i].error[0] == '\0', want[i] == CONVMIXER_OK);
        for (std::size_t k = 0; k < kTop; ++k) {
          const convmixer_prediction& p = got.predictions[i * kTop + k];
          if (want[i] == CONVMIXER_OK) {
            ASSERT_TRUE(same(p, alone[i].predictions[k]))
                << i << ", " << threads << " threads, chunks of " << chunk;
          } else {
            ASSERT_EQ(p.label, nullptr) << "written for a bad image";
          }
        }
      }
    }
  }
}

// The logits of good images are the bits of convmixer_run_u8; rows of bad ones stay as they were.
TEST_F(Pipeline, LogitsBesideBadImages) {
  const std::vector<std::uint8_t> bytes = read_file(paths_[0]);
  convmixer_image_options options = CONVMIXER_IMAGE_OPTIONS_INIT;
  options.image_height = options.image_width = 32;
  options.crop_pct = 1.0;
  const SessionHandle single = open_session(model_, 1);
  std::vector<convmixer_image> images;
  std::vector<std::vector<float>> want;  // empty for a bad image
  for (std::size_t i = 0; i < 50; ++i) {
    if (i % 7 == 3 || (i >= 20 && i < 30)) {
      images.push_back(bad_image(i, paths_[0], bytes).first);
      want.emplace_back();
      continue;
    }
    images.push_back(image_of(paths_[i * 5 % paths_.size()]));
    std::vector<std::uint8_t> pixels(kImageBytes);
    succeed(convmixer_transform(&images[i], &options, pixels.data(), pixels.size()));
    want.push_back(run(single, pixels));
  }
  for (int threads = 1; threads <= 4; ++threads) {
    for (const int chunk : {1, 3, 8, 64}) {
      std::vector<float> logits(images.size() * kClasses, 1234.0f);
      std::vector<convmixer_result> results(images.size());
      succeed(convmixer_run_images(open_session(model_, threads, chunk).get(), images.data(),
                                   images.size(), nullptr, logits.data(), results.data()));
      for (std::size_t i = 0; i < images.size(); ++i) {
        ASSERT_EQ(results[i].status == CONVMIXER_OK, !want[i].empty()) << results[i].error;
        for (std::size_t c = 0; c < kClasses; ++c) {
          ASSERT_EQ(logits[i * kClasses + c], want[i].empty() ? 1234.0f : want[i][c])
              << i << ", " << threads << " threads, chunks of " << chunk;
        }
      }
    }
  }
}

TEST_F(Pipeline, NamesTheBadImage) {
  const std::string path = "/nowhere/at.jpg";
  const char bytes[] = "not an image";
  convmixer_image data{};
  data.data = bytes;
  data.size = sizeof(bytes);
  const Labels got =
      classify(open_session(model_, 2), {image_of(paths_[0]), data, image_of(path), {}});
  EXPECT_EQ(got.results[1].status, CONVMIXER_FORMAT_ERROR);
  EXPECT_NE(std::string(got.results[1].error).find("image 1"), std::string::npos)
      << got.results[1].error;
  EXPECT_NE(std::string(got.results[2].error).find(path), std::string::npos)
      << got.results[2].error;
  EXPECT_NE(std::string(got.results[3].error).find("image 3"), std::string::npos)
      << got.results[3].error;
}

TEST_F(Pipeline, LongErrorsEndAtACharacter) {
  for (std::size_t shift = 0; shift < 3; ++shift) {
    std::string path = "/nowhere/" + std::string(shift, 'x');
    while (path.size() < 3000) path += "\xe2\x82\xac";  // €
    const Labels got = classify(open_session(model_, 1), {image_of(path)});
    const std::string error = got.results[0].error;
    EXPECT_EQ(got.results[0].status, CONVMIXER_IO_ERROR);
    EXPECT_LT(error.size(), std::size_t{CONVMIXER_ERROR_TEXT_SIZE});
    EXPECT_GE(error.size(), std::size_t{CONVMIXER_ERROR_TEXT_SIZE} - 3);
    EXPECT_EQ(error.substr(error.size() - 3), "\xe2\x82\xac");
  }
}

TEST_F(Pipeline, MaxPixelsBelongsToTheImage) {
  convmixer_image_options options = CONVMIXER_IMAGE_OPTIONS_INIT;
  options.max_pixels = 32 * 32;
  const std::vector<std::uint8_t> bytes(33 * 32 * 3);
  convmixer_image pixels{};
  pixels.pixels = bytes.data();
  pixels.width = 33;
  pixels.height = 32;
  convmixer_image just = pixels;  // as many
  just.width = 32;
  const Labels got =
      classify(open_session(model_, 2), {pixels, image_of(paths_[0]), just}, &options);
  EXPECT_EQ(got.results[0].status, CONVMIXER_LIMIT_EXCEEDED);
  EXPECT_EQ(got.results[1].status, CONVMIXER_OK) << got.results[1].error;
  EXPECT_EQ(got.results[2].status, CONVMIXER_OK) << got.results[2].error;
}

TEST_F(Pipeline, RowsMustLieInMemory) {
  const std::vector<std::uint8_t> bytes(8 * 2 * 3);
  convmixer_image pixels{};
  pixels.pixels = bytes.data();
  pixels.width = 8;
  pixels.height = 2;
  pixels.stride = SIZE_MAX / 2;
  const Labels got = classify(open_session(model_, 1), {pixels});
  EXPECT_EQ(got.results[0].status, CONVMIXER_INVALID_ARGUMENT);
  EXPECT_NE(std::string(got.results[0].error).find("stride"), std::string::npos)
      << got.results[0].error;
}

// The file has a size but no blocks, and is not read.
TEST_F(Pipeline, RefusesHugeFiles) {
  const TemporaryFolder folder;
  const std::string path = folder.path / "huge.jpg";
  std::ofstream(path).close();
  std::filesystem::resize_file(path, (std::uintmax_t{1} << 30) + 1);
  const Labels got = classify(open_session(model_, 1), {image_of(path)});
  EXPECT_EQ(got.results[0].status, CONVMIXER_LIMIT_EXCEEDED);
  EXPECT_EQ(got.results[0].error, path + ": expected at most 1073741824 bytes, found 1073741825");
}

TEST_F(Pipeline, ChildAfterFork) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "no fork() under ThreadSanitizer";
#endif
  const SessionHandle session = open_session(model_, 2, 2);
  std::vector<convmixer_image> images;
  for (const std::string& path : paths_) images.push_back(image_of(path));
  const Labels want = classify(session, images);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    int wrong = 1;
    try {
      const Labels got = classify(session, images);
      wrong = 0;
      for (std::size_t i = 0; i < want.predictions.size(); ++i) {
        wrong += !same(got.predictions[i], want.predictions[i]);
      }
    } catch (...) {
    }
    _exit(wrong);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

// The bundled model with other values in its head's bias, where the head's weights are zero: the
// logits are that bias.
ModelHandle model_with_logits(const std::vector<float>& logits) {
  std::vector<std::uint8_t> bytes = read_file(kBundledModel);
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const auto json = nlohmann::json::parse(bytes.begin() + 8,
                                          bytes.begin() + 8 + static_cast<std::ptrdiff_t>(header));
  const auto range = [&](const char* name) {
    const auto offsets = json.at(name).at("data_offsets");
    return std::pair(bytes.data() + 8 + header + offsets.at(0).get<std::size_t>(),
                     offsets.at(1).get<std::size_t>() - offsets.at(0).get<std::size_t>());
  };
  std::memset(range("head.weight").first, 0, range("head.weight").second);
  if (range("head.bias").second != logits.size() * sizeof(float)) throw std::logic_error("size");
  std::memcpy(range("head.bias").first, logits.data(), logits.size() * sizeof(float));
  return open_model(bytes);
}

TEST_F(Pipeline, EqualClassesComeByIndex) {
  const ModelHandle model = model_with_logits({1, 2, 0, 2, 1, 2, 0, 0, 1, 0});
  const Labels got = classify(open_session(model, 1), {image_of(paths_[0])}, nullptr, kClasses);
  const std::vector<int> want{1, 3, 5, 0, 4, 8, 2, 6, 7, 9};
  for (std::size_t k = 0; k < kClasses; ++k) EXPECT_EQ(got.predictions[k].index, want[k]);
}

TEST_F(Pipeline, NanLogitGivesNanProbabilities) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const ModelHandle model = model_with_logits({1, nan, 0, 2, 1, 3, nan, 0, 1, 0});
  const Labels got = classify(open_session(model, 1), {image_of(paths_[0])}, nullptr, kClasses);
  const std::vector<int> want{5, 3, 0, 4, 8, 2, 7, 9, 1, 6};
  EXPECT_EQ(got.results[0].status, CONVMIXER_OK);
  for (std::size_t k = 0; k < kClasses; ++k) {
    EXPECT_EQ(got.predictions[k].index, want[k]);
    EXPECT_TRUE(std::isnan(got.predictions[k].probability));
  }
}

}  // namespace
}  // namespace convmixer::test
