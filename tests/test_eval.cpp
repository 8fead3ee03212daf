// SPDX-License-Identifier: Apache-2.0
// convmixer eval: its numbers against PyTorch's logits, broken images, progress, wrong usage.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cmath>

#include "check.h"
#include "eval_command.h"

namespace convmixer::test {
namespace {

constexpr std::size_t kImages = 200, kClasses = 10;

// What data/cifar's list should give, by PyTorch's logits in double.
struct Expected {
  std::size_t top1 = 0, top2 = 0, top5 = 0;
  double loss = 0;
};

Expected expected() {
  const Npy logits = read_npy(kCifar + "/logits.npy");
  Expected want;
  for (std::size_t i = 0; i < kImages; ++i) {
    const auto* const row = logits.values.data() + i * kClasses;
    const std::size_t label = i / (kImages / kClasses);  // 20 of each class, in order
    std::size_t before = 0;
    double sum = 0;
    for (std::size_t c = 0; c < kClasses; ++c) {
      before += row[c] > row[label];
      sum += std::exp(static_cast<double>(row[c]));
    }
    want.top1 += before < 1;
    want.top2 += before < 2;
    want.top5 += before < 5;
    want.loss += (std::log(sum) - static_cast<double>(row[label])) / kImages;
  }
  return want;
}

TEST_F(Eval, GivesPyTorchsCounts) {
  const Expected want = expected();
  const nlohmann::json report = eval({"--images", kList, "--top", "5,2,1"});
  EXPECT_EQ(report["images"], kImages);
  EXPECT_EQ(report["failed"], 0);
  EXPECT_EQ(report["top1_correct"], want.top1);
  EXPECT_EQ(report["top2_correct"], want.top2);
  EXPECT_EQ(report["top5_correct"], want.top5);
  EXPECT_DOUBLE_EQ(report["top1"], static_cast<double>(want.top1) / kImages);
  EXPECT_NEAR(report["loss"], want.loss, 1e-5);
  std::size_t images = 0, right = 0;
  for (const nlohmann::json& c : report["classes"]) {
    EXPECT_EQ(c["images"], 20);
    images += c["images"].get<std::size_t>();
    right += c["correct"].get<std::size_t>();
  }
  EXPECT_EQ(images, kImages);
  EXPECT_EQ(right, want.top1);
  std::size_t wrong = 0;
  for (const nlohmann::json& pair : report["confused"]) wrong += pair["images"].get<std::size_t>();
  EXPECT_LE(wrong, kImages - want.top1);
  EXPECT_GE(wrong, 20u);
  EXPECT_GE(report["confused"][0]["images"], report["confused"][1]["images"]);
}

// Every number, the last bit of the loss too.
TEST_F(Eval, DoesNotDependOnBatchThreadsOrForm) {
  const std::string root = (folder / "cifar").string();
  for (const std::string& line : lines_of(fifty_images())) {
    const std::string name = "/" + line.substr(0, line.find(' '));
    fs::create_directories(fs::path(root + name).parent_path());
    fs::copy_file(kCifar + name, root + name);
  }
  const std::string images = list(fifty_images());
  nlohmann::json want = eval({"--images", images, "--root", root, "--threads", "1"});
  EXPECT_EQ(want["images"], 50);
  for (const char* batch : {"1", "7", "32"}) {  // 32: a whole chunk and another
    for (const char* threads : {"1", "2", "3"}) {
      EXPECT_EQ(eval({"--images", images, "--root", root, "--batch", batch, "--threads", threads}),
                want)
          << batch << " " << threads;
    }
  }
  nlohmann::json folders = eval({"--images", root});
  EXPECT_EQ(folders["classes_by"], "labels");
  for (const char* key : {"classes_by", "images_from"}) {
    want.erase(key);
    folders.erase(key);
  }
  EXPECT_EQ(folders, want);
}

// The same best class as classify, and its probability.
TEST_F(Eval, AgreesWithClassify) {
  const std::string csv = (folder / "p.csv").string();
  run({"eval", "--images", kList, "--predictions", csv});
  ASSERT_EQ(code, 0) << err;
  const std::vector<std::string> rows = lines_of(read_text(csv));
  ASSERT_EQ(rows.size(), kImages + 2);
  std::vector<std::string> arguments = {"classify", "--json", "--top", "1"};
  for (std::size_t i = 0; i < kImages; ++i) {
    arguments.push_back(kCifar + "/" + rows[i + 2].substr(0, rows[i + 2].find(',')));
  }
  run(arguments);
  ASSERT_EQ(code, 0) << err;
  const std::vector<std::string> lines = lines_of(out);
  ASSERT_EQ(lines.size(), kImages);
  for (std::size_t i = 0; i < kImages; ++i) {
    const nlohmann::json best = nlohmann::json::parse(lines[i])["top"][0];
    int label = -1, predicted = -1;
    double probability = 0;
    const std::string& row = rows[i + 2];
    ASSERT_EQ(
        std::sscanf(row.c_str() + row.find(','), ",%d,%d,%lf,", &label, &predicted, &probability),
        3);
    EXPECT_EQ(predicted, best["index"]) << row;
    EXPECT_EQ(static_cast<float>(probability), best["probability"].get<float>()) << row;
  }
}

TEST_F(Eval, PrintsAText) {
  const Expected want = expected();
  const std::string json = (folder / "out.json").string();
  run({"eval", "--images", kList, "--output", json});
  EXPECT_EQ(code, 0) << err;
  EXPECT_EQ(err, "");
  for (const std::string& part : {"top-1       83.00 %, " + std::to_string(want.top1),
                                  std::string("top-5 "), std::string("loss        0.57468"),
                                  std::string("images/s"), std::string("classes by the list"),
                                  std::string("\nautomobile                          20 "),
                                  std::string("3  dog taken for cat (15.0 % of them)")}) {
    EXPECT_NE(out.find(part), std::string::npos) << part << " in:\n" << out;
  }
  EXPECT_EQ(nlohmann::json::parse(read_text(json))["top1_correct"], want.top1);
}

TEST_F(Eval, CountsBrokenImagesAndSkipsThem) {
  write_text(folder / "text.jpg", "no image");
  const std::string cat = kCifar + "/cat/0000.jpg 3\n";
  const std::string broken = list(cat + "text.jpg 3\n/no/such.jpg 4\n" + cat + "/no/such.jpg 4\n");
  const nlohmann::json report = eval({"--images", broken});
  EXPECT_EQ(report["images"], 2);
  EXPECT_EQ(report["failed"], 3);
  ASSERT_EQ(report["failures"].size(), 3u);
  EXPECT_EQ(report["failures"][0]["file"], "text.jpg");
  EXPECT_EQ(report["failures"][0]["status"], "format_error");
  EXPECT_EQ(report["failures"][2]["status"], "io_error");
  EXPECT_EQ(lines_of(err).size(), 3u) << err;
  EXPECT_NE(err.find("text.jpg"), std::string::npos) << err;
  EXPECT_EQ(report["loss"], eval({"--images", list(cat + cat, "good.txt")})["loss"]);
  run({"eval", "--images", broken, "--strict"});
  expect_error(1, {"text.jpg"});
  EXPECT_EQ(lines_of(err).size(), 1u) << err;
  run({"eval", "--images", list("/no/such.jpg 4\n", "none.txt"), "--output",
       (folder / "out.json").string()});
  EXPECT_EQ(code, 1);
  EXPECT_NE(err.find("none of the 1 images"), std::string::npos) << err;
  EXPECT_FALSE(fs::exists(folder / "out.json"));
}

TEST_F(Eval, RefusesWrongUsage) {
  run({"eval"});
  expect_error(2, {"--images"});
  run({"eval", "--images", "/no/such.txt"});
  expect_error(1, {"/no/such.txt", "cannot be read"});
  for (const char* top : {"0", "1,0", "x", "1,,5"}) {
    run({"eval", "--images", kList, "--top", top});
    expect_error(2, {"--top"});
  }
  run({"eval", "--images", kList, "--top", "11"});
  expect_error(2, {"--top", "at most 10", "found 11"});
  run({"eval", "--images", kCifar, "--root", kCifar});
  expect_error(2, {"--root", "list"});
  run({"eval", "--images", kList, "--resume"});
  expect_error(2, {"--resume", "--predictions"});
  run({"eval", "--images", kList, "--report", "/no/such/r.html"});
  expect_error(1, {"/no/such/r.html", "cannot be written"});
  const std::string same = (folder / "same").string();
  run({"eval", "--images", kList, "--report", same, "--predictions", same});
  expect_error(2, {"--report", "another file than --predictions"});
  EXPECT_FALSE(fs::exists(same));
}

// A terminal on stderr shows the bar; the results on stdout are the same.
TEST_F(Eval, ShowsProgressOnATerminal) {
  const int terminal = open_terminal();
  ASSERT_GE(terminal, 0);
  const pid_t pid = start({"eval", "--images", kList, "--batch", "4", "--json"}, {},
                          (folder / "stdout").string(), ::ptsname(terminal));
  const std::string shown = read_terminal(terminal);
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0) << shown;
  for (const char* text :
       {"[###", "...] ", "/200  ", "images/s", "top-1 ", "top-5 ", "0:0", " left"}) {
    EXPECT_NE(shown.find(text), std::string::npos) << text << " in: " << shown;
  }
  EXPECT_EQ(nlohmann::json::parse(read_text(folder / "stdout"))["images"], kImages);
}

// The list's own text and 16 bytes an image; not pixels, and no sentence for each failure.
TEST_F(Eval, TakesLittleMemoryForALongList) {
  const std::string image = kCifar + "/cat/0000.jpg 3\n";
  const auto lines = [&](int count) {
    std::string text = image;
    for (int i = 0; i < count; ++i)
      text += "/no/such/folder/of/pictures/" + std::to_string(i) + ".jpg 3\n";
    return text;
  };
  eval({"--images", list(lines(5000), "short.txt"), "--threads", "1"});
  [[maybe_unused]] const long before = peak_kib;
  const nlohmann::json report = eval({"--images", list(lines(100000)), "--threads", "1"});
  EXPECT_EQ(report["failed"], 100000);
  EXPECT_EQ(report["failures"].size(), 100u);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(peak_kib - before, 24 * 1024) << before;
#endif
}

}  // namespace
}  // namespace convmixer::test
