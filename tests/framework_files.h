// SPDX-License-Identifier: Apache-2.0
// What PyTorch and Paddle make of pickles: tensors, storages, arrays, and the files around them.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>
#include <zip.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "pickle_writer.h"

namespace convmixer::pickled {

// --- PyTorch -------------------------------------------------------------------------------------

inline std::string storage(const std::string& type, const std::string& key, std::int64_t count) {
  return tuple({text("storage"), name("torch", type), text(key), text("cpu"), integer(count)}) +
         "Q";
}

// As the non-zip format has it, where the last value may tell of a view: (key, offset, size).
inline std::string legacy_storage(const std::string& type, const std::string& key,
                                  std::int64_t count, const std::string& view = "N") {
  return tuple(
             {text("storage"), name("torch", type), text(key), text("cpu"), integer(count), view}) +
         "Q";
}

inline std::string tensor(const std::string& storage, std::int64_t offset,
                          const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& strides) {
  return call(name("torch._utils", "_rebuild_tensor_v2"),
              {storage, integer(offset), integers(shape), integers(strides), "\x89",
               call(name("collections", "OrderedDict"), {})});
}

inline std::vector<std::int64_t> row_major(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
  return strides;
}

inline std::int64_t count_of(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (std::int64_t size : shape) count *= size;
  return count;
}

using Entries = std::map<std::string, std::string>;  // path in the archive → bytes

// The bytes of a zip archive. The file it needs is removed.
inline std::string zip(const Entries& entries, zip_int32_t method = ZIP_CM_STORE) {
  const std::string path = testing::TempDir() + "convmixer_" + std::to_string(getpid()) + ".zip";
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, nullptr);
  if (archive == nullptr) throw std::runtime_error("cannot write " + path);
  for (const auto& [entry, content] : entries) {
    zip_source_t* source = zip_source_buffer(archive, content.data(), content.size(), 0);
    const zip_int64_t index = zip_file_add(archive, entry.c_str(), source, ZIP_FL_ENC_UTF_8);
    if (index < 0) throw std::runtime_error(zip_strerror(archive));
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), method, 0);
  }
  if (zip_close(archive) != 0) throw std::runtime_error("cannot write " + path);
  std::ifstream file(path, std::ios::binary);
  std::string result{std::istreambuf_iterator<char>(file), {}};
  std::remove(path.c_str());
  return result;
}

inline std::string torch_zip(const std::string& objects, const Entries& storages,
                             zip_int32_t method = ZIP_CM_STORE) {
  Entries entries{{"any name/data.pkl", dump(objects)}, {"any name/version", "3\n"}};
  for (const auto& [key, content] : storages) entries["any name/data/" + key] = content;
  return zip(entries, method);
}

// `storages`: key, number of values, bytes.
struct LegacyStorage {
  std::string key;
  std::int64_t count;
  std::string bytes;
};
inline std::string torch_legacy(const std::string& objects,
                                const std::vector<LegacyStorage>& storages,
                                const std::string& little_endian = "\x88") {
  std::string file = dump("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
  file += dump(integer(1001));
  file += dump(dict({{"protocol_version", integer(1001)}, {"little_endian", little_endian}}));
  file += dump(objects);
  std::string keys = "](", content;
  for (const LegacyStorage& storage : storages) {
    keys += text(storage.key);
    content += raw(storage.count) + storage.bytes;
  }
  return file + dump(keys + "e") + content;
}

// --- Paddle --------------------------------------------------------------------------------------

// numpy's `type`, "f4", and its byte order, "<".
inline std::string array(const std::string& type, const std::vector<std::int64_t>& shape,
                         const std::string& content, const std::string& order = "<",
                         bool column_major = false) {
  const std::string dtype =
      call(name("numpy", "dtype"), {text(type), "\x89", "\x88"}) +
      tuple({integer(3), text(order), "N", "N", "N", integer(-1), integer(-1), integer(0)}) + "b";
  return call(name("numpy.core.multiarray", "_reconstruct"),
              {name("numpy", "ndarray"), integers({0}), bytes("b")}) +
         tuple({integer(1), integers(shape), dtype, column_major ? "\x88" : "\x89", content}) + "b";
}

}  // namespace convmixer::pickled
