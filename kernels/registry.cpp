// SPDX-License-Identifier: Apache-2.0
#include "kernels/registry.h"

#include <cstdlib>

#include "kernels/cpu.h"
#include "support/error.h"

namespace convmixer {

#define CONVMIXER_TABLE(name)      \
  namespace name {                 \
  extern const KernelTable kTable; \
  }
#ifdef CONVMIXER_HAS_AVX512
CONVMIXER_TABLE(avx512)
CONVMIXER_TABLE(avx512_bf16)
CONVMIXER_TABLE(avx512_vnni)
#endif
#ifdef CONVMIXER_HAS_AVX2
CONVMIXER_TABLE(avx2)
CONVMIXER_TABLE(avxvnni)
CONVMIXER_TABLE(avx2_int8)
#endif
CONVMIXER_TABLE(portable)
CONVMIXER_TABLE(portable_bf16)
CONVMIXER_TABLE(portable_int8)

namespace {

#ifdef CONVMIXER_HAS_AVX512
constexpr const KernelTable* kAvx512[] = {&avx512::kTable, &avx512_bf16::kTable,
                                          &avx512_vnni::kTable};
#else
constexpr const KernelTable* kAvx512[] = {nullptr, nullptr, nullptr};
#endif
#ifdef CONVMIXER_HAS_AVX2
constexpr const KernelTable* kAvx2[] = {&avx2::kTable, &avxvnni::kTable, &avx2_int8::kTable};
#else
constexpr const KernelTable* kAvx2[] = {nullptr, nullptr, nullptr};
#endif

std::vector<Variant> all_variants(Precision precision) {
  switch (precision) {
    case kBf16:
      return {{"avx512", "avx512_bf16", kAvx512[1], ""},
              {"portable", "portable_bf16", &portable_bf16::kTable, ""}};
    case kInt8:
      return {{"avx512", "avx512_vnni", kAvx512[2], ""},
              {"avx2", "avxvnni", kAvx2[1], ""},
              {"avx2", "avx2_int8", kAvx2[2], ""},
              {"portable", "portable_int8", &portable_int8::kTable, ""}};
    default:
      return {{"avx512", "avx512", kAvx512[0], ""},
              {"avx2", "avx2", kAvx2[0], ""},
              {"portable", "portable", &portable::kTable, ""}};
  }
}

}  // namespace

std::vector<Variant> variants(Precision precision) {
  std::vector<Variant> list = all_variants(precision);
  for (Variant& v : list) {
    if (v.table == nullptr) {
      v.refusal = "not part of this build";
      continue;
    }
    const std::string missing = missing_features(v.name);
    if (missing.empty()) continue;
    v.table = nullptr;
    v.refusal = "this CPU or system lacks " + missing;
  }
  return list;
}

std::vector<const KernelTable*> available_tables(Precision precision) {
  std::vector<const KernelTable*> tables;
  for (const Variant& v : variants(precision)) {
    if (v.table != nullptr) tables.push_back(v.table);
  }
  return tables;
}

const char* precision_name(Precision precision) {
  constexpr const char* kNames[kPrecisionCount] = {"fp32", "bf16", "int8"};
  return kNames[precision];
}

std::string variant_names() {
  std::string names;
  for (const Variant& v : variants()) names = v.isa + (names.empty() ? "" : ", ") + names;
  return names;
}

std::string isa_limit() {
  const char* value = std::getenv("CONVMIXER_ISA");
  if (value == nullptr || *value == '\0') return "";
  for (const Variant& v : variants()) {
    if (v.isa == value) return value;
  }
  throw Error(Code::kInvalidArgument, std::string("CONVMIXER_ISA: expected one of ") +
                                          variant_names() + ", found \"" + value + "\"");
}

}  // namespace convmixer
