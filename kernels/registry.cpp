// SPDX-License-Identifier: Apache-2.0
#include "kernels/registry.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "kernels/cpu.h"
#include "support/error.h"

namespace convmixer {

// amx_table is &amx::kTable, or null where it was not built: named after the variant, by pasting.
#define CONVMIXER_TABLE(name)                                \
  namespace name {                                           \
  extern const KernelTable kTable;                           \
  }                                                          \
  namespace {                                                \
  constexpr const KernelTable* name##_table = &name::kTable; \
  }
#define CONVMIXER_NO_TABLE(name)                       \
  namespace {                                          \
  constexpr const KernelTable* name##_table = nullptr; \
  }

#ifdef CONVMIXER_HAS_AMX
#define CONVMIXER_AMX_TABLE CONVMIXER_TABLE
#else
#define CONVMIXER_AMX_TABLE CONVMIXER_NO_TABLE
#endif
#ifdef CONVMIXER_HAS_AVX512
#define CONVMIXER_AVX512_TABLE CONVMIXER_TABLE
#else
#define CONVMIXER_AVX512_TABLE CONVMIXER_NO_TABLE
#endif
#ifdef CONVMIXER_HAS_AVX2
#define CONVMIXER_AVX2_TABLE CONVMIXER_TABLE
#else
#define CONVMIXER_AVX2_TABLE CONVMIXER_NO_TABLE
#endif
CONVMIXER_AMX_TABLE(amx)
CONVMIXER_AMX_TABLE(amx_bf16)
CONVMIXER_AMX_TABLE(amx_int8)
CONVMIXER_AVX512_TABLE(avx512)
CONVMIXER_AVX512_TABLE(avx512_bf16)
CONVMIXER_AVX512_TABLE(avx512_vnni)
CONVMIXER_AVX2_TABLE(avx2)
CONVMIXER_AVX2_TABLE(avxvnni)
CONVMIXER_AVX2_TABLE(avx2_int8)
CONVMIXER_TABLE(portable)
CONVMIXER_TABLE(portable_bf16)
CONVMIXER_TABLE(portable_int8)

namespace {

constexpr const char* kIsas[] = {"portable", "avx2", "avx512", "amx"};

std::vector<Variant> all_variants(Precision precision) {
  switch (precision) {
    case kBf16:
      return {{"amx", "amx_bf16", amx_bf16_table, ""},
              {"avx512", "avx512_bf16", avx512_bf16_table, ""},
              {"portable", "portable_bf16", portable_bf16_table, ""}};
    case kInt8:
      return {{"amx", "amx_int8", amx_int8_table, ""},
              {"avx512", "avx512_vnni", avx512_vnni_table, ""},
              {"avx2", "avxvnni", avxvnni_table, ""},
              {"avx2", "avx2_int8", avx2_int8_table, ""},
              {"portable", "portable_int8", portable_int8_table, ""}};
    default:
      return {{"amx", "amx", amx_table, ""},
              {"avx512", "avx512", avx512_table, ""},
              {"avx2", "avx2", avx2_table, ""},
              {"portable", "portable", portable_table, ""}};
  }
}

}  // namespace

std::vector<Variant> variants(Precision precision, const IsaLimit& limit) {
  const auto refusal_of = [&](const Variant& v) -> std::string {
    if (v.table == nullptr) return "not part of this build";
    const bool beyond = !limit.isa.empty() && isa_rank(v.isa) > isa_rank(limit.isa);
    const std::string missing = missing_features(v.name, beyond ? Amx::kKnown : Amx::kUsed);
    if (!missing.empty()) return "this CPU or system lacks " + missing;
    return beyond ? limit.reason : "";
  };
  std::vector<Variant> list = all_variants(precision);
  for (Variant& v : list) {
    v.refusal = refusal_of(v);
    if (!v.refusal.empty()) v.table = nullptr;
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

std::string isa_names() {
  std::string names;
  for (const char* name : kIsas) {
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

int isa_rank(const std::string& isa) {
  const auto* const found = std::find(std::begin(kIsas), std::end(kIsas), isa);
  return found == std::end(kIsas) ? -1 : static_cast<int>(found - std::begin(kIsas));
}

std::string isa_limit() {
  const char* value = std::getenv("CONVMIXER_ISA");
  if (value == nullptr || *value == '\0') return "";
  if (isa_rank(value) >= 0) return value;
  throw Error(Code::kInvalidArgument, std::string("CONVMIXER_ISA: expected one of ") + isa_names() +
                                          ", found \"" + value + "\"");
}

}  // namespace convmixer
