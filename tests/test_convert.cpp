// SPDX-License-Identifier: Apache-2.0
// convmixer_convert: what is written computes the same, says everything, and appears whole or not
// at all.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/checkpoint_file.h"
#include "tests/handles.h"
#include "tests/temporary_folder.h"

namespace convmixer::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const std::string kTiny = std::string(CONVMIXER_TEST_DATA) + "/tiny/";

ModelHandle open_path(const std::string& path, const convmixer_model_options* options = nullptr) {
  convmixer_model* model = nullptr;
  succeed(convmixer_model_open(path.c_str(), options, &model));
  return ModelHandle(model);
}

convmixer_model_info info_of(const ModelHandle& model) {
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  succeed(convmixer_model_get_info(model.get(), &info));
  return info;
}

// Logits of two images of numbers between −2 and 2.
std::vector<float> logits_of(const ModelHandle& model) {
  const convmixer_model_info info = info_of(model);
  std::vector<float> src(std::size_t{6} * static_cast<std::size_t>(info.image_height) *
                         static_cast<std::size_t>(info.image_width));
  for (std::size_t i = 0; i < src.size(); ++i) {
    src[i] = static_cast<float>((i * 2654435761u) >> 16 & 255) / 64 - 2;
  }
  std::vector<float> logits(2 * static_cast<std::size_t>(info.num_classes));
  succeed(convmixer_run_f32(open_session(model, 1).get(), src.data(), 2, logits.data(), nullptr));
  return logits;
}

struct Header {
  Json json;
  std::size_t data_begin;
};

Header header_of(const std::vector<std::uint8_t>& file) {
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  const auto begin = file.begin() + sizeof length;
  return {Json::parse(begin, begin + static_cast<std::ptrdiff_t>(length)), sizeof length + length};
}

Json metadata_of(const std::string& path) {
  return Json::parse(
      header_of(read_file(path)).json["__metadata__"]["convmixer"].get<std::string>());
}

class Convert : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder.path / name).string(); }
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder.path / name, std::ios::binary) << bytes;
    return path(name);
  }
  // Nothing but `names` is in the folder.
  void expect_files(std::vector<std::string> names) const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder.path)) {
      found.push_back(entry.path().filename().string());
    }
    std::sort(found.begin(), found.end());
    std::sort(names.begin(), names.end());
    EXPECT_EQ(found, names);
  }
  static void expect_refused(const std::string& src, const std::string& dst,
                             const convmixer_convert_options* options, convmixer_status want,
                             const std::string& part) {
    convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
    EXPECT_EQ(convmixer_convert(src.c_str(), dst.c_str(), options, &info), want)
        << convmixer_last_error();
    EXPECT_NE(std::string(convmixer_last_error()).find(part), std::string::npos)
        << "expected '" << part << "' in: " << convmixer_last_error();
    EXPECT_EQ(info.dim, 0);
  }

  const TemporaryFolder folder;
};

TEST_F(Convert, TinyModelsGiveTheSameBits) {
  for (const char* name : {"gelu_32", "odd_20", "relu_48"}) {
    SCOPED_TRACE(name);
    const Json want = Json::parse(std::ifstream(kTiny + name + "/config.json"));
    convmixer_convert_options options = CONVMIXER_CONVERT_OPTIONS_INIT;
    options.activation =
        want["activation"] == "relu" ? CONVMIXER_ACTIVATION_RELU : CONVMIXER_ACTIVATION_GELU;
    options.image_height = options.image_width = want["image_size"];
    convmixer_model_options stated = CONVMIXER_MODEL_OPTIONS_INIT;
    stated.activation = options.activation;
    stated.image_height = stated.image_width = options.image_height;
    const std::string src = kTiny + name + "/timm.safetensors", dst = path("model.safetensors");
    convmixer_model_info written = CONVMIXER_MODEL_INFO_INIT;
    succeed(convmixer_convert(src.c_str(), dst.c_str(), &options, &written));
    const ModelHandle before = open_path(src, &stated), after = open_path(dst);
    EXPECT_EQ(logits_of(before), logits_of(after));
    convmixer_model_info info = info_of(after);
    EXPECT_EQ(info.activation, options.activation);
    EXPECT_EQ(written.num_macs, 0u);
    EXPECT_EQ(written.isa, nullptr);
    info.num_macs = info.weight_bytes = 0;
    info.isa = nullptr;
    info.strassen_levels = 0;
    info.precision = CONVMIXER_PRECISION_DEFAULT;
    EXPECT_EQ(std::memcmp(&written, &info, sizeof info), 0);
    expect_files({"model.safetensors"});
  }
}

TEST_F(Convert, TheSameModelGivesTheSameBytes) {
  CheckpointFile file = random_convmixer(8, 11, 3, 2, 4);  // blocks.10 sorts before blocks.2
  file.metadata["convmixer"] =
      R"({"mean": [0.1, 0.2, 0.3], "zebra": 1.1, "ant": {"b": [1e300, -7]}, "labels": []})";
  file.metadata["format"] = "pt";
  const std::string src = write("src", file.bytes(3));  // not aligned
  for (const auto& [from, to] : {std::pair("src", "1"), {"src", "2"}, {"1", "3"}, {"3", "4"}}) {
    succeed(convmixer_convert(path(from).c_str(), path(to).c_str(), nullptr, nullptr));
  }
  const std::vector<std::uint8_t> want = read_file(path("1"));
  for (const char* again : {"2", "3", "4"}) EXPECT_TRUE(read_file(path(again)) == want) << again;
  EXPECT_EQ(logits_of(open_path(src)), logits_of(open_path(path("4"))));
}

// F16 and BF16 keep their bytes; F64 becomes the floats that are computed with.
TEST_F(Convert, TypesAlignmentAndWhatIsLeftOut) {
  CheckpointFile file = random_convmixer(5, 2, 3, 2, 3);  // odd sizes
  const auto stored = [&](const std::string& name, const std::string& dtype, std::size_t size) {
    FileTensor& tensor = file.tensors.at(name);
    std::string bytes;
    for (std::size_t i = 0; i < tensor.bytes.size() / sizeof(float); ++i) {
      const double wide = 0.1 * static_cast<double>(i);
      const auto half = static_cast<std::uint16_t>(0x3c00 + i);  // about 1 in F16, small in BF16
      bytes.append(
          size == 8 ? reinterpret_cast<const char*>(&wide) : reinterpret_cast<const char*>(&half),
          size);
    }
    tensor.dtype = dtype;
    tensor.bytes = bytes;
  };
  stored("blocks.0.1.weight", "F16", 2);
  stored("blocks.0.1.bias", "F16", 2);
  stored("blocks.1.0.fn.0.bias", "BF16", 2);  // 70 bytes in all: no F32 may follow them
  stored("head.bias", "F64", 8);
  const std::string src = write("src.bin", file.bytes()), dst = path("dst.safetensors");
  succeed(convmixer_convert(src.c_str(), dst.c_str(), nullptr, nullptr));
  EXPECT_EQ(logits_of(open_path(src)), logits_of(open_path(dst)));

  const std::vector<std::uint8_t> bytes = read_file(dst);
  const Header header = header_of(bytes);
  EXPECT_EQ(header.data_begin % 64, 0u);
  EXPECT_EQ(header.json.size(), 1 + file.tensors.size() - 5);  // five norms have a counter each
  for (const auto& [name, entry] : header.json.items()) {
    if (name == "__metadata__") continue;
    EXPECT_EQ(name.find("num_batches_tracked"), std::string::npos);
    const FileTensor& tensor = file.tensors.at(name);
    const std::string want = tensor.dtype == "F64" ? "F32" : tensor.dtype;
    EXPECT_EQ(entry["dtype"], want) << name;
    EXPECT_EQ(entry["shape"], tensor.shape) << name;
    const std::size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    EXPECT_EQ(begin % (want == "F32" ? 4 : 2), 0u) << name;
    if (tensor.dtype == "F64") continue;
    const auto at = bytes.begin() + static_cast<std::ptrdiff_t>(header.data_begin + begin);
    EXPECT_TRUE(std::string(at, at + static_cast<std::ptrdiff_t>(end - begin)) == tensor.bytes)
        << name;
  }
}

TEST_F(Convert, MetadataSaysEverything) {
  CheckpointFile file = random_convmixer(8, 2, 3, 2, 4);
  file.metadata["convmixer"] = R"({"crop_pct": 0.5, "labels": ["a", "b", "c", "d"], "zebra": [1],
                                   "ant": null, "bn_eps": 0.25})";
  file.metadata["format"] = "pt";
  const std::string src = write("src", file.bytes()), dst = path("dst");
  const double mean[] = {0.1, 0.2, 0.3}, std[] = {1, 2, 0.1};
  const char* const labels[] = {
      "gr\xC3\xBC"
      "n",
      "a \"quoted\"\ttab", "", "same"};
  convmixer_convert_options options = CONVMIXER_CONVERT_OPTIONS_INIT;
  options.activation = CONVMIXER_ACTIVATION_RELU;
  options.image_height = 24;
  options.image_width = 36;
  options.mean = mean;
  options.std = std;
  options.bn_eps = 1e-3;
  options.interpolation = "bilinear";
  options.labels = labels;
  options.num_labels = 4;
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  succeed(convmixer_convert(src.c_str(), dst.c_str(), &options, &info));
  EXPECT_EQ(info.num_labels, 4);
  const Header header = header_of(read_file(dst));
  EXPECT_EQ(header.json["__metadata__"]["format"], "pt");
  EXPECT_EQ(header.json["__metadata__"]["convmixer"],
            R"({"architecture":"convmixer","dim":8,"depth":2,"kernel_size":3,"patch_size":2,)"
            R"("activation":"relu","num_classes":4,"input_size":[3,24,36],"mean":[0.1,0.2,0.3],)"
            R"("std":[1.0,2.0,0.1],"crop_pct":0.5,"interpolation":"bilinear","bn_eps":0.001,)"
            R"("labels":["grün","a \"quoted\"\ttab","","same"],"ant":null,"zebra":[1]})");
  const ModelHandle model = open_path(dst);
  const convmixer_model_info opened = info_of(model);
  EXPECT_EQ(opened.image_height, 24);
  EXPECT_EQ(opened.image_width, 36);
  EXPECT_EQ(opened.std[2], 0.1);
  EXPECT_EQ(opened.crop_pct, 0.5);
  EXPECT_EQ(opened.bn_eps, 1e-3);
  EXPECT_STREQ(opened.interpolation, "bilinear");
  for (int i = 0; i < 4; ++i) EXPECT_STREQ(convmixer_model_label(model.get(), i), labels[i]);
}

// Labels that are in a file were stated by somebody.
TEST_F(Convert, ImageNetsNamesAreKnownButNotWritten) {
  const std::string src = kTiny + "relu_48/timm.safetensors", dst = path("dst");
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  succeed(convmixer_convert(src.c_str(), dst.c_str(), nullptr, &info));
  EXPECT_EQ(info.num_labels, 1000);
  EXPECT_FALSE(metadata_of(dst).contains("labels"));
  const ModelHandle model = open_path(dst);
  EXPECT_STREQ(convmixer_model_label(model.get(), 0), "tench");
  EXPECT_STREQ(convmixer_model_label(model.get(), 999), "toilet tissue");
  EXPECT_STREQ(convmixer_model_label(model.get(), 134), "crane");
  EXPECT_STREQ(convmixer_model_label(model.get(), 517), "crane");
  EXPECT_STREQ(convmixer_imagenet_wordnet_id(134), "n02012849");
  EXPECT_STREQ(convmixer_imagenet_wordnet_id(517), "n03126707");

  std::ifstream rows(kShare + "/imagenet-classes.tsv");
  int index = 0;
  for (std::string row; std::getline(rows, row); ++index) {
    EXPECT_EQ(row, std::string(convmixer_imagenet_wordnet_id(index)) + "\t" +
                       convmixer_model_label(model.get(), index));
  }
  EXPECT_EQ(index, 1000);

  const std::vector<const char*> names(1000, "x");
  convmixer_convert_options options = CONVMIXER_CONVERT_OPTIONS_INIT;
  options.labels = names.data();
  options.num_labels = names.size();
  succeed(convmixer_convert(src.c_str(), dst.c_str(), &options, &info));
  EXPECT_EQ(metadata_of(dst)["labels"].size(), 1000u);
  EXPECT_STREQ(convmixer_model_label(open_path(dst).get(), 0), "x");
}

TEST_F(Convert, FoldersOfHuggingFaceBecomeAFile) {
  fs::create_directory(folder.path / "hub");
  const std::string src = path("hub"), dst = path("dst");
  write("hub/model.safetensors", random_convmixer(8, 2, 3, 2, 2).bytes());
  write("hub/config.json", R"({"architecture": "convmixer_768_32", "label_names": ["no", "yes"],
                               "pretrained_cfg": {"input_size": [3, 12, 10], "crop_pct": 1}})");
  succeed(convmixer_convert(src.c_str(), dst.c_str(), nullptr, nullptr));
  const Json metadata = metadata_of(dst);
  EXPECT_EQ(metadata["activation"], "relu");
  EXPECT_EQ(metadata["input_size"], Json({3, 12, 10}));
  EXPECT_EQ(metadata["labels"], Json({"no", "yes"}));
  EXPECT_EQ(logits_of(open_path(src)), logits_of(open_path(dst)));
  expect_refused(src, path("hub/model.safetensors"), nullptr, CONVMIXER_INVALID_ARGUMENT,
                 "expected another file");
}

TEST_F(Convert, BadOptionsAreRefused) {
  const std::string src = write("src", random_convmixer(8, 2, 3, 2, 2).bytes()), dst = path("dst");
  const convmixer_convert_options init = CONVMIXER_CONVERT_OPTIONS_INIT;
  const auto refused = [&](const convmixer_convert_options& options, const std::string& part) {
    expect_refused(src, dst, &options, CONVMIXER_INVALID_ARGUMENT, part);
  };
  const char *const good[] = {"a", "b", "c"}, *const no_utf8[] = {"a", "caf\xe9"},
                    *const null[] = {"a", nullptr};
  convmixer_convert_options options = init;
  options.labels = good;
  refused(options, "labels and num_labels");
  options.num_labels = 3;
  refused(options, "expected 2 labels, one a class, found 3");
  options.num_labels = 1000001;
  refused(options, "num_labels: expected at most 1000000");
  options.num_labels = 2;
  options.labels = no_utf8;
  refused(options, "expected UTF-8 as each label");
  options.labels = null;
  refused(options, "labels[1] is null");
  options.labels = nullptr;
  refused(options, "labels and num_labels");
  options = init;
  options.interpolation = "nearest";
  refused(options, "bicubic or bilinear as interpolation, found 'nearest'");
  options = init;
  options.image_height = 1;
  refused(options, "image_width");
  options.image_width = 1;
  refused(options, "at least one patch");
  options = init;
  options.crop_pct = 2;
  refused(options, "crop_pct");
  options = init;
  options.struct_size = 1;
  refused(options, "CONVMIXER_CONVERT_OPTIONS_INIT");
  expect_files({"src"});
}

TEST_F(Convert, NothingUnusableIsWritten) {
  CheckpointFile file = random_convmixer(8, 2, 3, 2, 2);
  file.tensors.erase("blocks.1.3.running_var");
  const std::string src = write("src", file.bytes());
  expect_refused(src, path("dst"), nullptr, CONVMIXER_FORMAT_ERROR, "running_var");
  expect_refused(path("none"), path("dst"), nullptr, CONVMIXER_IO_ERROR, "none");
  expect_refused(path(""), path("dst"), nullptr, CONVMIXER_IO_ERROR, "config.json");
  expect_files({"src"});
}

TEST_F(Convert, PlacesThatCannotBeWrittenAreRefused) {
  const std::string src = write("src", random_convmixer(8, 2, 3, 2, 2).bytes());
  const std::vector<std::uint8_t> before = read_file(src);
  expect_refused(src, src, nullptr, CONVMIXER_INVALID_ARGUMENT, "expected another file");
  fs::create_symlink("src", folder.path / "link");
  expect_refused(src, path("link"), nullptr, CONVMIXER_INVALID_ARGUMENT, "expected another file");
  fs::create_hard_link(src, folder.path / "hard");
  expect_refused(path("link"), path("hard"), nullptr, CONVMIXER_INVALID_ARGUMENT,
                 "expected another file");
  expect_refused(src, path(""), nullptr, CONVMIXER_IO_ERROR, "cannot be written: Is a directory");
  expect_refused(src, path("no/dst"), nullptr, CONVMIXER_IO_ERROR, path("no/dst"));
  expect_refused(src, "", nullptr, CONVMIXER_IO_ERROR, "cannot be written");
  expect_refused(src, "/dev/null", nullptr, CONVMIXER_INVALID_ARGUMENT, "regular file");
  EXPECT_EQ(read_file(src), before);
  expect_files({"src", "link", "hard"});
}

// A limit on the size of files is a disk that becomes full in the middle.
TEST_F(Convert, AFullDiskLeavesWhatWasThere) {
  const std::string src = write("src", random_convmixer(64, 2, 3, 2, 2).bytes());
  const std::string dst = write("dst", "what was there");
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit small = before;
  small.rlim_cur = 10000;  // behind the header, inside the tensors
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_refused(src, dst, nullptr, CONVMIXER_IO_ERROR, "cannot be written: File too large");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  const std::vector<std::uint8_t> kept = read_file(dst);
  EXPECT_EQ(std::string(kept.begin(), kept.end()), "what was there");
  expect_files({"src", "dst"});
  succeed(convmixer_convert(src.c_str(), dst.c_str(), nullptr, nullptr));
  EXPECT_EQ(logits_of(open_path(src)), logits_of(open_path(dst)));
}

}  // namespace
}  // namespace convmixer::test
