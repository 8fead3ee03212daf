// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu.h"

#include <fstream>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#endif

namespace convmixer {
namespace {

#if defined(__x86_64__)
void need(bool has, const char* name, std::string& missing) {
  if (has) return;
  if (!missing.empty()) missing += ' ';
  missing += name;
}

// Linux saves AMX's registers of those processes only that have asked for it (since 5.16).
bool may_use_tiles() {
#ifdef SYS_arch_prctl
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return false;
  unsigned low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr unsigned kTileState = 3u << 17;  // XTILECFG and XTILEDATA of XCR0
  if ((low & kTileState) != kTileState) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

// Of the first CPU, from sysfs: "32768K". 0 where the system does not tell. (sysconf's figure for
// L3 is that of all cores together on some AMD processors.)
std::size_t cache_size(int level) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder =
        "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    std::ifstream level_file(folder + "level"), type_file(folder + "type"),
        size_file(folder + "size");
    int found = 0;
    std::string type;
    std::size_t kib = 0;
    if (level_file >> found && type_file >> type && size_file >> kib && found == level &&
        type != "Instruction") {
      return kib << 10;
    }
  }
  return 0;
}

std::size_t cache_size_or(int level, std::size_t typical) {
  const std::size_t bytes = cache_size(level);
  return bytes != 0 ? bytes : typical;
}

}  // namespace

std::string missing_features(const std::string& variant, Amx use) {
  std::string missing;
#if defined(__x86_64__)
  // __builtin_cpu_supports includes XGETBV: the system must save the registers.
  __builtin_cpu_init();
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool amx = variant.starts_with("amx");
  if (amx || variant.starts_with("avx")) {
    need(__builtin_cpu_supports("avx2"), "AVX2", missing);
    need(__builtin_cpu_supports("fma"), "FMA", missing);
    need(__get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C), "F16C", missing);
  }
  if (amx || variant.starts_with("avx512")) {
    need(__builtin_cpu_supports("avx512f"), "AVX512F", missing);
    need(__builtin_cpu_supports("avx512bw"), "AVX512BW", missing);
    need(__builtin_cpu_supports("avx512dq"), "AVX512DQ", missing);
    need(__builtin_cpu_supports("avx512vl"), "AVX512VL", missing);
  }
  if (variant == "avx512_bf16" || variant == "amx" || variant == "amx_bf16") {
    need(__builtin_cpu_supports("avx512bf16"), "AVX512_BF16", missing);
  }
  if (variant == "avx512_vnni" || variant == "amx_int8") {
    need(__builtin_cpu_supports("avx512vnni"), "AVX512_VNNI", missing);
  }
  if (amx) {
    constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24, kAmxInt8 = 1u << 25;
    const bool known = __get_cpuid_count(7, 0, &a, &b, &c, &d);
    if (variant != "amx_int8") need(known && (d & kAmxBf16), "AMX_BF16", missing);
    if (variant == "amx_int8") need(known && (d & kAmxInt8), "AMX_INT8", missing);
    need(known && (d & kAmxTile), "AMX_TILE", missing);
    if (missing.empty() && use == Amx::kUsed) {
      need(may_use_tiles(), "permission to use AMX", missing);
    }
  }
  if (variant == "avxvnni") {
    // Not among the names that compilers of 2022 know. Its registers are AVX2's.
    constexpr unsigned kAvxVnni = 1u << 4;
    need(__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & kAvxVnni), "AVX_VNNI", missing);
  }
#else
  (void)use;
  if (!variant.starts_with("portable")) missing = "an x86-64 CPU";
#endif
  return missing;
}

bool has_slow_bf16_vectors() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("intel");
#else
  return false;
#endif
}

std::string cpu_name() {
#if defined(__x86_64__)
  unsigned regs[12];
  const unsigned last_leaf = __get_cpuid_max(0x80000000, nullptr);  // clang 14 gives an int
  if (last_leaf >= 0x80000004) {
    for (unsigned i = 0; i < 3; ++i) {
      unsigned* r = regs + 4 * i;
      __get_cpuid(0x80000002 + i, &r[0], &r[1], &r[2], &r[3]);
    }
    char text[sizeof(regs) + 1] = {};
    std::memcpy(text, regs, sizeof(regs));
    std::string name(text);
    const std::size_t first = name.find_first_not_of(' '), last = name.find_last_not_of(' ');
    if (first != std::string::npos) return name.substr(first, last - first + 1);
  }
#endif
  return "unknown CPU";
}

const CacheSizes& cache_sizes() {
  static const CacheSizes sizes{cache_size_or(1, 32 << 10), cache_size_or(2, 512 << 10),
                                cache_size_or(3, 8 << 20)};
  return sizes;
}

}  // namespace convmixer
