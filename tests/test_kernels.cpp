// SPDX-License-Identifier: Apache-2.0
// Every kernel of every variant against the oracle, in one process, which fails if a variant that
// this CPU has was never run.
#include <gtest/gtest.h>

#include <set>

#include "kernels/cpu.h"
#include "kernels/registry.h"
#include "tests/kernel_tests.h"
#include "tests/register_test.h"

namespace convmixer {

// isa_wide*.cpp: the kernel texts in the shape of avx512, on any CPU.
namespace wide {
extern const KernelTable kTable;
}
namespace wide_bf16 {
extern const KernelTable kTable;
}
namespace wide_int8 {
extern const KernelTable kTable;
}
namespace pairs_int8 {
extern const KernelTable kTable;
}
namespace tiles_fp32 {
extern const KernelTable kTable;
}
namespace tiles_bf16 {
extern const KernelTable kTable;
}
namespace tiles_int8 {
extern const KernelTable kTable;
}
#ifdef CONVMIXER_TEST_EMULATED_VNNI
namespace emulated_vnni {
extern const KernelTable kTable;
}
#endif
#ifdef CONVMIXER_TEST_EVEX_VNNI
namespace evex_vnni {
extern const KernelTable kTable;
}
#endif

namespace test {
namespace {

std::set<std::string>& variants_run() {
  static std::set<std::string> names;
  return names;
}

void add_all(const std::string& variant, const KernelTable& table) {
  std::vector<KernelTests> lists = {precision_tests(table), precision_patch_tests(),
                                    activation_tests()};
  if (table.precision == kFp32) {
    lists = {pointwise_tests(table), depthwise_tests(table), patch_tests(table),
             activation_tests()};
    if (table.strassen[kActIdentity] != nullptr) lists.push_back(strassen_tests(table));
  }
  if (table.taps_in_tiles) lists.push_back(depthwise_tile_tests());
  for (const KernelTests& tests : lists) {
    for (const KernelTest& test : tests) {
      register_test(test.op + "/" + variant, test.shape, "", [&table, variant, body = test.body] {
        ASSERT_EQ(variant, table.name);
        variants_run().insert(variant);
        body(table);
      });
    }
  }
}

// Fails a run of the whole suite in which a variant had no test.
class EveryVariantRan : public testing::Environment {
  void TearDown() override {
    if (testing::GTEST_FLAG(filter) != "*" || testing::GTEST_FLAG(list_tests)) return;
    for (int precision = 0; precision < kPrecisionCount; ++precision) {
      for (const KernelTable* table : available_tables(static_cast<Precision>(precision))) {
        EXPECT_EQ(variants_run().count(table->name), 1u) << table->name << " was never run";
      }
    }
  }
};

}  // namespace
}  // namespace test
}  // namespace convmixer

int main(int argc, char** argv) {
  using namespace convmixer;
  testing::InitGoogleTest(&argc, argv);
  for (int precision = 0; precision < kPrecisionCount; ++precision) {
    for (const Variant& v : variants(static_cast<Precision>(precision))) {
      const std::string refusal = v.table == nullptr ? v.name + ": " + v.refusal : "";
      test::register_test("variant/" + v.name, "runs_here", refusal, [v, precision] {
        EXPECT_EQ(v.name, v.table->name);
        EXPECT_EQ(precision, v.table->precision);
      });
      if (v.table != nullptr) test::add_all(v.name, *v.table);
    }
  }
  test::add_all("wide", wide::kTable);
  test::add_all("wide_bf16", wide_bf16::kTable);
  test::add_all("wide_int8", wide_int8::kTable);
  test::add_all("pairs_int8", pairs_int8::kTable);
  test::add_all("tiles_fp32", tiles_fp32::kTable);
  test::add_all("tiles_bf16", tiles_bf16::kTable);
  test::add_all("tiles_int8", tiles_int8::kTable);
#ifdef CONVMIXER_TEST_EMULATED_VNNI
  if (missing_features("avx2").empty()) test::add_all("emulated_vnni", emulated_vnni::kTable);
#endif
#ifdef CONVMIXER_TEST_EVEX_VNNI
  if (missing_features("avx512_vnni").empty()) test::add_all("evex_vnni", evex_vnni::kTable);
#endif
  testing::AddGlobalTestEnvironment(new test::EveryVariantRan);
  return RUN_ALL_TESTS();
}
