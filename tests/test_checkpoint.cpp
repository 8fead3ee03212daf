// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "checkpoint_file.h"

namespace convmixer {
namespace {

const std::string kTensor = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";

void expect_bad(const std::string& file, const std::string& part, Code code = Code::kFormat) {
  expect_error(code, {"<memory>: ", part}, [&] { open_bytes(file); });
}

std::string write_file(const std::string& name, const std::string& bytes) {
  const std::string path = testing::TempDir() + "convmixer_" + name;
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

TEST(Checkpoint, ReadsTensorsAndMetadata) {
  CheckpointFile file;
  file.add("a", {2, 1}, {1.5f, -2});
  file.add("empty", {0, 3}, {});
  file.tensors["n"] = {"I64", {}, std::string(8, '\1')};
  file.metadata = {{"format", "pt"}, {"convmixer", "{\"ü\": 1}"}};
  const Checkpoint checkpoint = open_bytes(file.bytes());
  EXPECT_EQ(checkpoint.name, "<memory>");
  EXPECT_EQ(checkpoint.metadata, file.metadata);
  ASSERT_EQ(checkpoint.tensors.size(), 3u);
  const TensorView& a = checkpoint.tensors.at("a");
  EXPECT_EQ(a.dtype, DType::kF32);
  EXPECT_EQ(a.dtype_name, "F32");
  EXPECT_EQ(a.shape, (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(a.bytes, 8u);
  EXPECT_EQ(checkpoint.tensors.at("n").dtype, DType::kOther);
  EXPECT_TRUE(checkpoint.tensors.at("n").shape.empty());
  EXPECT_EQ(checkpoint.floats("empty", {0, 3}).size, 0u);
  const Weights weights = checkpoint.floats("a", {2, 1});
  ASSERT_EQ(weights.size, 2u);
  EXPECT_EQ(weights.data[0], 1.5f);
  EXPECT_EQ(weights.data[1], -2.0f);
}

TEST(Checkpoint, EveryPrefixOfAFileIsRefused) {
  CheckpointFile file;
  file.add("a", {2}, {1, 2});
  file.add("b", {3}, {3, 4, 5});
  file.metadata = {{"key", "value"}};
  const std::string bytes = file.bytes();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    SCOPED_TRACE(size);
    expect_bad(bytes.substr(0, size), "expected");
  }
  EXPECT_EQ(open_bytes(bytes).tensors.size(), 2u);
  expect_bad(bytes + 'x', "expected 20 bytes of data, as the tensors need, found 21");
}

// Whatever a changed byte does, it is an Error or a checkpoint whose ranges lie inside the file.
TEST(Checkpoint, EveryChangedByteIsRefusedOrHarmless) {
  CheckpointFile file;
  file.add("a", {2}, {1, 2});
  file.add("b", {1, 3}, {3, 4, 5});
  file.metadata = {{"key", "value"}};
  const std::string good = file.bytes();
  const std::string values = std::string("\0\1\7", 3) + " \",-.09[]{}e\\\x7f\x80\xc3\xff";
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (char value : values) {
      std::string bytes = good;
      bytes[i] = value;
      try {
        const Checkpoint checkpoint = open_bytes(bytes);
        for (const auto& [name, view] : checkpoint.tensors) {
          if (view.dtype == DType::kF32) checkpoint.floats(name, view.shape);
        }
      } catch (const Error& error) {
        EXPECT_TRUE(error.code() == Code::kFormat || error.code() == Code::kLimit) << error.what();
      }
    }
  }
}

TEST(Checkpoint, HeaderLength) {
  const std::string header = "{" + kTensor + "}";
  const auto with_length = [&](std::uint64_t length) {
    std::string file = frame(header, std::string(8, '\0'));
    std::memcpy(file.data(), &length, sizeof length);
    return file;
  };
  open_bytes(with_length(header.size()));
  expect_bad(with_length(0), "expected a safetensors, PyTorch or Paddle file");
  for (std::uint64_t length : {std::uint64_t{header.size()} + 9, std::uint64_t{100'000'000},
                               std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    expect_bad(with_length(length), "expected a header of " + std::to_string(length) + " bytes");
  }
  expect_bad(with_length(1), "valid JSON");
  expect_bad(with_length(header.size() - 1), "valid JSON");
  expect_bad(with_length(header.size() + 8), "a zero at its byte");

  // calloc does not touch its pages: the file is refused before they are read.
  const std::uint64_t length = kMaxHeaderBytes + 1;
  const std::size_t size = 8 + length;
  const std::unique_ptr<std::uint8_t, void (*)(void*)> huge(
      static_cast<std::uint8_t*>(std::calloc(size, 1)), std::free);
  ASSERT_NE(huge, nullptr);
  std::memcpy(huge.get(), &length, sizeof length);
  huge.get()[8] = '{';
  expect_error(Code::kLimit, {"at most 100000000 bytes"},
               [&] { open_checkpoint(huge.get(), size, "huge", nullptr); });
}

struct BadHeader {
  const char* header;
  const char* part;
};

class BadHeaders : public testing::TestWithParam<BadHeader> {};

TEST_P(BadHeaders, AreRefused) {
  expect_bad(frame(GetParam().header, std::string(8, '\0')), GetParam().part);
}

const BadHeader kBadHeaders[] = {
    {"[]", "expected a safetensors, PyTorch or Paddle file, found another kind of file"},
    {"  {}", "expected a safetensors, PyTorch or Paddle file, found another kind of file"},
    {"\xef\xbb\xbf{}",
     "expected a safetensors, PyTorch or Paddle file, found another kind of file"},
    {"{", "valid JSON, found an error at its byte 2"},
    {"{}{}", "valid JSON"},
    {"{} x", "valid JSON"},
    {"{/* comment */}", "valid JSON"},
    {"{\"a\xff\":1}", "valid JSON"},
    {R"({"__metadata__":{"a":")"
     "\xc3\x28"
     R"("}})",
     "valid JSON"},
    {R"({"a":1})", "expected tensor 'a' to be an object, found 1"},
    {R"({"a":[]})", "expected tensor 'a' to be an object, found a list"},
    {R"({"a":null})", "expected tensor 'a' to be an object, found null"},
    {R"({"a":"b"})", "expected tensor 'a' to be an object, found the text 'b'"},
    {R"({"__metadata__":[]})", "expected __metadata__ to be an object, found a list"},
    {R"({"__metadata__":{"k":1}})", "expected key 'k' of __metadata__ to be text, found 1"},
    {R"({"__metadata__":{"k":{}}})", "expected key 'k' of __metadata__ to be text"},
    {R"({"__metadata__":{"k":"1","k":"2"}})", "found 'k' twice"},
    {R"({"__metadata__":{},"__metadata__":{}})", "found '__metadata__' twice"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
     R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
     "found 'a' twice"},
    {R"({"a":{"dtype":"F32","dtype":"F32"}})", "found 'dtype' twice"},
    {R"({"a":{"shape":[2],"shape":[2]}})", "found 'shape' twice"},
    {R"({"a":{"data_offsets":[0,8],"data_offsets":[0,8]}})", "found 'data_offsets' twice"},
    {R"({"a":{"kind":"F32"}})", "dtype, shape and data_offsets of tensor 'a' once each, found"},
    {R"({"a":{}})", "found no dtype"},
    {R"({"a":{"dtype":"F32"}})", "found no shape"},
    {R"({"a":{"dtype":"F32","shape":[2]}})", "found no data_offsets"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", "fewer than two"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}})", "more than two numbers"},
    {R"({"a":{"dtype":4}})", "the dtype of tensor 'a' to be text, found 4"},
    {R"({"a":{"dtype":["F32"]}})", "the dtype of tensor 'a' to be text, found a list"},
    {R"({"a":{"shape":2}})", "a list of non-negative integers, found 2"},
    {R"({"a":{"shape":{}}})", "a list of non-negative integers, found an object"},
    {R"({"a":{"shape":[-1]}})", "a list of non-negative integers, found -1"},
    {R"({"a":{"shape":[2.0]}})", "a list of non-negative integers, found '2.0'"},
    {R"({"a":{"shape":[true]}})", "a list of non-negative integers, found a truth value"},
    {R"({"a":{"shape":[null]}})", "a list of non-negative integers, found null"},
    {R"({"a":{"shape":["2"]}})", "a list of non-negative integers, found the text '2'"},
    {R"({"a":{"shape":[[2]]}})", "a list of non-negative integers, found a list"},
    {R"({"a":{"shape":[9223372036854775808]}})", "found 9223372036854775808"},
    {R"({"a":{"shape":[18446744073709551616]}})", "found '18446744073709551616'"},
    {R"({"a":{"shape":[1e999]}})", "valid JSON"},
    {R"({"a":{"shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}})",
     "more than 32"},
    {R"({"a":{"data_offsets":[-1,8]}})", "two non-negative integers, found -1"},
    {R"({"a":{"data_offsets":["0",8]}})", "two non-negative integers, found the text '0'"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "found bytes 8 to 0"},
    {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})", "found bytes 0 to 12"},
    {R"({"a":{"dtype":"X","shape":[],"data_offsets":[0,18446744073709551615]}})", "truncated"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", "expected 4 bytes of tensor 'a'"},
    {R"({"a":{"dtype":"F16","shape":[2],"data_offsets":[0,8]}})", "[2] of F16, found 8"},
    {R"({"a":{"dtype":"BOOL","shape":[7],"data_offsets":[0,8]}})", "expected 7 bytes"},
    {R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,8]}})", "a whole number of bytes"},
    {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})", "2^61"},
    {R"({"a":{"dtype":"F64","shape":[2305843009213693953],"data_offsets":[0,8]}})", "2^61"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
     R"("b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
     "an overlap"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
     R"("b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
     "an overlap"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
     R"("b":{"dtype":"U8","shape":[6],"data_offsets":[2,8]}})",
     "a hole"},
    {R"({"a":{"dtype":"U8","shape":[7],"data_offsets":[1,8]}})", "a hole"},
    {R"({"a":{"dtype":"U8","shape":[7],"data_offsets":[0,7]}})", "expected 7 bytes of data"},
    {"{}", "expected 0 bytes of data, as the tensors need, found 8"},
};

INSTANTIATE_TEST_SUITE_P(Checkpoint, BadHeaders, testing::ValuesIn(kBadHeaders));

TEST(Checkpoint, DeeplyNestedHeadersAreRefused) {
  const std::string lists(1'000'000, '[');
  std::string objects;
  for (int i = 0; i < 200'000; ++i) objects += "{\"a\":";
  expect_bad(frame(objects, ""), "dtype, shape and data_offsets");
  for (const char* start : {R"({"a":)", R"({"__metadata__":)", R"({"__metadata__":{"k":)",
                            R"({"a":{"dtype":)", R"({"a":{"shape":)", R"({"a":{"data_offsets":)"}) {
    SCOPED_TRACE(start);
    expect_bad(frame(start + lists, ""), "found a list");
    expect_error(Code::kFormat, {}, [&] { open_bytes(frame(start + objects, "")); });
  }
}

TEST(Checkpoint, MessagesShowNamesCutAndWithoutControlCharacters) {
  EXPECT_EQ(in_quotes("stem.0.weight"), "'stem.0.weight'");
  EXPECT_EQ(in_quotes("a\n\x1b[2J\x7f"), "'a??[2J?'");
  EXPECT_EQ(in_quotes(std::string(101, 'x')), "'" + std::string(100, 'x') + "…'");
  EXPECT_EQ(in_quotes(std::string(99, 'x') + "üü"), "'" + std::string(99, 'x') + "…'");
  EXPECT_EQ(in_quotes("ü\xff€\xc3"), "'ü?€?'");  // what is no UTF-8
  EXPECT_EQ(in_quotes("\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80"), "'" + std::string(9, '?') + "'");
}

TEST(Checkpoint, DTypesHaveTheirSizes) {
  const std::map<std::string, int> bits = {
      {"F64", 64},    {"I64", 64},        {"U64", 64},    {"C64", 64},    {"F32", 32},
      {"I32", 32},    {"U32", 32},        {"F16", 16},    {"BF16", 16},   {"I16", 16},
      {"U16", 16},    {"I8", 8},          {"U8", 8},      {"BOOL", 8},    {"F8_E4M3", 8},
      {"F8_E5M2", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E8M0", 8}, {"F6_E2M3", 6}, {"F6_E3M2", 6},
      {"F4", 4},      {"F8_E5M2FNUZ", 8}};
  for (const auto& [dtype, size] : bits) {
    SCOPED_TRACE(dtype);
    CheckpointFile file;
    file.tensors["a"] = {dtype, {2, 4}, std::string(static_cast<std::size_t>(size), '\0')};
    EXPECT_EQ(open_bytes(file.bytes()).tensors.at("a").dtype_name, dtype);
    file.tensors["a"].bytes += "xxxxxxxx";
    expect_bad(file.bytes(), "expected " + std::to_string(size) + " bytes of tensor 'a'");
  }
}

TEST(Checkpoint, FloatsRefusesWhatIsNotAsExpected) {
  CheckpointFile file;
  file.add("a", {2}, {1, 2});
  file.tensors["int"] = {"I32", {2}, std::string(8, '\0')};
  file.tensors["new"] = {"F3_X\n", {2}, std::string(5, '\0')};
  const Checkpoint checkpoint = open_bytes(file.bytes());
  expect_error(Code::kFormat, {"<memory>: expected tensor 'b' of shape [2], found none"},
               [&] { checkpoint.floats("b", {2}); });
  expect_error(Code::kFormat, {"expected tensor 'a' of shape [2, 1], found shape [2]"}, [&] {
    checkpoint.floats("a", {2, 1});
  });
  expect_error(Code::kFormat, {"tensor 'int' of dtype F32, F16, BF16 or F64, found 'I32'"},
               [&] { checkpoint.floats("int", {2}); });
  expect_error(Code::kFormat, {"tensor 'new' of dtype F32, F16, BF16 or F64, found 'F3_X?'"},
               [&] { checkpoint.floats("new", {2}); });
}

template <typename T>
Weights read_as(const std::string& dtype, const std::vector<T>& values, std::size_t misalign = 0) {
  CheckpointFile file;
  const auto size = static_cast<std::int64_t>(values.size());
  file.tensors["a"] = {dtype, {size}, bytes_of(values)};
  return open_bytes(file.bytes(misalign)).floats("a", {size});
}

std::vector<std::uint16_t> all_patterns() {
  std::vector<std::uint16_t> patterns(65536);
  for (std::size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<std::uint16_t>(i);
  return patterns;
}

// The definition: sign · 2^exponent · 1.fraction, and the special cases.
double defined(int pattern, int exponent_bits, int fraction_bits) {
  const int exponent = pattern >> fraction_bits & ((1 << exponent_bits) - 1);
  const int fraction = pattern & ((1 << fraction_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const double sign = pattern >> 15 == 0 ? 1 : -1;
  if (exponent == (1 << exponent_bits) - 1) {
    return fraction == 0 ? sign * HUGE_VAL : std::nan("");
  }
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
}

void expect_all_defined(const Weights& weights, int exponent_bits, int fraction_bits) {
  ASSERT_EQ(weights.size, 65536u);
  for (int i = 0; i < 65536; ++i) {
    const double want = defined(i, exponent_bits, fraction_bits);
    const float got = weights.data[i];
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << "pattern " << i;
    } else {
      ASSERT_EQ(want, got) << "pattern " << i;
      ASSERT_EQ(std::signbit(want), std::signbit(got)) << "pattern " << i;
    }
  }
}

TEST(Checkpoint, EveryF16IsConverted) { expect_all_defined(read_as("F16", all_patterns()), 5, 10); }

TEST(Checkpoint, EveryBF16IsConverted) {
  expect_all_defined(read_as("BF16", all_patterns()), 8, 7);
}

TEST(Checkpoint, UnalignedTensorsAreCopied) {
  expect_all_defined(read_as("F16", all_patterns(), 1), 5, 10);
  for (std::size_t misalign : {1, 2, 3}) {
    const Weights weights = read_as<float>("F32", {1, -2.5f, 1e-40f}, misalign);
    EXPECT_EQ(std::vector<float>(weights.data, weights.data + weights.size),
              (std::vector<float>{1, -2.5f, 1e-40f}));
  }
}

TEST(Checkpoint, F64IsRounded) {
  const Weights weights = read_as<double>("F64", {0.1, -1e300, 1e-50, std::nan(""), HUGE_VAL}, 3);
  EXPECT_EQ(weights.data[0], 0.1f);
  EXPECT_EQ(weights.data[1], -std::numeric_limits<float>::infinity());
  EXPECT_EQ(weights.data[2], 0.0f);
  EXPECT_TRUE(std::isnan(weights.data[3]));
  EXPECT_EQ(weights.data[4], std::numeric_limits<float>::infinity());
}

TEST(Checkpoint, AlignedFloatsAreAViewThatKeepsTheBytesAlive) {
  CheckpointFile file;
  file.add("a", {2}, {1, 2});
  Checkpoint checkpoint = open_bytes(file.bytes());
  const std::uint8_t* data = checkpoint.tensors.at("a").data;
  const Weights weights = checkpoint.floats("a", {2});
  checkpoint = Checkpoint{};
  EXPECT_EQ(reinterpret_cast<const std::uint8_t*>(weights.data), data);
  EXPECT_EQ(weights.map, nullptr);
  EXPECT_EQ(weights.data[1], 2.0f);
}

TEST(Checkpoint, MappedFloatsCanBeLetGoAndReadAgain) {
  CheckpointFile file;
  file.add("a", {10'000}, std::vector<float>(10'000, 3));
  const std::string path = write_file("mapped.safetensors", file.bytes());
  const Weights weights = open_checkpoint(path).floats("a", {10'000});
  ASSERT_NE(weights.map, nullptr);
  EXPECT_EQ(weights.data[5'000], 3.0f);
  weights.let_go();
  EXPECT_EQ(weights.data[5'000], 3.0f);
}

TEST(Checkpoint, FilesOfOtherKindsAreRefusedByPath) {
  const auto refused = [](Code code, const std::string& path, const std::string& part) {
    expect_error(code, {path + ": ", part}, [&] { open_checkpoint(path); });
  };
  refused(Code::kIo, testing::TempDir() + "convmixer_no_such_file", "cannot be opened");
  refused(Code::kIo, testing::TempDir(), "is a folder");
  refused(Code::kFormat, write_file("empty", ""), "found an empty file");
  refused(Code::kFormat, write_file("short", "abc"), "at least 8 bytes, found 3");
  refused(Code::kFormat, write_file("text", "Hello, this is a text."), "another kind of file");
  refused(Code::kFormat, write_file("zip", "PK\3\4 and so on"), "a whole zip archive");
  refused(Code::kFormat, write_file("pickle", "\x80\2}q\1(X\1"), "pickle, byte 6: expected 4 more");
  refused(Code::kFormat, write_file("protocol", "\x80\6}q\1X\1N."), "another kind of file");
}

// A header's length may begin like a pickle (0x80) or a zip archive ("PK" is 19,280).
TEST(Checkpoint, AFileIsNotTakenForAPickleByItsHeaderLength) {
  for (std::size_t length : {0x280u, 0x480u, 19'280u}) {
    std::string header = "{" + kTensor + "}";
    header.resize(length, ' ');
    const std::string file = frame(header, std::string(8, '\0'));
    EXPECT_EQ(open_bytes(file).tensors.size(), 1u);
    expect_bad(file.substr(0, length), "truncated");
  }
}

}  // namespace
}  // namespace convmixer
