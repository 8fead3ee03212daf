// SPDX-License-Identifier: Apache-2.0
#include "kernels/registry.h"

#include <cstdlib>

#include "kernels/cpu.h"
#include "support/error.h"

namespace convmixer {

#ifdef CONVMIXER_HAS_AVX512
namespace avx512 {
extern const KernelTable kTable;
}
#endif
#ifdef CONVMIXER_HAS_AVX2
namespace avx2 {
extern const KernelTable kTable;
}
#endif
namespace portable {
extern const KernelTable kTable;
}

std::vector<Variant> variants() {
  std::vector<Variant> list = {
#ifdef CONVMIXER_HAS_AVX512
      {"avx512", &avx512::kTable, ""},
#else
      {"avx512", nullptr, "not part of this build"},
#endif
#ifdef CONVMIXER_HAS_AVX2
      {"avx2", &avx2::kTable, ""},
#else
      {"avx2", nullptr, "not part of this build"},
#endif
      {"portable", &portable::kTable, ""},
  };
  for (Variant& v : list) {
    if (v.table == nullptr) continue;
    const std::string missing = missing_features(v.name);
    if (missing.empty()) continue;
    v.table = nullptr;
    v.refusal = "this CPU or system lacks " + missing;
  }
  return list;
}

std::vector<const KernelTable*> available_tables() {
  std::vector<const KernelTable*> tables;
  for (const Variant& v : variants()) {
    if (v.table != nullptr) tables.push_back(v.table);
  }
  return tables;
}

std::string variant_names() {
  std::string names;
  for (const Variant& v : variants()) names = v.name + (names.empty() ? "" : ", ") + names;
  return names;
}

std::string isa_limit() {
  const char* value = std::getenv("CONVMIXER_ISA");
  if (value == nullptr || *value == '\0') return "";
  for (const Variant& v : variants()) {
    if (v.name == value) return value;
  }
  throw Error(Code::kInvalidArgument, std::string("CONVMIXER_ISA: expected one of ") +
                                          variant_names() + ", found \"" + value + "\"");
}

}  // namespace convmixer
