// SPDX-License-Identifier: Apache-2.0
// Paddle's files: how numpy's arrays stand in a pickle, and those that lie about them.
#include <gtest/gtest.h>

#include "model_files.h"
#include "models/pickle_text.h"

namespace convmixer {
namespace {

using namespace pickled;  // NOLINT(google-build-using-namespace)

std::string file_of(const std::string& a) { return dump(dict({{"a", a}}), 4); }

std::string float_array(const std::vector<float>& values) { return bytes(bytes_of(values)); }

// The bytes as protocol 2 has them: each a character of up to 255, in UTF-8.
std::string as_latin1(const std::string& content, const std::string& encoding = "latin1") {
  std::string utf8;
  for (char c : content) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) utf8 += static_cast<char>(0xc0 | byte >> 6);
    utf8 += static_cast<char>(byte < 0x80 ? byte : 0x80 | (byte & 0x3f));
  }
  return call(name("_codecs", "encode"), {text(utf8), text(encoding)});
}

TEST(Paddle, ArraysOfEveryType) {
  const std::vector<float> want = {1, -2.5f};
  const std::string halves = bytes(bytes_of<std::uint16_t>({0x3c00, 0xc100}));
  const std::string doubles = bytes(bytes_of<double>({1, -2.5}));
  EXPECT_EQ(values_of(file_of(array("f4", {2}, float_array(want))), {2}), want);
  EXPECT_EQ(values_of(file_of(array("<f4", {2}, float_array(want), "N")), {2}), want);
  EXPECT_EQ(values_of(file_of(array("f2", {2}, halves)), {2}), want);
  EXPECT_EQ(values_of(file_of(array("f8", {2}, doubles)), {2}), want);
  const Checkpoint longs = open_bytes(file_of(array("i8", {}, bytes("12345678"))));
  EXPECT_EQ(longs.tensors.at("a").dtype_name, "I64");
  EXPECT_EQ(values_of(file_of(array("f4", {0, 3}, bytes(""))), {0, 3}), std::vector<float>{});
}

TEST(Paddle, BytesAreTextBeforeProtocol3) {
  const std::vector<float> want = {1.1f, -2.7f, 3e38f};
  const std::string a = array("f4", {3}, as_latin1(bytes_of(want)));
  EXPECT_EQ(values_of(dump(dict({{"a", a}}), 2), {3}), want);
  refused(file_of(array("f4", {1}, as_latin1("1234", "utf-8"))), {"Latin-1", "the text 'utf-8'"});
  refused(file_of(array("f4", {1}, call(name("_codecs", "encode"), {text("€€"), text("latin1")}))),
          {"expected array 'a' with text in Latin-1, found other characters"});
}

TEST(Paddle, ColumnsFirst) {
  EXPECT_EQ(
      values_of(file_of(array("f4", {2, 3}, float_array({0, 1, 2, 3, 4, 5}), "<", true)), {2, 3}),
      (std::vector<float>{0, 2, 4, 1, 3, 5}));
}

TEST(Paddle, NamesOfNumpy2AndProtocol5) {
  std::string a = array("f4", {2}, float_array({1, 2}));
  a.replace(a.find("numpy.core"), 10, "numpy._core");
  EXPECT_EQ(values_of(file_of(a), {2}), (std::vector<float>{1, 2}));
  const std::string dtype = call(name("numpy", "dtype"), {text("<f4")});
  for (const char* module : {"numpy.core.numeric", "numpy._core.numeric"}) {
    const auto from_buffer = [&](const char* order) {
      return call(name(module, "_frombuffer"),
                  {float_array({0, 1, 2, 3}), dtype, integers({2, 2}), text(order)});
    };
    EXPECT_EQ(values_of(file_of(from_buffer("C")), {2, 2}), (std::vector<float>{0, 1, 2, 3}));
    EXPECT_EQ(values_of(file_of(from_buffer("F")), {2, 2}), (std::vector<float>{0, 2, 1, 3}));
  }
}

TEST(Paddle, TensorsWithTheirNames) {
  const std::string pair = tuple({text("linear_0.w_0"), array("f4", {2}, float_array({1, 2}))});
  EXPECT_EQ(values_of(file_of(pair), {2}), (std::vector<float>{1, 2}));
  EXPECT_EQ(values_of(file_of(call(name("builtins", "tuple"), {pair})), {2}),
            (std::vector<float>{1, 2}));
}

TEST(Paddle, FilesThatLieAreRefused) {
  const std::string good = float_array({1, 2});
  refused(file_of(array("f4", {3}, good)),
          {"expected array 'a' of shape [3] of F32, found 8 bytes"});
  refused(file_of(array("f4", {1}, good)), {"of shape [1] of F32, found 8 bytes"});
  refused(file_of(array("f4", {-2}, good)), {"of shape [-2] of F32"});
  refused(file_of(array("f4", {INT64_MAX, 4}, good)), {"of shape [9223372036854775807, 4]"});
  refused(file_of(array("f4", std::vector<std::int64_t>(33, 1), good)), {"at most 32 integers"});
  refused(file_of(array("O8", {1}, good)), {"expected array 'a' of numbers", "numpy's type 'O8'"});
  refused(file_of(array("f16", {1}, good)), {"numpy's type 'f16'"});
  refused(file_of(array("f4", {2}, good, ">")), {"big-endian"}, Code::kUnsupported);
  refused(file_of(array(">f4", {2}, good)), {"big-endian"}, Code::kUnsupported);
  refused(file_of(array("f4", {2}, "N")), {"expected array 'a' with its bytes, found None"});
  refused(file_of(array("f4", {2}, "]")), {"with its bytes, found a list of 0"});
  const std::string empty = call(name("numpy.core.multiarray", "_reconstruct"), {});
  refused(file_of(empty), {"expected array 'a' with a state of 5 values, found None"});
  refused(file_of(empty + "(NNNt" + "b"), {"a state of 5 values, found a tuple of 3"});
  refused(file_of(empty + "(NNNNt" + "b"), {"with a numpy.dtype, found None"});
  refused(file_of(call(name("numpy.core.numeric", "_frombuffer"), {})), {"with a numpy.dtype"});
  refused(file_of(array("f4", {2}, good)) + "x", {"behind the pickle, found 1 more bytes"});
  refused(dump(dict({{"a", call(name("builtins", "eval"), {text("data")})}})),
          {"found 'builtins.eval'; nothing was executed"}, Code::kUnsupported);
}

// Only the classifier of a file with Paddle's names is transposed.
TEST(Paddle, ArraysInPyTorchsNamesAreNotTransposed) {
  const CheckpointFile model = random_convmixer(3, 2, 3, 2, 5);
  Items items;
  for (const auto& [key, tensor] : model.tensors) {
    if (tensor.dtype != "F32") continue;
    items.emplace_back(authors_name(key, 2), array("f4", tensor.shape, bytes(tensor.bytes)));
  }
  expect_same_weights(model, open_bytes(dump(dict(items), 4)));
}

}  // namespace
}  // namespace convmixer
