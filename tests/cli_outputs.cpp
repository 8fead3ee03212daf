// SPDX-License-Identifier: Apache-2.0
// What a command writes: never over what it reads, nothing left behind by one that is killed, and
// what can be told is told where one of several places cannot be written.
#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <vector>

#include "cli_process.h"

namespace convmixer::test {
namespace {

class Outputs : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    fs::copy(kShare + "/images/cat_0000.jpg", path("cat.jpg"));
    write_text(path("list.txt"), "cat.jpg cat\n");
    fs::copy(kData + "/tiny/gelu_32/timm.safetensors", path("m.safetensors"));
    fs::copy(kData + "/tiny/gelu_32/input.npy", path("x.npy"));
    fs::create_symlink("x.npy", path("link.npy"));
    fs::create_directory(path("hub"));
    fs::copy(path("m.safetensors"), path("hub/model.safetensors"));
    write_text(path("hub/config.json"), "{}");
  }
  std::string path(const std::string& name) const { return (folder / name).string(); }

  // With the command's arguments; an option's value that is a name here becomes its path.
  void expect_refused(std::vector<std::string> arguments, const std::string& option,
                      const std::string& other) {
    for (std::string& argument : arguments) {
      if (argument[0] != '-' && fs::exists(fs::path(path(argument)).parent_path()) &&
          argument.find('.') != std::string::npos) {
        argument = path(argument);
      }
    }
    run(arguments);
    expect_error(2, {option + ": expected another file than " + other});
  }
};

TEST_F(Outputs, AreNotWhatIsRead) {
  const std::string model = read_text(path("m.safetensors")), input = read_text(path("x.npy")),
                    image = read_text(path("cat.jpg"));
  expect_refused({"transform", "cat.jpg", "--output", "./cat.jpg"}, "--output", "IMAGE");
  for (const char* option : {"--output", "--report", "--predictions"}) {
    expect_refused({"eval", "--images", "list.txt", option, "list.txt"}, option, "--images");
    expect_refused(
        {"eval", "--model", "m.safetensors", "--images", "list.txt", option, "m.safetensors"},
        option, "--model");
  }
  expect_refused({"compare", "--precision", "bf16", "--images", "list.txt", "--output", "list.txt"},
                 "--output", "--images");
  for (const char* name : {"x.npy", "link.npy"}) {
    expect_refused({"run", "--model", "m.safetensors", "--input", "x.npy", "--output", name},
                   "--output", "--input");
  }
  expect_refused({"run", "--model", "m.safetensors", "--input", "x.npy", "--output", "y.npy",
                  "--features", "m.safetensors"},
                 "--features", "--model");
  expect_refused({"convert", "--model", "hub/.", "--output", "hub/config.json"}, "--output",
                 "--model");
  expect_refused({"calibrate", "--images", "cat.jpg", "--output", "cat.jpg"}, "--output",
                 "--images");
  EXPECT_EQ(read_text(path("m.safetensors")), model);
  EXPECT_EQ(read_text(path("x.npy")), input);
  EXPECT_EQ(read_text(path("cat.jpg")), image);
  EXPECT_EQ(read_text(path("list.txt")), "cat.jpg cat\n");
  EXPECT_EQ(read_text(path("hub/config.json")), "{}");
}

// However they are spelled, and before they are there.
TEST_F(Outputs, AreTwoFilesWhereTheyAreTwo) {
  expect_refused({"run", "--model", "m.safetensors", "--input", "x.npy", "--output", "y.npy",
                  "--features", "./y.npy"},
                 "--features", "--output");
  expect_refused({"eval", "--images", "list.txt", "--output", "r.x", "--report", "hub/../r.x"},
                 "--report", "--output");
  run({"eval", "--images", path("list.txt"), "--output", "/dev/null", "--report", "/dev/null"});
  EXPECT_EQ(code, 0) << err;
}

TEST_F(Outputs, AreGivenAsFarAsTheyCanBeWritten) {
  run({"eval", "--images", path("list.txt"), "--output", "/dev/full", "--report", path("r.html")});
  EXPECT_EQ(code, 1);
  EXPECT_NE(err.find("/dev/full: cannot be written"), std::string::npos) << err;
  EXPECT_NE(out.find("top-1"), std::string::npos) << out;
  EXPECT_NE(read_text(path("r.html")).find("</html>"), std::string::npos);
  run({"compare", "--precision", "bf16", "--isa", "portable", "--images", path("list.txt"),
       "--output", "/dev/full"});
  EXPECT_EQ(code, 1);
  EXPECT_NE(err.find("/dev/full: cannot be written"), std::string::npos) << err;
  EXPECT_NE(out.find("equal"), std::string::npos) << out;
  run({"eval", "--images", path("list.txt"), "--output", path("r.json")}, {}, "/dev/full");
  EXPECT_EQ(code, 1);
  EXPECT_EQ(read_text(path("r.json")).front(), '{');
}

// The list is a pipe: once it is open the outputs have been made, and nobody writes into it.
TEST_F(Outputs, LeaveNothingBehindWhenKilled) {
  const std::string place = path("place"), pipe = path("pipe");
  fs::create_directory(place);
  const int without_name = ::open(place.c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
  if (without_name < 0) GTEST_SKIP() << "this file system has no files without a name";
  ::close(without_name);
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const pid_t pid = start({"eval", "--images", pipe, "--output", place + "/o.json", "--report",
                           place + "/r.html", "--predictions", place + "/p.csv"},
                          {}, path("stdout"), path("stderr"));
  const int list = ::open(pipe.c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_GE(list, 0);
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ::close(list);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(fs::is_empty(place)) << fs::directory_iterator(place)->path();
}

// As where a variable of the shell is not set.
TEST_F(Outputs, AreNotForgottenWhereTheirNameIsEmpty) {
  for (const char* option : {"--model", "--isa", "--output", "--report", "--predictions"}) {
    run({"eval", "--images", path("list.txt"), option, ""});
    expect_error(2, {option, "expected a value, found \"\""});
  }
}

}  // namespace
}  // namespace convmixer::test
