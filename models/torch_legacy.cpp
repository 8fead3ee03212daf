// SPDX-License-Identifier: Apache-2.0
// PyTorch before 1.6: pickles one behind the other (a magic number, a version, the system, the
// objects, the list of storages' keys), then each storage: the number of its values (8 bytes,
// little-endian), the values.
#include <fmt/format.h>

#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "models/checkpoint.h"
#include "models/state_dict.h"
#include "models/torch_tensors.h"
#include "support/error.h"

namespace convmixer {
namespace {

using pickle::Kind;
using pickle::Pickle;
using pickle::Value;

constexpr std::int64_t kVersion = 1001;  // the only one there was
constexpr std::size_t kCountBytes = 8;

[[noreturn]] void fail(const std::string& name, const std::string& what,
                       Code code = Code::kFormat) {
  throw Error(code, name + ": " + what);
}

// The bytes that are not read yet.
struct Rest {
  const std::uint8_t* data;
  std::size_t size;

  const std::uint8_t* take(std::size_t count) {
    const std::uint8_t* taken = data;
    data += count;
    size -= count;
    return taken;
  }
};

Pickle next_pickle(const std::string& name, Rest& rest) {
  Pickle pickle(name, rest.data, rest.size);
  rest.take(pickle.bytes());
  return pickle;
}

// How many bytes a value of each storage has, which only the objects' pickle says.
std::map<std::string, TorchStorage> storages_of(const Pickle& objects) {
  std::map<std::string, TorchStorage> storages;
  for (const Value& value : objects.values()) {
    if (value.kind != Kind::kPersistent) continue;
    const TorchStorage storage = torch_storage(objects, value);
    const auto [found, added] = storages.try_emplace(std::string(storage.key), storage);
    if (!added && found->second.bytes != storage.bytes) {
      fail(objects.where(),
           fmt::format("expected storage {} of one size, found {} and {} bytes",
                       in_quotes(storage.key), found->second.bytes, storage.bytes));
    }
  }
  return storages;
}

void check_system(const Pickle& version, const Pickle& system) {
  if (version.root().kind != Kind::kInteger || version.root().integer != kVersion) {
    fail(version.where(), fmt::format("expected version {} of PyTorch's non-zip format, found {}",
                                      kVersion, version.describe(version.root())));
  }
  const Value* little = system.find(system.root(), "little_endian");
  if (little == nullptr || little->kind != Kind::kBool || little->integer == 0) {
    fail(system.where(), "expected values in little-endian order, found " + system.describe(little),
         Code::kUnsupported);
  }
}

// Walks over all of them, so that every truncated file is refused.
std::map<std::string, Bytes> read_storages(const Pickle& objects, const Pickle& keys, Rest rest) {
  const std::string& name = objects.where();
  const std::map<std::string, TorchStorage> known = storages_of(objects);
  std::map<std::string, Bytes> storages;
  if (keys.root().kind != Kind::kList) {
    fail(name, "expected a list of storages, found " + keys.describe(keys.root()));
  }
  for (pickle::Ref ref : keys.root().items) {
    const Value& key = keys[ref];
    const auto found = known.find(std::string(key.text));
    if (key.kind != Kind::kText || found == known.end()) {
      fail(name, "expected the key of a storage that a tensor has, found " + keys.describe(key));
    }
    const TorchStorage& storage = found->second;
    std::uint64_t count = 0;
    if (rest.size >= kCountBytes) std::memcpy(&count, rest.take(kCountBytes), kCountBytes);
    if (count != storage.count || storage.bytes > rest.size) {
      fail(name, fmt::format("expected storage {} of {} values, {} bytes, found {} values and {} "
                             "bytes; the file may be truncated",
                             in_quotes(key.text), storage.count, storage.bytes, count, rest.size));
    }
    if (!storages.try_emplace(found->first, Bytes{rest.data, storage.bytes, nullptr}).second) {
      fail(name, fmt::format("expected each storage once, found {} twice", in_quotes(key.text)));
    }
    rest.take(storage.bytes);
  }
  if (rest.size != 0) {
    fail(name, fmt::format("expected the end of the file behind the storages, found {} more bytes",
                           rest.size));
  }
  return storages;
}

}  // namespace

bool is_torch_magic(const Pickle& pickle) {
  // 0x1950a86a20f9469cfc6c: as bytes, little-endian, or as protocols 0 and 1 write it.
  constexpr std::string_view kBytes = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  const Value& root = pickle.root();
  return root.kind == Kind::kInteger &&
         (root.text == kBytes || root.text == "119547037146038801333356");
}

void read_torch_legacy(const std::uint8_t* data, std::size_t size, Checkpoint& checkpoint) {
  const std::string& name = checkpoint.name;
  Rest rest{data, size};
  next_pickle(name, rest);  // the magic number
  const Pickle version = next_pickle(name, rest);
  check_system(version, next_pickle(name, rest));
  const Pickle objects = next_pickle(name, rest);
  const Pickle keys = next_pickle(name, rest);
  const std::map<std::string, Bytes> storages = read_storages(objects, keys, rest);
  MemoryLimit limit(name, size);
  for (const StateDictEntry& entry : find_state_dict(objects, is_torch_tensor)) {
    const TorchTensor tensor = torch_tensor(objects, *entry.value);
    std::string key(entry.key);
    const auto storage = storages.find(std::string(tensor.storage.key));
    if (storage == storages.end()) {
      fail(name, fmt::format("expected storage {} of tensor {}, found none",
                             in_quotes(tensor.storage.key), in_quotes(key)));
    }
    TensorView view = view_of(name, key, tensor.strided, storage->second, limit);
    checkpoint.tensors[std::move(key)] = std::move(view);
  }
}

}  // namespace convmixer
