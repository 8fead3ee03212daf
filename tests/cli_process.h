// SPDX-License-Identifier: Apache-2.0
// The command as a person starts it: a process, its arguments, what it prints and how it ends.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

extern char** environ;

namespace convmixer::test {

namespace fs = std::filesystem;

inline const std::string kShare = CONVMIXER_SHARE_DIR;
inline const std::string kData = CONVMIXER_TEST_DATA;

inline std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary)
      .write(text.data(), static_cast<std::streamsize>(text.size()));
}

// Of a .npy of float32 or float64.
inline std::vector<double> read_values(const fs::path& path) {
  const std::string bytes = read_text(path);
  const std::size_t start =
      10 + static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
  const bool doubles = bytes.find("<f8") < start;
  std::vector<double> values;
  for (std::size_t at = start; at < bytes.size(); at += doubles ? 8 : 4) {
    float f = 0;
    double d = 0;
    std::memcpy(doubles ? static_cast<void*>(&d) : &f, bytes.data() + at, doubles ? 8 : 4);
    values.push_back(doubles ? d : static_cast<double>(f));
  }
  return values;
}

class Cli : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "convmixer_cli_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder = name;
  }
  void TearDown() override { fs::remove_all(folder); }

  // Runs the command; out, err and code hold what came of it. `stdout_path` replaces the captured
  // output.
  void run(const std::vector<std::string>& arguments,
           const std::vector<std::string>& extra_environment = {},
           const char* stdout_path = nullptr) {
    std::vector<std::string> all(arguments);
    all.insert(all.begin(), CONVMIXER_COMMAND);
    run_program(CONVMIXER_COMMAND, all, extra_environment, stdout_path);
  }

  // The same of any program; arguments[0] is its name.
  void run_program(const std::string& program, const std::vector<std::string>& arguments,
                   const std::vector<std::string>& extra_environment = {},
                   const char* stdout_path = nullptr) {
    const std::string out_path =
        stdout_path != nullptr ? stdout_path : (folder / "stdout").string();
    const pid_t pid = start_program(program, arguments, extra_environment, out_path,
                                    (folder / "stderr").string());
    int status = 0;
    struct rusage usage {};
    ASSERT_EQ(::wait4(pid, &status, 0, &usage), pid);
    ASSERT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
    code = WEXITSTATUS(status);
    peak_kib = usage.ru_maxrss;
    out = stdout_path != nullptr ? "" : read_text(out_path);
    err = read_text(folder / "stderr");
  }

  // Starts the command and does not wait for it.
  pid_t start(std::vector<std::string> arguments, const std::vector<std::string>& extra_environment,
              const std::string& out_path, const std::string& err_path) {
    arguments.insert(arguments.begin(), CONVMIXER_COMMAND);
    return start_program(CONVMIXER_COMMAND, std::move(arguments), extra_environment, out_path,
                         err_path);
  }

  pid_t start_program(const std::string& program, std::vector<std::string> arguments,
                      const std::vector<std::string>& extra_environment,
                      const std::string& out_path, const std::string& err_path) {
    std::vector<char*> argv, env;
    for (std::string& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    std::vector<std::string> variables(extra_environment);
    for (char** e = environ; *e != nullptr; ++e) {
      if (std::strncmp(*e, "CONVMIXER_", 10) != 0) variables.emplace_back(*e);
    }
    for (std::string& v : variables) env.push_back(v.data());
    env.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, out_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0644);
    posix_spawn_file_actions_addopen(&actions, 2, err_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0644);
    pid_t pid = 0;
    EXPECT_EQ(::posix_spawnp(&pid, program.c_str(), &actions, nullptr, argv.data(), env.data()), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }

  // One sentence on stderr that holds all the words, and nothing on stdout.
  void expect_error(int want_code, const std::vector<std::string>& words) {
    EXPECT_EQ(code, want_code) << err;
    EXPECT_EQ(out, "");
    EXPECT_EQ(err.rfind("convmixer: ", 0), 0u) << err;
    for (const std::string& word : words)
      EXPECT_NE(err.find(word), std::string::npos) << word << " in: " << err;
  }

  fs::path folder;
  std::string out, err;
  int code = -1;
  long peak_kib = 0;  // the most memory that was resident
};

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace convmixer::test
