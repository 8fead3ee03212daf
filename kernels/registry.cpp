// SPDX-License-Identifier: Apache-2.0
#include "kernels/registry.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "kernels/cpu.h"
#include "support/error.h"

namespace convmixer {

#define CONVMIXER_TABLE(name)      \
  namespace name {                 \
  extern const KernelTable kTable; \
  }
#ifdef CONVMIXER_HAS_AMX
CONVMIXER_TABLE(amx)
CONVMIXER_TABLE(amx_bf16)
CONVMIXER_TABLE(amx_int8)
#endif
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

constexpr const char* kIsas[] = {"portable", "avx2", "avx512", "amx"};

#ifdef CONVMIXER_HAS_AMX
constexpr const KernelTable* kAmx[] = {&amx::kTable, &amx_bf16::kTable, &amx_int8::kTable};
#else
constexpr const KernelTable* kAmx[] = {nullptr, nullptr, nullptr};
#endif
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
      return {{"amx", "amx_bf16", kAmx[1], ""},
              {"avx512", "avx512_bf16", kAvx512[1], ""},
              {"portable", "portable_bf16", &portable_bf16::kTable, ""}};
    case kInt8:
      return {{"amx", "amx_int8", kAmx[2], ""},
              {"avx512", "avx512_vnni", kAvx512[2], ""},
              {"avx2", "avxvnni", kAvx2[1], ""},
              {"avx2", "avx2_int8", kAvx2[2], ""},
              {"portable", "portable_int8", &portable_int8::kTable, ""}};
    default:
      return {{"amx", "amx", kAmx[0], ""},
              {"avx512", "avx512", kAvx512[0], ""},
              {"avx2", "avx2", kAvx2[0], ""},
              {"portable", "portable", &portable::kTable, ""}};
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
