// SPDX-License-Identifier: Apache-2.0
// PyTorch's two formats: types, strides, shared storages, and files that lie about them.
#include <gtest/gtest.h>

#include "model_files.h"
#include "models/strided.h"

namespace convmixer {
namespace {

using namespace pickled;  // NOLINT(google-build-using-namespace)

std::string floats(const std::vector<float>& values) { return bytes_of(values); }

// One tensor 'a' in a storage 's' of the values 0, 1, 2, …
std::string counting(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i);
  return floats(values);
}

std::string zip_of(const std::string& a, const std::string& content) {
  return torch_zip(dict({{"a", a}}), {{"s", content}});
}

std::string float_tensor(std::int64_t count, std::int64_t offset,
                         const std::vector<std::int64_t>& shape,
                         const std::vector<std::int64_t>& strides) {
  return tensor(storage("FloatStorage", "s", count), offset, shape, strides);
}

TEST(TorchZip, ReadsEveryType) {
  const std::vector<float> want = {1, -2.5f};
  const auto read = [&](const char* type, const std::string& content) {
    const std::string a = tensor(storage(type, "s", 2), 0, {2}, {1});
    return values_of(zip_of(a, content), {2});
  };
  EXPECT_EQ(read("FloatStorage", floats(want)), want);
  EXPECT_EQ(read("DoubleStorage", bytes_of<double>({1, -2.5})), want);
  EXPECT_EQ(read("HalfStorage", bytes_of<std::uint16_t>({0x3c00, 0xc100})), want);
  EXPECT_EQ(read("BFloat16Storage", bytes_of<std::uint16_t>({0x3f80, 0xc020})), want);
  const std::string longs = tensor(storage("LongStorage", "s", 2), 0, {2}, {1});
  const Checkpoint checkpoint = open_bytes(zip_of(longs, std::string(16, '\1')));
  EXPECT_EQ(checkpoint.tensors.at("a").dtype_name, "I64");
  expect_error(Code::kFormat, {"of dtype F32, F16, BF16 or F64, found 'I64'"},
               [&] { checkpoint.floats("a", {2}); });
}

TEST(TorchZip, TensorsOutliveTheFile) {
  Checkpoint checkpoint = open_bytes(zip_of(float_tensor(2, 0, {2}, {1}), floats({1, 2})));
  EXPECT_EQ(checkpoint.owner, nullptr);  // the file's bytes are gone
  const Weights weights = checkpoint.floats("a", {2});
  checkpoint = Checkpoint{};
  EXPECT_EQ(weights.data[1], 2.0f);
}

TEST(TorchZip, OffsetsAndStrides) {
  const auto read = [](std::int64_t offset, const std::vector<std::int64_t>& shape,
                       const std::vector<std::int64_t>& strides) {
    return values_of(zip_of(float_tensor(12, offset, shape, strides), counting(12)), shape);
  };
  using Values = std::vector<float>;
  EXPECT_EQ(read(0, {2, 3}, {3, 1}), (Values{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(read(5, {2, 2}, {2, 1}), (Values{5, 6, 7, 8}));
  EXPECT_EQ(read(0, {2, 3}, {1, 2}), (Values{0, 2, 4, 1, 3, 5}));  // transposed
  EXPECT_EQ(read(1, {3}, {4}), (Values{1, 5, 9}));                 // a column
  EXPECT_EQ(read(11, {2, 2}, {0, 0}), (Values{11, 11, 11, 11}));   // expanded
  EXPECT_EQ(read(2, {1, 3, 1}, {999, 1, 7}), (Values{2, 3, 4}));   // sizes of 1
  EXPECT_EQ(read(0, {2, 2, 3}, {6, 1, 2}), (Values{0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11}));
  EXPECT_EQ(read(11, {}, {}), (Values{11}));
  EXPECT_EQ(read(12, {0, 3}, {3, 1}), Values{});
}

TEST(TorchZip, TensorsShareAStorage) {
  const std::string shared = storage("FloatStorage", "s", 6);
  const Checkpoint checkpoint = open_bytes(torch_zip(
      dict({{"a", tensor(shared, 0, {4}, {1})}, {"b", tensor(shared, 2, {2, 2}, {2, 1})}}),
      {{"s", counting(6)}}));
  const TensorView &a = checkpoint.tensors.at("a"), &b = checkpoint.tensors.at("b");
  EXPECT_EQ(a.data + 8, b.data);
  EXPECT_EQ(checkpoint.floats("b", {2, 2}).data[3], 5.0f);
}

TEST(TorchZip, ParametersAndSubclassesAreTensors) {
  const std::string plain = float_tensor(2, 0, {2}, {1});
  const std::string parameter =
      call(name("torch._utils", "_rebuild_parameter"), {plain, "\x88", "}"});
  const std::string with_state =
      call(name("torch._utils", "_rebuild_parameter_with_state"), {plain, "\x88", "}", "}"});
  const std::string arguments = plain.substr(plain.find('('));  // behind the function's name
  const std::string subclass =
      call(name("torch._tensor", "_rebuild_from_type_v2"),
           {name("torch._utils", "_rebuild_tensor_v2"), name("torch.nn.parameter", "Parameter"),
            arguments.substr(0, arguments.size() - 1), "}"});
  const std::string bytes_storage = tuple({text("storage"), name("torch.storage", "UntypedStorage"),
                                           text("s"), text("cpu"), integer(8)}) +
                                    "Q";
  const std::string typed = call(name("torch._utils", "_rebuild_tensor_v3"),
                                 {bytes_storage, integer(0), integers({2}), integers({1}), "\x89",
                                  "}", name("torch", "float32"), "}"});
  for (const std::string& a : {plain, parameter, with_state, subclass, typed}) {
    EXPECT_EQ(values_of(zip_of(a, floats({1, 2})), {2}), (std::vector<float>{1, 2}));
  }
  std::string deep = plain;
  for (int i = 0; i < 5; ++i) deep = call(name("torch._utils", "_rebuild_parameter"), {deep});
  refused(zip_of(deep, floats({1, 2})), {"expected a dict of tensors"});
}

TEST(TorchZip, TensorsMustLieInsideTheirStorage) {
  const auto refuse = [](std::int64_t offset, const std::vector<std::int64_t>& shape,
                         const std::vector<std::int64_t>& strides, const std::string& part) {
    SCOPED_TRACE(part);
    refused(zip_of(float_tensor(6, offset, shape, strides), counting(6)), {"<memory>", part});
  };
  const std::string inside = "expected tensor 'a' inside its storage of 24 bytes, found shape ";
  refuse(0, {7}, {1}, inside + "[7], strides [1], offset 0 of F32");
  refuse(1, {6}, {1}, inside);
  refuse(0, {2}, {6}, inside);
  refuse(6, {1}, {1}, inside);
  refuse(0, {2, 2}, {5, 1}, inside);
  refuse(-1, {1}, {1}, inside);
  refuse(5, {2}, {-1}, inside);
  refuse(INT64_MAX, {1}, {1}, inside);
  refuse(1, {2}, {INT64_MAX}, inside);
  refuse(0, {3}, {INT64_MAX}, inside);
  refuse(1, {2, 2}, {INT64_MAX, INT64_MAX}, inside);  // 2^64 − 1: back at the beginning
  refuse(0, {-2, -3}, {3, 1}, "sizes that are not negative");
  refuse(0, {-1}, {1}, "sizes that are not negative");
  refuse(0, {INT64_MAX, INT64_MAX}, {0, 0}, "less than 2^61 bytes");
  refuse(0, {1, 1}, {1}, "2 sizes and 1 strides");
  refuse(0, std::vector<std::int64_t>(33, 1), {1}, "to be at most 32 integers");
}

TEST(TorchZip, DescriptionsMustBeWhatTheyAre) {
  const std::string good = storage("FloatStorage", "s", 1);
  const auto a = [](const std::vector<std::string>& arguments) {
    return zip_of(call(name("torch._utils", "_rebuild_tensor_v2"), arguments), floats({1}));
  };
  const std::string one = integers({1});
  EXPECT_EQ(values_of(a({good, integer(0), one, one}), {1}), (std::vector<float>{1}));
  refused(a({}), {"the storage of a tensor, found nothing"});
  refused(a({"N", integer(0), one, one}), {"expected a storage, found None"});
  refused(a({integers({1}) + "Q", integer(0), one, one}), {"expected a storage, found a tuple"});
  refused(a({good}), {"the offset of a tensor to be an integer of 64 bits, found nothing"});
  refused(a({good,
             "\x8a\x09"
             "123456789",
             one, one}),
          {"found an integer of many digits"});
  refused(a({good, integer(0), "N", one}), {"the shape of a tensor to be a tuple of integers"});
  refused(a({good, integer(0), one, "(N\x85t"}), {"the strides of a tensor"});
  const auto with_id = [&](const std::vector<std::string>& id) {
    return a({tuple(id) + "Q", integer(0), one, one});
  };
  const std::string tag = text("storage"), type = name("torch", "FloatStorage"), s = text("s");
  refused(with_id({tag}), {"the type of a storage, found nothing"});
  refused(with_id({tag, name("torch", "Size"), s, s, one}), {"the type of a storage, found the"});
  refused(with_id({tag, type, "K\1", s, "K\1"}), {"the key of a storage, found 1"});
  refused(with_id({tag, type, s, s, "N"}), {"the size of a storage to be an integer"});
  refused(with_id({tag, type, s, s, integer(-1)}), {"the size of a storage, at least 0"});
  refused(with_id({tag, type, s, s, integer(INT64_MAX)}), {"the size of a storage, at least 0"});
}

TEST(TorchZip, StoragesHaveTheSizeThatThePickleSays) {
  const std::string a = float_tensor(2, 0, {2}, {1});
  refused(torch_zip(dict({{"a", a}}), {}),
          {"expected a storage, the file 'any name/data/s'", "none"});
  refused(zip_of(a, floats({1})), {"expected 8 bytes in the storage 'any name/data/s', found 4"});
  refused(zip_of(a, floats({1, 2, 3})), {"expected 8 bytes", "found 12"});
  refused(zip_of(float_tensor(std::int64_t{1} << 40, 0, {2}, {1}), floats({1, 2})),
          {"expected 4398046511104 bytes in the storage", "found 8"});
}

TEST(TorchZip, ArchivesOfAnyFolderAndMethod) {
  const std::string objects = dump(dict({{"a", float_tensor(2, 0, {2}, {1})}}));
  const Entries inside{{"x y.z/data.pkl", objects},
                       {"x y.z/data/s", floats({1, 2})},
                       {"x y.z/byteorder", "little"},
                       {"x y.z/code/data.pkl", "other"}};
  const Entries bare{{"data.pkl", objects}, {"data/s", floats({1, 2})}};
  for (const Entries& entries : {inside, bare}) {
    for (zip_int32_t method : {ZIP_CM_STORE, ZIP_CM_DEFLATE}) {
      EXPECT_EQ(values_of(zip(entries, method), {2}), (std::vector<float>{1, 2}));
    }
  }
}

TEST(TorchZip, OtherArchivesAreRefused) {
  refused(zip({{"readme", "text"}, {"a/b/data.pkl", "N."}}),
          {"<memory>: expected a PyTorch checkpoint", "none among the 2 files"});
  refused(zip({{"a/data.pkl", "N."}, {"b/data.pkl", "N."}}),
          {"one data.pkl in the archive, found 'a/data.pkl' and 'b/data.pkl'"});
  refused(zip({{"a/data.pkl", "N."}, {"a/byteorder", "big"}}), {"'little'", "found 'big'"},
          Code::kUnsupported);
  refused(zip({{"a/data.pkl", "N."}, {"a/byteorder", std::string(100, 'x')}}), {"a longer text"},
          Code::kUnsupported);
  refused(zip({{"a/data.pkl", ""}}), {"pickle, byte 0: expected 1 more bytes"});
  refused("PK\3\4 and then nothing like it", {"<memory>: expected a whole zip archive"});
  refused(std::string("PK\5\6", 4) + std::string(18, '\0'), {"<memory>: expected"});  // empty
}

TEST(TorchZip, DamagedStoragesAreRefused) {
  const std::string content = floats({1234.5f, 2});
  for (zip_int32_t method : {ZIP_CM_STORE, ZIP_CM_DEFLATE}) {
    std::string file =
        torch_zip(dict({{"a", float_tensor(2, 0, {2}, {1})}}), {{"s", content}}, method);
    const std::size_t at = file.find("any name/data/s") + 17;
    file[at] = static_cast<char>(file[at] ^ 0x10);
    refused(file, {"<memory>: expected 8 bytes of 'any name/data/s' with the archive's checksum"});
  }
}

TEST(TorchZip, NamesOutsideTheListAreRefused) {
  const std::string run = call(name("os", "system"), {text("touch /tmp/convmixer_was_here")});
  refused(torch_zip(dict({{"state_dict", "}"}, {"hook", run}}), {}),
          {"<memory>: pickle, byte ", "found 'os.system'; nothing was executed"},
          Code::kUnsupported);
}

// What a thousandth of the bytes unpacks to is refused before memory is taken.
TEST(TorchZip, BombsAreRefused) {
  constexpr std::int64_t kCount = 17 << 20;  // 68 MiB
  const std::string zeros(std::size_t{kCount} * 4, '\0');
  const std::string bomb =
      torch_zip(dict({{"a", float_tensor(kCount, 0, {1}, {1})}}), {{"s", zeros}}, ZIP_CM_DEFLATE);
  EXPECT_LT(bomb.size(), 200'000u);
  refused(bomb,
          {"tensors of at most 67108864 bytes in all, 100 times the file or 64 MiB",
           "found 'any name/data/s' of 71303168 bytes"},
          Code::kLimit);
  refused(zip({{"a/data.pkl", zeros}}, ZIP_CM_DEFLATE),
          {"a data.pkl of at most 67108864 bytes, found 71303168"}, Code::kLimit);
}

TEST(TorchZip, OneValueDoesNotBecomeGigabytes) {
  refused(zip_of(float_tensor(1, 0, {65536, 65536}, {0, 0}), floats({1})),
          {"at most 67108864 bytes", "found 'a' of 17179869184 bytes"}, Code::kLimit);
  Items many;
  for (int i = 0; i < 100; ++i) {
    many.emplace_back("t" + std::to_string(i), float_tensor(262'144, 0, {262'144}, {1}));
  }
  refused(torch_zip(dict(many), {{"s", counting(262'144)}}, ZIP_CM_DEFLATE),
          {"of 1048576 bytes when"}, Code::kLimit);
}

TEST(MemoryLimit, MayBeTakenWhole) {
  MemoryLimit limit("a file", 1 << 20);
  limit.take(std::uint64_t{99} << 20, "a");
  limit.take(std::uint64_t{1} << 20, "b");
  expect_error(Code::kLimit, {"a file: expected tensors of at most 104857600 bytes in all", "'c'"},
               [&] { limit.take(1, "c"); });
}

// --- The non-zip format --------------------------------------------------------------------------

std::string legacy_of(const std::string& storage, const std::vector<LegacyStorage>& storages) {
  return torch_legacy(dict({{"a", tensor(storage, 1, {2}, {1})}}), storages);
}

TEST(TorchLegacy, ReadsStoragesAndViews) {
  const LegacyStorage other{"o", 1, floats({9})}, s{"s", 4, floats({0, 1, 2, 3})};
  const std::string view = tuple({text("view"), integer(1), integer(3)});
  for (const char* type : {"FloatStorage", "cuda.FloatStorage"}) {
    const std::string plain =
        tuple({text("storage"),
               std::string(type) == "FloatStorage" ? name("torch", "FloatStorage")
                                                   : name("torch.cuda", "FloatStorage"),
               text("s"), text("cuda:0"), integer(4), "N"}) +
        "Q";
    const std::string objects =
        dict({{"a", tensor(plain, 1, {2}, {1})},
              {"b", tensor(legacy_storage("FloatStorage", "s", 4, view), 1, {2}, {1})},
              {"c", tensor(legacy_storage("FloatStorage", "o", 1), 0, {1}, {1})}});
    for (const auto& storages : {std::vector{other, s}, std::vector{s, other}}) {
      const std::string file = torch_legacy(objects, storages);
      EXPECT_EQ(values_of(file, {2}), (std::vector<float>{1, 2}));
      const Checkpoint checkpoint = open_bytes(file);
      EXPECT_EQ(checkpoint.floats("b", {2}).data[1], 3.0f);
      EXPECT_EQ(checkpoint.floats("c", {1}).data[0], 9.0f);
    }
  }
}

TEST(TorchLegacy, FilesThatLieAreRefused) {
  const std::string storage = legacy_storage("FloatStorage", "s", 4);
  const LegacyStorage s{"s", 4, counting(4)};
  EXPECT_EQ(values_of(legacy_of(storage, {s}), {2}), (std::vector<float>{1, 2}));
  refused(legacy_of(storage, {}), {"expected storage 's' of tensor 'a', found none"});
  refused(legacy_of(storage, {s}) + "x", {"behind the storages, found 1 more bytes"});
  refused(legacy_of(storage, {s, s}), {"expected each storage once, found 's' twice"});
  refused(legacy_of(storage, {s, {"t", 1, floats({1})}}),
          {"that a tensor has, found the text 't'"});
  refused(legacy_of(storage, {{"s", 3, counting(3)}}), {"of 4 values, 16 bytes, found 3 values"});
  refused(legacy_of(storage, {{"s", 4, counting(3)}}),
          {"of 4 values, 16 bytes, found 4", "12 bytes"});
  refused(legacy_of(storage, {{"s", -1, ""}}), {"expected storage 's' of 4 values"});
  refused(legacy_of(legacy_storage("FloatStorage", "s", 2), {{"s", 2, counting(2)}}),
          {"expected tensor 'a' inside its storage of 8 bytes"});
  const auto with_view = [&](const std::string& offset) {
    return legacy_of(legacy_storage("FloatStorage", "s", 4, tuple({text("v"), offset})), {s});
  };
  refused(with_view(integer(2)), {"inside its storage", "offset 3"});
  refused(with_view(integer(-1)), {"the offset of a tensor, at least 0"});
  refused(with_view(integer(INT64_MAX)), {"the offset of a tensor, at least 0 and below 2^63"});
  refused(with_view("N"), {"the offset of a view to be an integer"});
  const std::string twice =
      dict({{"a", tensor(storage, 0, {1}, {1})},
            {"b", tensor(legacy_storage("HalfStorage", "s", 4), 0, {1}, {1})}});
  refused(torch_legacy(twice, {s}), {"expected storage 's' of one size, found 16 and 8 bytes"});
  refused(torch_legacy(dict({{"a", tensor(storage, 0, {1}, {1})}}), {s}, "\x89"),
          {"in little-endian order, found False"}, Code::kUnsupported);
  const std::string magic = dump("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
  refused(magic + dump(integer(1002)) + dump("}"), {"expected version 1001", "found 1002"});
  refused(magic + dump(integer(1001)) + dump("}"), {"little-endian order, found nothing"},
          Code::kUnsupported);
  refused(torch_legacy(call(name("os", "system"), {text("true")}), {}), {"found 'os.system'"},
          Code::kUnsupported);
}

}  // namespace
}  // namespace convmixer
