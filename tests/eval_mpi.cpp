// SPDX-License-Identifier: Apache-2.0
// convmixer eval under mpirun: the numbers of one process for any number of ranks, one bar, and no
// number where a rank fails. Skipped where convmixer-mpi was not built or mpirun is not installed.
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <map>

#include "eval_command.h"

namespace convmixer::test {
namespace {

class Mpi : public Eval {
 protected:
  void SetUp() override {
    Eval::SetUp();
    if (!fs::exists(fs::path(CONVMIXER_COMMAND).parent_path() / "convmixer-mpi")) {
      GTEST_SKIP() << "convmixer-mpi was not built";
    }
    if (std::system("command -v mpirun > /dev/null") != 0) GTEST_SKIP() << "mpirun is missing";
    whole = list(fifty_images());
    want = eval({"--images", whole, "--root", kCifar});
    want.erase("ranks");
  }

  // Open MPI wants to be told that root and more ranks than CPUs are meant (4.1 and 5.0 each in its
  // own words), and needs no network here. ASan would report what Open MPI does not free.
  const std::vector<std::string> kEnvironment = {
      "OMPI_ALLOW_RUN_AS_ROOT=1",
      "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
      "OMPI_MCA_btl=self,vader",
      "OMPI_MCA_rmaps_base_oversubscribe=1",
      "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe",
      "ASAN_OPTIONS=detect_leaks=0"};

  // For a shell, of arguments without quotes in them.
  static std::string eval_line(const std::vector<std::string>& arguments) {
    std::string line = std::string("exec '") + CONVMIXER_COMMAND + "' eval";
    for (const std::string& argument : arguments) line += " '" + argument + "'";
    return line;
  }

  // mpirun with `ranks` processes; the first of them may have other arguments. (A shell gives it
  // those: "mpirun -n 1 … : -n 1 …" crashes in Debian 13's Open MPI 5.0.7.)
  static std::vector<std::string> mpirun(int ranks, const std::vector<std::string>& arguments,
                                         const std::vector<std::string>& first = {}) {
    std::vector<std::string> all = {"mpirun", "-n", std::to_string(ranks)};
    if (first.empty()) {
      all.insert(all.end(), {CONVMIXER_COMMAND, "eval"});
      all.insert(all.end(), arguments.begin(), arguments.end());
      return all;
    }
    all.insert(all.end(), {"sh", "-c",
                           "test $OMPI_COMM_WORLD_RANK != 0 || " + eval_line(first) + "; " +
                               eval_line(arguments)});
    return all;
  }

  nlohmann::json eval_by(int ranks, std::vector<std::string> arguments) {
    arguments.emplace_back("--json");
    run_program("mpirun", mpirun(ranks, arguments), kEnvironment);
    EXPECT_EQ(code, 0) << err;
    if (code != 0) return {};
    nlohmann::json report = nlohmann::json::parse(out);
    EXPECT_EQ(report["ranks"], ranks);
    EXPECT_GE(report["threads"], ranks);
    for (const char* key :
         {"images_per_second", "seconds", "threads", "batch", "continued_after", "ranks"}) {
      report.erase(key);
    }
    return report;
  }

  void expect_failure(const std::vector<std::string>& command, int status,
                      const std::vector<std::string>& words) {
    run_program("mpirun", command, kEnvironment);
    EXPECT_EQ(code, status) << err;
    EXPECT_EQ(out, "") << "a number of a failed job";
    std::vector<std::string> ours;
    for (const std::string& line : lines_of(err)) {
      if (line.rfind("convmixer: ", 0) == 0) ours.push_back(line);
    }
    ASSERT_EQ(ours.size(), 1u) << err;
    for (const std::string& word : words) {
      EXPECT_NE(ours[0].find(word), std::string::npos) << word << " in: " << ours[0];
    }
  }

  // The processes that `parent` started, by rank.
  static std::map<int, pid_t> ranks_of(pid_t parent) {
    std::map<int, pid_t> ranks;
    const std::string process = std::to_string(parent);
    std::istringstream children(read_text("/proc/" + process + "/task/" + process + "/children"));
    for (pid_t pid = 0; children >> pid;) {
      const std::string environment = read_text("/proc/" + std::to_string(pid) + "/environ");
      const std::string name = "OMPI_COMM_WORLD_RANK=";
      const std::size_t at = environment.find(name);
      if (at != std::string::npos) ranks[std::stoi(environment.substr(at + name.size()))] = pid;
    }
    return ranks;
  }

  // Nobody may have asked yet how it ended.
  static bool lives(pid_t process) {
    const std::string text = read_text("/proc/" + std::to_string(process) + "/stat");
    return !text.empty() && text.find(") Z ") == std::string::npos;
  }

  std::string whole;
  nlohmann::json want;
};

TEST_F(Mpi, GivesTheSameBitsForAnyNumberOfRanks) {
  for (const int ranks : {1, 2, 3}) {
    EXPECT_EQ(eval_by(ranks, {"--images", whole, "--root", kCifar}), want) << ranks;
    EXPECT_EQ(eval_by(ranks, {"--images", whole, "--root", kCifar, "--batch", "3"}), want) << ranks;
  }
}

TEST_F(Mpi, WritesEveryFileOnceAndAlike) {
  const std::string alone = (folder / "alone.csv").string(), csv = (folder / "p.csv").string(),
                    json = (folder / "o.json").string(), html = (folder / "r.html").string();
  const std::string broken = "cat/0000.jpg 3\n/no/such.jpg 4\ncat/0001.jpg 3\n/no/such.jpg 4\n";
  const std::string images = list(broken + fifty_images() + broken, "broken.txt");
  const std::vector<std::string> arguments = {"--images", images, "--root", kCifar, "--batch", "2"};
  std::vector<std::string> one = arguments, two = arguments;
  one.insert(one.end(), {"--predictions", alone});
  two.insert(two.end(), {"--predictions", csv, "--output", json, "--report", html});
  nlohmann::json report = eval(one);
  report.erase("ranks");
  EXPECT_EQ(eval_by(2, two), report);
  EXPECT_EQ(report["failed"], 4);
  EXPECT_EQ(lines_of(err).size(), 4u) << err;
  EXPECT_EQ(read_text(csv), read_text(alone));
  EXPECT_EQ(nlohmann::json::parse(read_text(json))["top1"], report["top1"]);
  EXPECT_NE(read_text(html).find("</html>"), std::string::npos);
  // Any number of processes goes on with what another left.
  write_text(csv, read_text(alone).substr(0, read_text(alone).size() / 2));
  two = arguments;
  two.insert(two.end(), {"--predictions", csv, "--resume"});
  EXPECT_EQ(eval_by(3, two), report);
  EXPECT_EQ(read_text(csv), read_text(alone));
}

TEST_F(Mpi, FailsWhereARankCannotBegin) {
  const std::vector<std::string> good = {"--images", whole, "--root", kCifar};
  std::vector<std::string> bad = good;
  bad.insert(bad.end(), {"--model", "/no/such.pth"});
  expect_failure(mpirun(2, bad, good), 1, {"rank 1 on ", "/no/such.pth"});
  expect_failure(mpirun(2, good, bad), 1, {"/no/such.pth"});
  expect_failure(mpirun(3, bad), 1, {"/no/such.pth"});
  bad = good;
  bad.insert(bad.end(), {"--strassen", "off"});
  expect_failure(mpirun(2, bad, good), 1, {"rank 1 on ", "the same strassen", "\"off\""});
  bad = good;
  bad[1] = list(fifty_images() + "cat/0000.jpg 3\n", "longer.txt");
  expect_failure(mpirun(3, bad, good), 1, {"rank 1 on ", "the same list"});
}

TEST_F(Mpi, StopsAtABadImageOfAnyRank) {
  const std::string images = list(fifty_images() + "/no/such.jpg 3\n", "broken.txt");
  const std::string csv = (folder / "p.csv").string();
  expect_failure(
      mpirun(2, {"--images", images, "--root", kCifar, "--strict", "--predictions", csv}), 1,
      {"/no/such.jpg"});
  EXPECT_EQ(lines_of(read_text(csv)).size(), 52u);
  expect_failure(mpirun(2, {"--images", whole, "--root", kCifar, "--predictions", "/dev/full"}), 1,
                 {"/dev/full: cannot be written"});
}

// One rank after the other is killed in the middle; what was written is a whole run's beginning.
TEST_F(Mpi, EndsWithoutANumberWhereARankDies) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += read_text(kList);
  const std::string images = list(text, "long.txt");
  for (const int victim : {0, 1}) {
    const std::string csv = (folder / ("p" + std::to_string(victim) + ".csv")).string();
    const pid_t pid =
        start_program("mpirun",
                      mpirun(2, {"--images", images, "--root", kCifar, "--threads", "1", "--batch",
                                 "1", "--json", "--predictions", csv}),
                      kEnvironment, (folder / "stdout").string(), (folder / "stderr").string());
    int status = 0;
    while (lines_of(read_text(csv)).size() < 30) {
      ASSERT_EQ(::waitpid(pid, &status, WNOHANG), 0) << read_text(folder / "stderr");
      ::usleep(1000);
    }
    const std::map<int, pid_t> ranks = ranks_of(pid);
    ASSERT_EQ(ranks.size(), 2u);
    ::kill(ranks.at(victim), SIGKILL);
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_NE(WEXITSTATUS(status), 0);
    EXPECT_EQ(read_text(folder / "stdout"), "");
    EXPECT_LT(lines_of(read_text(csv)).size(), 8002u);
    for (const auto& [rank, process] : ranks) {  // mpirun has asked them to end
      for (int i = 0; lives(process) && i < 10000; ++i) ::usleep(1000);
      EXPECT_FALSE(lives(process)) << "rank " << rank;
    }
  }
}

TEST_F(Mpi, ShowsOneBarOnMpirunsTerminal) {
  const int terminal = open_terminal();
  ASSERT_GE(terminal, 0);
  const std::string name = ::ptsname(terminal);
  const pid_t pid = start_program(
      "mpirun", mpirun(2, {"--images", whole, "--root", kCifar, "--batch", "4", "--json"}),
      kEnvironment, (folder / "stdout").string(), name);
  const std::string shown = read_terminal(terminal);
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0) << shown;
  EXPECT_NE(shown.find("[###"), std::string::npos) << shown;
  // It begins once, and every state of it is of the whole list.
  EXPECT_EQ(shown.find(" 0/50"), shown.rfind(" 0/50")) << shown;
  std::size_t bars = 0, whole_bars = 0;
  for (std::size_t at = 0; (at = shown.find(" images/s", at)) != std::string::npos; ++at) ++bars;
  for (std::size_t at = 0; (at = shown.find("/50  ", at)) != std::string::npos; ++at) ++whole_bars;
  EXPECT_EQ(bars, whole_bars) << shown;
  EXPECT_EQ(nlohmann::json::parse(read_text(folder / "stdout"))["images"], 50);
}

// Also where mpirun's stderr is a terminal.
TEST_F(Mpi, KeepsARedirectedStderr) {
  const int terminal = open_terminal();
  ASSERT_GE(terminal, 0);
  const std::string images = list(fifty_images() + "/no/such.jpg 3\n", "broken.txt"),
                    errors = (folder / "errors").string();
  const std::string command =
      eval_line({"--images", images, "--root", kCifar}) + " 2>> '" + errors + "'";
  const pid_t pid = start_program("mpirun", {"mpirun", "-n", "2", "sh", "-c", command},
                                  kEnvironment, (folder / "stdout").string(), ::ptsname(terminal));
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ::close(terminal);
  EXPECT_EQ(status, 0);
  const std::string text = read_text(errors);
  EXPECT_NE(text.find("/no/such.jpg"), std::string::npos) << text;
  EXPECT_EQ(text.find("images/s"), std::string::npos) << "a bar in a file";
}

TEST_F(Mpi, SharesTheCpusOfAMachine) {
  const auto threads_of = [&](const std::vector<std::string>& arguments, int ranks) {
    run_program("mpirun", mpirun(ranks, arguments), kEnvironment);
    EXPECT_EQ(code, 0) << err;
    return nlohmann::json::parse(out)["threads"].get<int>();
  };
  std::vector<std::string> arguments = {"--images", whole, "--root", kCifar, "--json"};
  run({"eval", "--images", whole, "--root", kCifar, "--json"});
  const int cpus = nlohmann::json::parse(out)["threads"];
  for (const int ranks : {2, 3}) EXPECT_LE(threads_of(arguments, ranks), std::max(cpus, ranks));
  arguments.insert(arguments.end(), {"--threads", "2"});
  EXPECT_EQ(threads_of(arguments, 3), 6);
}

// In a folder without convmixer-mpi.
TEST_F(Mpi, NamesWhatIsMissing) {
  const fs::path copy = folder / "bin" / "convmixer";
  fs::create_directory(folder / "bin");
  fs::copy_file(CONVMIXER_COMMAND, copy);
  run_program(copy.string(), {"convmixer", "eval", "--images", whole}, {"OMPI_COMM_WORLD_SIZE=2"});
  expect_error(1, {"mpirun has started 2 processes", (folder / "bin/convmixer-mpi").string(),
                   "CONVMIXER_MPI"});
}

}  // namespace
}  // namespace convmixer::test
