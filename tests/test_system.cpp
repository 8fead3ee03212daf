// SPDX-License-Identifier: Apache-2.0
// What is found out about the machine: the CPU's features and how many threads may run.
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

#include "engine/threads.h"
#include "kernels/cpu.h"
#include "kernels/registry.h"
#include "tests/temporary_folder.h"

namespace convmixer::test {
namespace {

namespace fs = std::filesystem;

std::set<std::string> words_of(const std::string& text) {
  std::istringstream words(text);
  return {std::istream_iterator<std::string>(words), {}};
}

// The first CPU's "flags" of /proc/cpuinfo, an x86 CPU's; empty where there are none.
std::set<std::string> flags_by_linux() {
  std::ifstream lines("/proc/cpuinfo");
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("flags")) return words_of(line.substr(line.find(':') + 1));
  }
  return {};
}

// A feature that was looked for in a wrong place would take a variant away without a word. Linux's
// names are ours in small letters; it may not know the newest. Permission for AMX is not asked for.
TEST(Cpu, LacksNothingThatLinuxLists) {
  const std::set<std::string> flags = flags_by_linux();
  if (flags.empty()) GTEST_SKIP() << "/proc/cpuinfo has no flags";
  for (int precision = 0; precision < kPrecisionCount; ++precision) {
    for (const Variant& v : variants(static_cast<Precision>(precision))) {
      for (std::string name : words_of(missing_features(v.name, Amx::kKnown))) {
        for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        EXPECT_EQ(flags.count(name), 0u) << v.name << ": " << name;
      }
    }
  }
}

class Quota : public testing::Test {
 protected:
  void write(const std::string& file, const std::string& text) const {
    const fs::path path = folder_.path / file;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text << '\n';
  }
  // v1's two files.
  void write_v1(const std::string& group, const std::string& quota) const {
    write(group + "/cpu.cfs_quota_us", quota);
    write(group + "/cpu.cfs_period_us", "100000");
  }
  // Of 8 CPUs, for a process whose groups are these.
  int threads(const std::string& groups) const {
    write("groups", groups);
    return threads_by_quota(8, folder_.path / "groups", folder_.path);
  }

 private:
  const TemporaryFolder folder_;
};

TEST_F(Quota, IsRoundedUp) {
  EXPECT_EQ(threads("0::/"), 8) << "there is no quota";
  const std::pair<const char*, int> cases[] = {{"max 100000", 8},     {"150000 100000", 2},
                                               {"200000 100000", 2},  {"200001 100000", 3},
                                               {"1000 100000", 1},    {"25000 10000", 3},
                                               {"900000 100000", 8},  {"max", 8},
                                               {"100000000000 1", 8}, {"", 8},
                                               {"100000 0", 8}};
  for (const auto& [text, want] : cases) {
    write("cpu.max", text);
    EXPECT_EQ(threads("0::/"), want) << text;
  }
}

TEST_F(Quota, IsTheSmallestOfAllAncestors) {
  write("cpu.max", "700000 100000");
  write("a/cpu.max", "250000 100000");
  write("a/b/cpu.max", "max 100000");
  write("a/b/c/cpu.max", "450000 100000");
  EXPECT_EQ(threads("0::/a/b/c"), 3);
  EXPECT_EQ(threads("0::/a/b"), 3);
  EXPECT_EQ(threads("0::/x/y"), 7) << "a container's path, which is not mounted";
}

TEST_F(Quota, OfTheFirstVersion) {
  write_v1("cpu/a", "350000");
  write_v1("cpu/a/b", "-1");
  write_v1("cpu/c", "-1");
  EXPECT_EQ(threads("9:name=systemd:/\n5:cpuacct,cpu:/a/b"), 4);
  EXPECT_EQ(threads("4:cpuset:/a\n3:cpu,cpuacct:/c\n0::/"), 8);
  write("cpu.max", "150000 100000");
  EXPECT_EQ(threads("5:cpu:/a\n0::/"), 2) << "of both versions the smaller";
}

}  // namespace
}  // namespace convmixer::test
