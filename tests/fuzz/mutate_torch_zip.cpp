// SPDX-License-Identifier: Apache-2.0
// Changes a file inside the archive, mostly data.pkl, and packs the archive again: sizes, offsets
// and checksums stay right, where a change to the archive's bytes breaks one of them.
#include <zip.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "mutate.h"

namespace {

struct File {
  std::string path;
  std::vector<std::uint8_t> bytes;
};

struct Discard {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
using Archive = std::unique_ptr<zip_t, Discard>;

constexpr std::size_t kMostBytes = std::size_t{1} << 16;  // of a file that is worth changing

// Empty where it is no archive, or one with files that cannot be unpacked.
std::vector<File> unpack(const std::uint8_t* data, std::size_t size) {
  zip_source_t* source = zip_source_buffer_create(data, size, 0, nullptr);
  const Archive archive(source == nullptr ? nullptr
                                          : zip_open_from_source(source, ZIP_RDONLY, nullptr));
  if (archive == nullptr) {
    zip_source_free(source);
    return {};
  }
  std::vector<File> files;
  for (zip_int64_t i = 0; i < zip_get_num_entries(archive.get(), 0); ++i) {
    const auto index = static_cast<zip_uint64_t>(i);
    zip_stat_t stat;
    zip_stat_init(&stat);
    if (zip_stat_index(archive.get(), index, 0, &stat) != 0 || stat.size > kMostBytes) return {};
    File file{stat.name == nullptr ? "" : stat.name, std::vector<std::uint8_t>(stat.size)};
    zip_file_t* opened = zip_fopen_index(archive.get(), index, 0);
    if (opened == nullptr) return {};
    const zip_int64_t read = zip_fread(opened, file.bytes.data(), file.bytes.size());
    zip_fclose(opened);
    if (read != static_cast<zip_int64_t>(file.bytes.size())) return {};
    files.push_back(std::move(file));
  }
  return files;
}

// Empty where libzip refuses, as for two files of one name.
std::vector<std::uint8_t> pack(const std::vector<File>& files, zip_int32_t method) {
  zip_source_t* packed = zip_source_buffer_create(nullptr, 0, 0, nullptr);
  zip_source_keep(packed);
  const std::unique_ptr<zip_source_t, void (*)(zip_source_t*)> keeper(packed, zip_source_free);
  Archive archive(zip_open_from_source(packed, ZIP_TRUNCATE, nullptr));
  if (archive == nullptr) {
    zip_source_free(packed);
    return {};
  }
  for (const File& file : files) {
    zip_source_t* source =
        zip_source_buffer(archive.get(), file.bytes.data(), file.bytes.size(), 0);
    const zip_int64_t index = zip_file_add(archive.get(), file.path.c_str(), source, 0);
    if (index < 0) {
      zip_source_free(source);
      return {};
    }
    zip_set_file_compression(archive.get(), static_cast<zip_uint64_t>(index), method, 0);
  }
  if (zip_close(archive.get()) != 0) return {};
  archive.release();
  zip_stat_t stat;
  zip_stat_init(&stat);
  if (zip_source_stat(packed, &stat) != 0 || zip_source_open(packed) != 0) return {};
  std::vector<std::uint8_t> bytes(stat.size);
  const zip_int64_t read = zip_source_read(packed, bytes.data(), bytes.size());
  zip_source_close(packed);
  if (read != static_cast<zip_int64_t>(bytes.size())) return {};
  return bytes;
}

}  // namespace

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                    unsigned seed) {
  constexpr std::size_t kGrowth = 256;
  std::vector<File> files = seed % 8 == 0 ? std::vector<File>() : unpack(data, size);
  if (files.empty()) return LLVMFuzzerMutate(data, size, max_size);
  File* chosen = &files[seed / 64 % files.size()];
  if (seed / 8 % 4 != 0) {
    const auto pickle = std::find_if(files.begin(), files.end(), [](const File& file) {
      return file.path.ends_with("data.pkl");
    });
    if (pickle != files.end()) chosen = &*pickle;
  }
  const std::size_t before = chosen->bytes.size();
  chosen->bytes.resize(before + kGrowth);
  chosen->bytes.resize(LLVMFuzzerMutate(chosen->bytes.data(), before, before + kGrowth));
  const std::vector<std::uint8_t> packed =
      pack(files, seed / 32 % 2 == 0 ? ZIP_CM_STORE : ZIP_CM_DEFLATE);
  if (packed.empty() || packed.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, packed.data(), packed.size());
  return packed.size();
}
