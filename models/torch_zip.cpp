// SPDX-License-Identifier: Apache-2.0
// PyTorch since 1.6: a zip archive with NAME/data.pkl, which describes the tensors, and a file
// NAME/data/KEY a storage. NAME is any; NAME/byteorder, where it is, says how the storages lie.
#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "models/checkpoint.h"
#include "models/state_dict.h"
#include "models/torch_tensors.h"
#include "support/error.h"

namespace convmixer {
namespace {

// A pickle of this size holds no weights but describes a million tensors.
constexpr std::uint64_t kMaxPickleBytes = std::uint64_t{64} << 20;

class Archive {
 public:
  Archive(const std::string& name, const std::uint8_t* data, std::size_t size) : name_(name) {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t* source = zip_source_buffer_create(data, size, 0, &error);
    if (source != nullptr) archive_.reset(zip_open_from_source(source, ZIP_RDONLY, &error));
    if (archive_ == nullptr) {
      const std::string text = zip_error_strerror(&error);
      if (source != nullptr) zip_source_free(source);
      zip_error_fini(&error);
      fail(Code::kFormat,
           fmt::format("expected a whole zip archive, found: {}; the file may be truncated", text));
    }
    zip_error_fini(&error);
  }

  // The folder of data.pkl, with its slash; "" where there is none around it.
  std::string find_folder() const {
    constexpr std::string_view kPickle = "data.pkl";
    std::string folder;
    bool found = false;
    const zip_int64_t count = zip_get_num_entries(archive_.get(), 0);
    for (zip_int64_t i = 0; i < count; ++i) {
      const char* entry =
          zip_get_name(archive_.get(), static_cast<zip_uint64_t>(i), ZIP_FL_ENC_RAW);
      const std::string_view path = entry == nullptr ? "" : entry;
      const std::size_t slash = path.find('/');
      const std::size_t begin = slash == path.npos ? 0 : slash + 1;
      if (path.substr(begin) != kPickle) continue;
      if (found) {
        fail(Code::kFormat, fmt::format("expected one data.pkl in the archive, found {} and {}",
                                        in_quotes(folder + "data.pkl"), in_quotes(path)));
      }
      folder = path.substr(0, begin);
      found = true;
    }
    if (!found) {
      fail(Code::kFormat,
           fmt::format("expected a PyTorch checkpoint, a zip archive with a data.pkl in its "
                       "folder, found none among the {} files of the archive",
                       count));
    }
    return folder;
  }

  bool has(const std::string& path) const { return locate(path) >= 0; }

  // The size of a file of the archive, unpacked, as the archive says. `what` is what it should be.
  std::uint64_t size(const std::string& path, const char* what) const {
    zip_stat_t stat;
    zip_stat_init(&stat);
    const zip_int64_t index = locate(path);
    if (index < 0) {
      fail(Code::kFormat, fmt::format("expected {}, the file {} in the archive, found none", what,
                                      in_quotes(path)));
    }
    if (zip_stat_index(archive_.get(), static_cast<zip_uint64_t>(index), 0, &stat) != 0 ||
        (stat.valid & ZIP_STAT_SIZE) == 0) {
      fail(Code::kFormat, fmt::format("expected the size of {}, found none", in_quotes(path)));
    }
    return stat.size;
  }

  // The file, which must have that size, and the checksum that the archive says.
  std::shared_ptr<const std::string> read(const std::string& path, std::uint64_t size) const {
    const auto index = static_cast<zip_uint64_t>(locate(path));
    const std::unique_ptr<zip_file_t, Close> file(zip_fopen_index(archive_.get(), index, 0));
    if (file == nullptr) {
      fail(Code::kFormat, fmt::format("expected to unpack {}, found: {}", in_quotes(path),
                                      zip_strerror(archive_.get())));
    }
    auto bytes = std::make_shared<std::string>(size, '\0');
    std::uint64_t done = 0;
    for (zip_int64_t n = 1; n > 0 && done < size; done += static_cast<std::uint64_t>(n)) {
      n = std::max<zip_int64_t>(0, zip_fread(file.get(), bytes->data() + done, size - done));
    }
    char more = 0;  // the checksum is compared where the end is read
    if (done != size || zip_fread(file.get(), &more, 1) != 0) {
      fail(Code::kFormat,
           fmt::format("expected {} bytes of {} with the archive's checksum, found {}: {}", size,
                       in_quotes(path), done, zip_file_strerror(file.get())));
    }
    return bytes;
  }

 private:
  struct Discard {
    void operator()(zip_t* archive) const { zip_discard(archive); }
  };
  struct Close {
    void operator()(zip_file_t* file) const { zip_fclose(file); }
  };

  [[noreturn]] void fail(Code code, const std::string& what) const {
    throw Error(code, name_ + ": " + what);
  }

  zip_int64_t locate(const std::string& path) const {
    return zip_name_locate(archive_.get(), path.c_str(), ZIP_FL_ENC_RAW);
  }

  std::string name_;
  std::unique_ptr<zip_t, Discard> archive_;
};

// Each storage is unpacked once, however many tensors share it.
class Storages {
 public:
  Storages(const Archive& archive, std::string folder, std::string name, MemoryLimit& limit)
      : archive_(archive), folder_(std::move(folder)), name_(std::move(name)), limit_(limit) {}

  const Bytes& read(const TorchStorage& storage) {
    const auto [found, added] = read_.try_emplace(std::string(storage.key));
    if (!added) return found->second;
    const std::string path = folder_ + "data/" + found->first;
    const std::uint64_t size = archive_.size(path, "a storage");
    if (size != storage.bytes) {
      throw Error(Code::kFormat, fmt::format("{}: expected {} bytes in the storage {}, found {}",
                                             name_, storage.bytes, in_quotes(path), size));
    }
    limit_.take(size, path);
    found->second = own_bytes(archive_.read(path, size));
    return found->second;
  }

 private:
  const Archive& archive_;
  std::string folder_, name_;
  MemoryLimit& limit_;
  std::map<std::string, Bytes> read_;
};

void check_byte_order(const Archive& archive, const std::string& folder, const std::string& name) {
  constexpr std::uint64_t kLongest = 16;
  const std::string path = folder + "byteorder";
  if (!archive.has(path)) return;
  const std::uint64_t size = archive.size(path, "the byte order");
  const std::string order = size > kLongest ? "a longer text" : *archive.read(path, size);
  if (order != "little") {
    throw Error(Code::kUnsupported, fmt::format("{}: expected 'little' as the byte order, found {}",
                                                name, in_quotes(order)));
  }
}

}  // namespace

void read_torch_zip(const std::uint8_t* data, std::size_t size, Checkpoint& checkpoint) {
  const std::string& name = checkpoint.name;
  const Archive archive(name, data, size);
  const std::string folder = archive.find_folder();
  check_byte_order(archive, folder, name);
  const std::string path = folder + "data.pkl";
  const std::uint64_t pickle_bytes = archive.size(path, "the pickle");
  if (pickle_bytes > kMaxPickleBytes) {
    throw Error(Code::kLimit, fmt::format("{}: expected a data.pkl of at most {} bytes, found {}",
                                          name, kMaxPickleBytes, pickle_bytes));
  }
  const std::shared_ptr<const std::string> text = archive.read(path, pickle_bytes);
  const pickle::Pickle pickle(name, reinterpret_cast<const std::uint8_t*>(text->data()),
                              text->size());
  MemoryLimit limit(name, size);
  Storages storages(archive, folder, name, limit);
  for (const StateDictEntry& entry : find_state_dict(pickle, is_torch_tensor)) {
    const TorchTensor tensor = torch_tensor(pickle, *entry.value);
    std::string key(entry.key);
    TensorView view = view_of(name, key, tensor.strided, storages.read(tensor.storage), limit);
    checkpoint.tensors[std::move(key)] = std::move(view);
  }
}

}  // namespace convmixer
