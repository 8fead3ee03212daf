// SPDX-License-Identifier: Apache-2.0
// The text of kernels/isa_avxvnni.cpp with AVX2's instructions in the place of vpdpbusd and
// vpdpwssd: every CPU with AVX2 tests what is around them.
#include <immintrin.h>

namespace {

// Four unsigned times four signed bytes a word, in 16 bits, the even ones and the odd ones.
inline __m256i dpbusd(__m256i sum, __m256i a, __m256i b) {
  const __m256i even = _mm256_madd_epi16(_mm256_and_si256(a, _mm256_set1_epi16(255)),
                                         _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8));
  const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(a, 8), _mm256_srai_epi16(b, 8));
  return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}
// Two signed times two signed 16 bits a word.
inline __m256i dpwssd(__m256i sum, __m256i a, __m256i b) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}

}  // namespace

#define CONVMIXER_ISA emulated_vnni
#define CONVMIXER_INT8
#define CONVMIXER_AVXVNNI(name) name
#include "kernels/simd_avx2.h"
#include "kernels/table.inl.h"
