// SPDX-License-Identifier: Apache-2.0
// Memory that is zero, aligned, and given back; files that appear whole.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "support/buffer.h"
#include "support/output_file.h"

namespace convmixer::test {
namespace {

constexpr std::size_t kHuge = Buffer<float>::kHugePage / sizeof(float);

TEST(Buffer, IsZeroAndAlignedAndCanBeWrittenToItsEnd) {
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{17}, kHuge - 1, kHuge, kHuge + 1, 5 * kHuge / 2 + 3}) {
    Buffer<float> buffer(size);
    EXPECT_EQ(buffer.size(), size);
    EXPECT_EQ(buffer.bytes(), size * sizeof(float));
    std::size_t alignment = Buffer<float>::kAlignment;
#ifndef CONVMIXER_ADDRESS_SANITIZER
    if (size >= kHuge) alignment = Buffer<float>::kHugePage;
#endif
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % alignment, 0u);
    EXPECT_TRUE(std::all_of(buffer.data(), buffer.data() + size, [](float v) { return v == 0; }));
    std::fill(buffer.data(), buffer.data() + size, 1.0f);
    Buffer<float> other(3);
    other = std::move(buffer);
    EXPECT_EQ(other.size(), size);
    EXPECT_EQ(other[size - 1], 1.0f);
  }
  EXPECT_EQ(Buffer<float>(0).data(), nullptr);
  EXPECT_THROW(Buffer<float>(SIZE_MAX / sizeof(float)), std::bad_alloc);
  EXPECT_THROW(Buffer<float>(SIZE_MAX / 2), std::bad_alloc);
}

#if !defined(CONVMIXER_ADDRESS_SANITIZER) && !defined(__SANITIZE_THREAD__)
// In KiB: "VmSize", "VmRSS".
long memory(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return std::stol(line.substr(name.size() + 1));
  }
  return -1;
}

// A large one takes pages as it is written, and gives back all that it took.
TEST(Buffer, TakesPagesAsItIsWritten) {
  constexpr std::size_t kSize = 64 * kHuge;  // 128 MiB
  const long size_before = memory("VmSize"), pages_before = memory("VmRSS");
  ASSERT_GT(size_before, 0);
  {
    Buffer<float> buffer(kSize);
    EXPECT_GE(memory("VmSize") - size_before, long{kSize * sizeof(float) >> 10});
    EXPECT_LT(memory("VmRSS") - pages_before, 8 << 10);
    std::fill(buffer.data(), buffer.data() + kSize / 2, 1.0f);
    EXPECT_GE(memory("VmRSS") - pages_before, 32 << 10);  // of 64; the system counts roughly
  }
  EXPECT_LT(memory("VmSize") - size_before, 8 << 10);
  EXPECT_LT(memory("VmRSS") - pages_before, 8 << 10);
}
#endif

// Another file that has the name which it would take for a moment stays.
TEST(OutputFile, AppearsWholeBesideWhatWasThere) {
  std::string folder = (std::filesystem::temp_directory_path() / "convmixer_XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/out";
  const std::string taken = folder + "/.convmixer." + std::to_string(::getpid()) + ".0";
  const auto text_of = [](const std::string& name) {
    std::ifstream file(name);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  for (const char* text : {"first", "second"}) {
    OutputFile file(path);
    EXPECT_FALSE(file.is_direct());
    std::ofstream(taken) << "another's";
    file.write(text, std::string(text).size());
    EXPECT_NE(text_of(path), text);
    file.commit();
    EXPECT_EQ(text_of(path), text);
    EXPECT_EQ(text_of(taken), "another's");
  }
  std::filesystem::remove(taken);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace convmixer::test
