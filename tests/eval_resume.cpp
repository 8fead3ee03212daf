// SPDX-License-Identifier: Apache-2.0
// The file of predictions: what it holds, and that a run which was killed goes on to the same
// numbers.
#include <signal.h>
#include <sys/file.h>

#include "eval_command.h"

namespace convmixer::test {
namespace {

class Resume : public Eval {
 protected:
  void SetUp() override {
    Eval::SetUp();
    csv = (folder / "p.csv").string();
    // Every tenth is broken, and one name needs quotes.
    put_image("a, \"quoted\" name.jpg");
    write_text(folder / "broken.jpg", "no image");
    std::string text;
    for (int i = 0; i < 40; ++i) {
      const std::string number = std::to_string(10 + i % 10);
      if (i % 10 == 9) {
        text += "broken.jpg 3\n";
      } else if (i % 10 == 8) {
        text += "a, \"quoted\" name.jpg 3\n";
      } else {
        text +=
            kCifar + (i < 20 ? "/cat/00" : "/dog/00") + number + (i < 20 ? ".jpg 3\n" : ".jpg 5\n");
      }
    }
    images = list(text);
    want = eval({"--images", images});
  }

  nlohmann::json resume(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"--images", images, "--predictions", csv, "--resume"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return eval(arguments);
  }

  void refuse(const std::vector<std::string>& arguments, const std::vector<std::string>& words) {
    std::vector<std::string> all = {"eval", "--predictions", csv, "--resume"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const std::string before = read_text(csv);
    run(all);
    expect_error(1, words);
    EXPECT_EQ(read_text(csv), before) << "a file that is refused stays as it was";
  }

  std::string csv, images;
  nlohmann::json want;
};

TEST_F(Resume, HoldsARowAnImage) {
  EXPECT_EQ(eval({"--images", images, "--predictions", csv}), want);
  const std::vector<std::string> rows = lines_of(read_text(csv));
  ASSERT_EQ(rows.size(), 42u);
  EXPECT_EQ(rows[0].rfind("# convmixer eval {\"version\":\"", 0), 0u) << rows[0];
  EXPECT_EQ(rows[1], "path,label,prediction,probability,rank,loss,status,error");
  EXPECT_EQ(rows[2].rfind(kCifar + "/cat/0010.jpg,3,", 0), 0u) << rows[2];
  EXPECT_EQ(rows[2].substr(rows[2].size() - 4), ",ok,") << rows[2];
  EXPECT_EQ(rows[10].rfind("\"a, \"\"quoted\"\" name.jpg\",3,3,", 0), 0u) << rows[10];
  EXPECT_EQ(rows[11].rfind("broken.jpg,3,,,,,format_error,", 0), 0u) << rows[11];
}

// As a run that was killed leaves it: at every length that tears a row or the first lines.
TEST_F(Resume, GoesOnFromEveryPlace) {
  eval({"--images", images, "--predictions", csv});
  const std::string whole = read_text(csv);
  const std::size_t rows = whole.find("error\n") + 6;
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{30}, rows - 20, rows - 1,
                           rows, rows + 1, rows + 700, whole.find(",\"a, \"") + 4,
                           whole.find("\"a, \"") + 5, whole.size() - 1, whole.size()}) {
    write_text(csv, whole.substr(0, std::min(size, whole.size())));
    EXPECT_EQ(resume({"--batch", "3"}), want) << size;
    EXPECT_EQ(read_text(csv), whole) << size;
  }
  write_text(csv, whole + "a row that");  // longer than what is to come
  EXPECT_EQ(resume(), want);
  EXPECT_EQ(read_text(csv), whole);
  fs::remove(csv);
  EXPECT_EQ(resume(), want) << "without a file it begins one";
  EXPECT_EQ(read_text(csv), whole);
}

// It cannot end before it is killed, however fast it is: it tells of the first broken image, the
// tenth, through a pipe that is full. One image at first, then at most twice as many as before:
// some rows are written by then.
TEST_F(Resume, GoesOnAfterKill) {
  constexpr std::size_t kEnough = 5, kBroken = 9;
  const std::string pipe = (folder / "stderr_pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const int end = ::open(pipe.c_str(), O_RDWR | O_NONBLOCK);
  ASSERT_GE(end, 0);
  while (::write(end, "", 1) == 1) continue;
  const pid_t pid = start({"eval", "--images", images, "--batch", "1", "--predictions", csv}, {},
                          (folder / "stdout").string(), pipe);
  int status = 0;
  while (lines_of(read_text(csv)).size() < 2 + kEnough) {
    ASSERT_EQ(::waitpid(pid, &status, WNOHANG), 0) << "it ended before it could be killed";
    ::usleep(1000);
  }
  ::kill(pid, SIGKILL);
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFSIGNALED(status)) << "it was done before it could be killed";
  ::close(end);
  const std::size_t done = lines_of(read_text(csv)).size() - 2;
  EXPECT_LE(done, kBroken);
  EXPECT_EQ(resume(), want);
  EXPECT_EQ(nlohmann::json::parse(out)["continued_after"], done);
  EXPECT_EQ(lines_of(read_text(csv)).size(), 2u + 40u);
}

TEST_F(Resume, RefusesWhatChanged) {
  eval({"--images", images, "--predictions", csv});
  const std::string model = kShare + "/cifar10_256_8.safetensors";
  std::string changed = read_text(model);
  changed[changed.size() - 2] ^= 1;
  write_text(folder / "other.safetensors", changed);
  refuse({"--images", images, "--model", (folder / "other.safetensors").string()},
         {"p.csv", "another model"});
  const std::string text = read_text(images);
  refuse({"--images", list(text + kCifar + "/cat/0000.jpg 3\n", "longer.txt")}, {"another list"});
  refuse({"--images", list(std::string(text).replace(text.rfind(" 3"), 2, " 4"), "other.txt")},
         {"another list"});
  refuse({"--images", images, "--root", kCifar}, {"another list"});
  refuse({"--images", images, "--crop-pct", "0.9"}, {"another crop_pct, 1.0, and this is 0.9"});
  refuse({"--images", images, "--exif"}, {"another exif, false, and this is true"});
  refuse({"--images", images, "--mean", "0.5,0.5,0.5"}, {"another mean"});
  refuse({"--images", images, "--strassen", "off"}, {"another strassen"});
  // The same content elsewhere, and other tops, threads and batches, are no change.
  fs::copy_file(model, folder / "same.safetensors");
  EXPECT_EQ(resume({"--model", (folder / "same.safetensors").string()})["loss"], want["loss"]);
  EXPECT_EQ(resume({"--top", "3", "--threads", "1", "--batch", "2"})["loss"], want["loss"]);
}

TEST_F(Resume, RefusesOtherAndDamagedFiles) {
  eval({"--images", images, "--predictions", csv});
  const std::string whole = read_text(csv);
  run({"eval", "--images", images, "--predictions", csv});
  expect_error(1, {"p.csv", "exists", "--resume"});
  EXPECT_EQ(read_text(csv), whole);
  const std::size_t rows = whole.find("error\n") + 6, second = whole.find('\n', rows) + 1;
  const auto damaged = [&](const std::string& text, const std::string& part) {
    write_text(csv, text);
    refuse({"--images", images}, {"p.csv", "cannot be continued", part});
  };
  damaged("a list\nof things\n", "is no file of predictions");
  damaged("a list", "is no file of predictions");
  damaged("# convmixer eval {\"x\":\n", "is no file of predictions");
  damaged("# convmixer eval {}\n", "another version");
  damaged(whole.substr(0, second) + "1,2\n", "row 2 is damaged");
  damaged(whole.substr(0, second) + whole.substr(rows), "row 2 is not about image 2");
  damaged(whole + whole.substr(rows, second - rows), "row 41 is not about");
  std::string text = whole;
  text[text.find(",ok,")] = 'x';
  damaged(text, "row 1 is damaged");
  text = whole;
  damaged(text.replace(text.find(".jpg,3,3,"), 9, ".jpg,3,11,"), "row 1 is not about");
  text = whole;
  damaged(text.replace(text.find(".jpg,3,3,"), 9, ".jpg,3,-3,"), "row 1 is damaged");
}

TEST_F(Resume, RefusesAFileThatIsBeingWritten) {
  eval({"--images", images, "--predictions", csv});
  const int fd = ::open(csv.c_str(), O_RDWR);
  ASSERT_EQ(::flock(fd, LOCK_EX | LOCK_NB), 0);
  refuse({"--images", images}, {"p.csv", "another process is writing it"});
  ::close(fd);
  EXPECT_EQ(resume(), want);
}

TEST_F(Resume, StrictStopsBeforeTheRow) {
  run({"eval", "--images", images, "--predictions", csv, "--strict"});
  expect_error(1, {"broken.jpg"});
  EXPECT_EQ(lines_of(read_text(csv)).size(), 2u + 9u);
  // Once it is mended the run goes on.
  fs::copy_file(kCifar + "/cat/0001.jpg", folder / "broken.jpg",
                fs::copy_options::overwrite_existing);
  const nlohmann::json report = resume({"--strict"});
  EXPECT_EQ(report["images"], 40);
  EXPECT_EQ(report["failed"], 0);
}

TEST_F(Resume, WritesToWhatIsNoFile) {
  EXPECT_EQ(eval({"--images", images, "--predictions", "/dev/null"}), want);
  run({"eval", "--images", images, "--predictions", "/dev/full"});
  EXPECT_EQ(code, 1);
  EXPECT_NE(err.find("/dev/full: cannot be written"), std::string::npos) << err;
  run({"eval", "--images", images, "--predictions", "/dev/stdout"});
  EXPECT_EQ(code, 0);
  const std::vector<std::string> lines = lines_of(out);
  ASSERT_GT(lines.size(), 43u);
  EXPECT_EQ(lines[0].rfind("# convmixer eval", 0), 0u);
  EXPECT_EQ(lines[42].rfind("model ", 0), 0u) << lines[42];
  write_text(csv, "");  // as mktemp makes it
  EXPECT_EQ(eval({"--images", images, "--predictions", csv}), want);
}

}  // namespace
}  // namespace convmixer::test
