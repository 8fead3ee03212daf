// SPDX-License-Identifier: Apache-2.0
// Copies of few values by masked loads, which touch nothing behind the last.
#pragma once

#include <immintrin.h>

namespace convmixer::CONVMIXER_ISA {
namespace {

// Bytes that copy_values may write behind the last value.
constexpr int kCopySlack = 64;
inline void copy_values(float* dst, const float* src, int n) {
  if (n <= 8) {  // a shorter store crosses fewer lines
    const auto mask = static_cast<__mmask8>((1u << n) - 1);
    return _mm256_storeu_ps(dst, _mm256_maskz_loadu_ps(mask, src));
  }
  for (; n > 16; n -= 16, dst += 16, src += 16) {
    _mm512_storeu_ps(dst, _mm512_loadu_ps(src));
    __asm__("" : "+r"(src));  // see copy.inl.h
  }
  const auto mask = static_cast<__mmask16>((1u << n) - 1);
  _mm512_storeu_ps(dst, _mm512_maskz_loadu_ps(mask, src));
}
inline void copy_values(unsigned char* dst, const unsigned char* src, int n) {
  for (; n > 64; n -= 64, dst += 64, src += 64) {
    _mm512_storeu_si512(dst, _mm512_loadu_si512(src));
    __asm__("" : "+r"(src));
  }
  const __mmask64 mask = ~__mmask64{0} >> (64 - n);
  _mm512_storeu_si512(dst, _mm512_maskz_loadu_epi8(mask, src));
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
