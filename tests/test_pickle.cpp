// SPDX-License-Identifier: Apache-2.0
// The interpreter of pickles: every opcode, the list of names, and hostile bytes.
#include <gtest/gtest.h>

#include <random>

#include "checkpoint_file.h"
#include "models/pickle.h"
#include "models/pickle_text.h"
#include "pickle_writer.h"

namespace convmixer {
namespace {

using pickle::Kind;
using pickle::Pickle;
using pickle::Value;
using namespace pickled;  // NOLINT(google-build-using-namespace)

// The vector has exactly the pickle's size, so that AddressSanitizer sees a read beyond it. What is
// said of a pickle does not outlive it.
template <typename Use>
void read(const std::string& bytes, Use use) {
  const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
  use(Pickle("file", exact.data(), exact.size()));
}
void read(const std::string& bytes) {
  read(bytes, [](const Pickle&) {});
}

std::string root_of(const std::string& bytes) {
  std::string text;
  read(bytes, [&](const Pickle& pickle) {
    text = pickle.describe(pickle.root());
    EXPECT_EQ(pickle.bytes(), bytes.size());
  });
  return text;
}

void refused(const std::string& bytes, const std::string& part, Code code = Code::kFormat) {
  expect_error(code, {"file: pickle, byte ", part}, [&] { read(bytes); });
}

// A value as Python would show it.
std::string shown(const Pickle& pickle, const Value& value) {
  const auto list = [&](const char* open, const char* close) {
    std::string all = open;
    for (pickle::Ref ref : value.items) all += shown(pickle, pickle[ref]) + " ";
    return all + close;
  };
  switch (value.kind) {
    case Kind::kText:
    case Kind::kBytes:
      return std::string(value.kind == Kind::kText ? "'" : "b'").append(value.text) + "'";
    case Kind::kTuple:
      return list("(", ")");
    case Kind::kList:
      return list("[", "]");
    case Kind::kSet:
      return list("{", "}");
    case Kind::kDict:
      return list("{:", "}");
    case Kind::kCall: {
      const Value* text = pickle.item(value, 0);
      if (value.name->role == pickle::Role::kEncode) {
        return "b'" + pickle::encode_latin1(text->text).value_or("?") + "'";
      }
      return "{" + shown(pickle, pickle[text->items.at(0)]) + " }";  // set([5])
    }
    default:
      return pickle.describe(value);
  }
}

// pickle.dumps of Python 3.11, one a protocol, of
//   {'a': [1, -2, 300, 70000, 2**40, 2**80, 2.5, None, True, False],
//    'ü\n': (b'x\xff', (), {3: 4}, {5}), 'od': OrderedDict([('k', 'v')])}
const std::string kProtocols[] = {
    std::string(
        "(dp0\012Va\012p1\012(lp2\012I1\012aI-2\012aI300\012aI70000\012aL1099511627776L\012aL"
        "1208925819614629174706176L\012aF2.5\012aNaI01\012aI00\012asV\374\134u000a\012p3\012("
        "c_codecs\012encode\012p4\012(Vx\377\012p5\012Vlatin1\012p6\012tp7\012Rp8\012(t(dp9"
        "\012I3\012I4\012sc__builtin__\012set\012p10\012((lp11\012I5\012atp12\012Rp13\012tp14"
        "\012sVod\012p15\012ccollections\012OrderedDict\012p16\012(tRp17\012Vk\012p18\012Vv"
        "\012p19\012ss.",
        286),
    std::string(
        "}q\000(X\001\000\000\000aq\001]q\002(K\001J\376\377\377\377M,\001Jp\021\001\000L1099"
        "511627776L\012L1208925819614629174706176L\012G@\004\000\000\000\000\000\000NI01\012I"
        "00\012eX\003\000\000\000\303\274\012q\003(c_codecs\012encode\012q\004(X\003\000\000"
        "\000x\303\277q\005X\006\000\000\000latin1q\006tq\007Rq\010)}q\011K\003K\004sc__built"
        "in__\012set\012q\012(]q\013K\005atq\014Rq\015tq\016X\002\000\000\000odq\017ccollecti"
        "ons\012OrderedDict\012q\020)Rq\021X\001\000\000\000kq\022X\001\000\000\000vq\023su.",
        256),
    std::string(
        "\200\002}q\000(X\001\000\000\000aq\001]q\002(K\001J\376\377\377\377M,\001Jp\021\001"
        "\000\212\006\000\000\000\000\000\001\212\013\000\000\000\000\000\000\000\000\000\000"
        "\001G@\004\000\000\000\000\000\000N\210\211eX\003\000\000\000\303\274\012q\003(c_cod"
        "ecs\012encode\012q\004X\003\000\000\000x\303\277q\005X\006\000\000\000latin1q\006"
        "\206q\007Rq\010)}q\011K\003K\004sc__builtin__\012set\012q\012]q\013K\005a\205q\014Rq"
        "\015tq\016X\002\000\000\000odq\017ccollections\012OrderedDict\012q\020)Rq\021X\001"
        "\000\000\000kq\022X\001\000\000\000vq\023su.",
        227),
    std::string(
        "\200\003}q\000(X\001\000\000\000aq\001]q\002(K\001J\376\377\377\377M,\001Jp\021\001"
        "\000\212\006\000\000\000\000\000\001\212\013\000\000\000\000\000\000\000\000\000\000"
        "\001G@\004\000\000\000\000\000\000N\210\211eX\003\000\000\000\303\274\012q\003(C\002"
        "x\377q\004)}q\005K\003K\004scbuiltins\012set\012q\006]q\007K\005a\205q\010Rq\011tq"
        "\012X\002\000\000\000odq\013ccollections\012OrderedDict\012q\014)Rq\015X\001\000\000"
        "\000kq\016X\001\000\000\000vq\017su.",
        183),
    std::string(
        "\200\004\225\210\000\000\000\000\000\000\000}\224(\214\001a\224]\224(K\001J\376\377"
        "\377\377M,\001Jp\021\001\000\212\006\000\000\000\000\000\001\212\013\000\000\000\000"
        "\000\000\000\000\000\000\001G@\004\000\000\000\000\000\000N\210\211e\214\003\303\274"
        "\012\224(C\002x\377\224)}\224K\003K\004s\217\224(K\005\220t\224\214\002od\224\214"
        "\013collections\224\214\013OrderedDict\224\223\224)R\224\214\001k\224\214\001v\224su"
        ".",
        147),
    std::string(
        "\200\005\225\210\000\000\000\000\000\000\000}\224(\214\001a\224]\224(K\001J\376\377"
        "\377\377M,\001Jp\021\001\000\212\006\000\000\000\000\000\001\212\013\000\000\000\000"
        "\000\000\000\000\000\000\001G@\004\000\000\000\000\000\000N\210\211e\214\003\303\274"
        "\012\224(C\002x\377\224)}\224K\003K\004s\217\224(K\005\220t\224\214\002od\224\214"
        "\013collections\224\214\013OrderedDict\224\223\224)R\224\214\001k\224\214\001v\224su"
        ".",
        147)};

TEST(Pickle, EveryProtocolGivesTheSame) {
  for (const std::string& bytes : kProtocols) {
    read(bytes, [](const Pickle& pickle) {
      EXPECT_EQ(shown(pickle, pickle.root()),
                "{:'a' [1 -2 300 70000 1099511627776 an integer of many digits a real number None "
                "True False ] 'ü\n' (b'x\xff' () {:3 4 } {5 } ) 'od' {:'k' 'v' } }");
    });
  }
}

struct Sample {
  std::string bytes, shown;
};

const Sample kSamples[] = {
    {"N.", "None"},
    {"\x88.", "True"},
    {"I01\n.", "True"},
    {"I-7\n.", "-7"},
    {"L-7L\n.", "-7"},
    {"L99999999999999999999L\n.", "an integer of many digits"},
    {std::string("\x8a\0.", 3), "0"},
    {"\x8a\2\xff\x7f.", "32767"},
    {"\x8a\1\xff.", "-1"},
    {std::string("\x8b\1\0\0\0\x80.", 7), "-128"},
    {"J\xfe\xff\xff\xff.", "-2"},
    {"K\xff.", "255"},
    {"M\xff\xff.", "65535"},
    {"F1.5\n.", "a real number"},
    {"G12345678.", "a real number"},
    {"S'a\\n\\x41\\101\\''\n.", "the text 'a?AA''"},
    {"S\"a\"\n.", "the text 'a'"},
    {"V\\u20ac\\U0001f600\xfc\n.", "the text '€😀ü'"},
    {std::string("T\1\0\0\0a.", 7), "the text 'a'"},
    {"U\1a.", "the text 'a'"},
    {"\x8c\1a.", "the text 'a'"},
    {std::string("\x8d\1\0\0\0\0\0\0\0a.", 11), "the text 'a'"},
    {std::string("B\1\0\0\0a.", 7), "bytes, a string of 1"},
    {"C\1a.", "bytes, a string of 1"},
    {std::string("\x8e\1\0\0\0\0\0\0\0a.", 11), "bytes, a string of 1"},
    {std::string("\x96\1\0\0\0\0\0\0\0a.", 11), "bytes, a string of 1"},
    {").", "a tuple of 0"},
    {"NN\x86.", "a tuple of 2"},
    {"NNN\x87.", "a tuple of 3"},
    {"].", "a list of 0"},
    {"(NNl.", "a list of 2"},
    {std::string("]\x94N2000h\0Na.", 12), "a list of 1"},
    {"(NNNNd.", "a dict of 2"},
    {"}NNs.", "a dict of 1"},
    {"\x8f(NN\x90.", "a set of 2"},
    {"(N\x91.", "a set of 1"},
    {"N]0.", "None"},
    {"N(NN1.", "None"},
    {"Np7\n0g7\n.", "None"},
    {std::string("Nr\7\0\0\0"
                 "0j\7\0\0\0.",
                 13),
     "None"},
    {"(itypes\nSimpleNamespace\n.", "a call of types.SimpleNamespace"},
    {"(cargparse\nNamespace\no.", "a call of argparse.Namespace"},
    {"cargparse\nNamespace\n)\x81}b.", "a call of argparse.Namespace"},
    {"cargparse\nNamespace\n)}\x92.", "a call of argparse.Namespace"},
    {"\x8c\5numpy\x8c\5"
     "dtype\x93.",
     "the name numpy.dtype"},
    {"ctorch\nSize\n(K\1K\2t\x85R.", "a tuple of 2"},
    {"c__builtin__\nlist\n](NNe\x85R.", "a tuple of 2"},
    {"ccollections\nOrderedDict\n](NN\x86NN\x86"
     "e\x85R.",
     "a dict of 2"},
    {"ccollections\ndefaultdict\nc__builtin__\nint\n\x85R}b.", "a dict of 0"},
    {"ccollections\ndeque\n)RNa.", "a call of collections.deque"},
    {"ctorch\nFloatStorage\n\x85Q.", "a storage"},
};

TEST(Pickle, EveryOpcode) {
  for (const Sample& sample : kSamples) {
    SCOPED_TRACE(testing::PrintToString(sample.bytes));
    EXPECT_EQ(root_of(sample.bytes), sample.shown);
  }
}

TEST(Pickle, WhatItReadsEndsAtStop) {
  read("N.N.", [](const Pickle& pickle) { EXPECT_EQ(pickle.bytes(), 2u); });
}

// Whoever loads these with Python runs a program.
TEST(Pickle, NamesThatAreNotOnTheListAreRefusedByName) {
  const std::pair<const char*, const char*> names[] = {
      {"os", "system"},
      {"posix", "system"},
      {"nt", "system"},
      {"subprocess", "Popen"},
      {"builtins", "eval"},
      {"builtins", "exec"},
      {"builtins", "getattr"},
      {"__builtin__", "eval"},
      {"builtins", "__import__"},
      {"torch.storage", "_load_from_bytes"},
      {"torch.nn.modules.container", "Sequential"},
      {"numpy", "load"},
      {"webbrowser", "open"},
      {"torch", ""},
      {"", "FloatStorage"},
      {"torch.Float", "Storage"},
      {"collections.OrderedDict", "__reduce__"},
  };
  for (const auto& [module, member] : names) {
    const std::string full = std::string("'") + module + "." + member + "'";
    const std::string argument = text("touch /tmp/convmixer_was_here");
    const std::string calls[] = {
        call(name(module, member), {argument}),
        text(module) + text(member) + "\x93" + tuple({argument}) + "R",
        "(" + argument + "i" + module + "\n" + member + "\n",
        name(module, member) + tuple({argument}) + "\x81",
        name(module, member),
    };
    for (const std::string& bytes : calls) {
      refused(dump(bytes), "found " + full + "; nothing was executed", Code::kUnsupported);
      // Beside the weights, in a part of the file that nothing reads, it is refused as well.
      refused(dump(dict({{"state_dict", "}"}, {"optimizer", bytes}})), full, Code::kUnsupported);
    }
  }
  refused(dump(name(std::string(1000, 'x'), "y")), "xxx…'", Code::kUnsupported);
  refused(dump(name("os\xff\x1b", "y")), "'os??.y'", Code::kUnsupported);
}

struct Broken {
  std::string bytes, part;
};

TEST(Pickle, BrokenOnesAreRefused) {
  const std::string ten_bytes = "0123456789";
  const Broken all[] = {
      {"\x80\6N.", "protocol 0 to 5, found 6"},
      {"!", "expected an opcode, found byte 0x21"},
      {".", "expected a value on the stack, found none"},
      {"0", "expected a value on the stack"},
      {"2", "expected a value on the stack"},
      {"N(.", "expected a value on the stack"},
      {"N(0", "expected a value on the stack"},
      {"N(N\x86", "expected 2 values on the stack, found 1"},
      {"t", "expected a mark"},
      {"Nt", "expected a mark"},
      {"1", "expected a mark"},
      {"(e", "expected a value on the stack"},
      {"N(e", "expected a list to add to, found None"},
      {"}(Ne", "expected a list to add to, found a dict of 0"},
      {"](NNu", "expected a dict to add to, found a list of 0"},
      {"}(Nu", "expected pairs of key and value"},
      {"(NNNd", "expected pairs of key and value"},
      {"N)R", "expected a name to call, found None"},
      {"(o", "expected a name to call, found nothing"},
      {"cnumpy\ndtype\nNR", "expected a tuple of arguments, found None"},
      {"ccollections\nOrderedDict\n](Ne\x85R", "expected a list of pairs, found None"},
      {"NNb", "expected an object to set the state of, found None"},
      {"cnumpy\ndtype\n}b", "expected an object to set the state of, found the name numpy.dtype"},
      {"NN\x93", "expected a module and a name, found None"},
      {"h\1", "expected something in the memo at 1, found nothing"},
      {"Np3\ng2\n", "expected something in the memo at 2"},
      {"Np-1\n", "expected a place in the memo, found '-1'"},
      {"Np1x\n", "expected a place in the memo, found '1x'"},
      {"Np99999999999999999999\n", "expected a place in the memo"},
      {"Nr\xff\xff\xff\xff", "expected a memo below 4000000, found 4294967295"},
      {"I\n", "expected an integer, found ''"},
      {"I1.5\n", "expected an integer, found '1.5'"},
      {"Sabc\n", "expected text in quotes"},
      {"S'\n", "expected text in quotes"},
      {"S'\\'\n", "expected text in quotes"},
      {"S'\\xg0'\n", "expected text in quotes"},
      {"S'\\x4'\n", "expected text in quotes"},
      {"S'\\777'\n", "expected text in quotes"},
      {"V\\u12\n", "or with escapes"},
      {"V\\U00110000\n", "or with escapes"},
      {"X\xff\xff\xff\xff" + ten_bytes,
       "expected 4294967295 more bytes, found 10; the file may be"},
      {"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f" + ten_bytes, "expected 9223372036854775807 more"},
      {"\x8e\xff\xff\xff\xff\xff\xff\xff\xff" + ten_bytes, "expected 18446744073709551615 more"},
      {"\x95\xff\xff\xff\xff\xff\xff\xff\xff" + ten_bytes, "expected a whole frame"},
      {"\x8b\xff\xff\xff\xff" + ten_bytes, "expected 4294967295 more bytes"},
      {"Pkey\n.", "nothing from outside, found opcode 0x50"},
      {"\x82\1.", "nothing from outside, found opcode 0x82"},
      {"\x97.", "nothing from outside, found opcode 0x97"},
      {"cos", "expected the end of a line, found the end of the file"},
      {"", "expected 1 more bytes, found 0"},
  };
  for (const Broken& broken : all) {
    SCOPED_TRACE(testing::PrintToString(broken.bytes));
    refused(broken.bytes, broken.part);
  }
}

TEST(Pickle, EveryPrefixIsRefused) {
  std::vector<std::string> whole(std::begin(kProtocols), std::end(kProtocols));
  for (const Sample& sample : kSamples) whole.push_back(sample.bytes);
  for (const std::string& bytes : whole) {
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      SCOPED_TRACE(testing::PrintToString(bytes.substr(0, size)));
      expect_error(Code::kFormat, {"file: "}, [&] { read(bytes.substr(0, size)); });
    }
  }
}

TEST(Pickle, ChangedBytesAreRefusedOrHarmless) {
  constexpr unsigned kSeed = 11;
  std::mt19937 random(kSeed);
  SCOPED_TRACE(kSeed);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = kProtocols[random() % std::size(kProtocols)];
    for (unsigned changes = 1 + random() % 4; changes > 0; --changes) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    try {
      read(bytes, [](const Pickle& pickle) { pickle.describe(pickle.root()); });
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == Code::kFormat || error.code() == Code::kUnsupported)
          << error.what();
    }
  }
}

// A million levels cost neither stack nor time, also where they are let go.
TEST(Pickle, DepthCostsNoStack) {
  constexpr std::size_t kDepth = 1'000'000;
  std::string nested;
  for (std::size_t i = 0; i < kDepth; ++i) nested += ']';
  for (std::size_t i = 1; i < kDepth; ++i) nested += 'a';
  EXPECT_EQ(root_of(nested + "."), "a list of 1");
  std::string tuples = "N";
  for (std::size_t i = 0; i < kDepth; ++i) tuples += '\x85';
  EXPECT_EQ(root_of(tuples + "."), "a tuple of 1");
  refused(std::string(kDepth, '('), "expected 1 more bytes");
}

TEST(Pickle, ValuesMayContainThemselves) {
  EXPECT_EQ(root_of(std::string("]q\0h\0a.", 7)), "a list of 1");
  EXPECT_EQ(root_of(std::string("}q\0X\1\0\0\0ah\0s.", 13)), "a dict of 1");
}

TEST(Pickle, StepsAreLimited) {
  refused(std::string(pickle::kMaxSteps + 1, 'N'), "at most 4000000 steps", Code::kLimit);
  // A list of 1,000 pairs, made a dict of 10,000 times: 20 kB that would become 10 million pairs.
  std::string pairs = "](";
  for (int i = 0; i < 1000; ++i) pairs += "NN\x86";
  pairs +=
      "eq\1"
      "0";
  std::string dicts;
  for (int i = 0; i < 10'000; ++i) dicts += "h\2h\1\x85R0";
  refused(name("collections", "OrderedDict") +
              "q\2"
              "0" +
              pairs + dicts,
          "at most 4000000 steps", Code::kLimit);
}

TEST(Pickle, EncodesLatin1) {
  EXPECT_EQ(pickle::encode_latin1("aü\xc2\x80"), "a\xfc\x80");
  EXPECT_EQ(pickle::encode_latin1("€"), std::nullopt);
  EXPECT_EQ(pickle::encode_latin1("\xc3"), std::nullopt);
  EXPECT_EQ(pickle::encode_latin1("\xc3z"), std::nullopt);
  EXPECT_EQ(pickle::encode_latin1("\xff"), std::nullopt);
}

}  // namespace
}  // namespace convmixer
