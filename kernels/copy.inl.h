// SPDX-License-Identifier: Apache-2.0
// Copies of few values, for vectors that have no masks.
#pragma once

#include <stddef.h>

namespace convmixer::CONVMIXER_ISA {
namespace {

template <int kBytes, typename T>
inline void copy_part(T*& dst, const T*& src) {
  __builtin_memcpy(dst, src, kBytes);
  dst += kBytes / sizeof(T);
  src += kBytes / sizeof(T);
}

// Bytes that copy_values may write behind the last value.
constexpr int kCopySlack = 0;
template <typename T>
inline void copy_values(T* dst, const T* src, int n) {
  int bytes = n * int{sizeof(T)};
  for (; bytes >= 16; bytes -= 16) {
    copy_part<16>(dst, src);
    __asm__("" : "+r"(src));  // else g++ makes a string instruction of the loop, which is slow
  }
  if (bytes & 8) copy_part<8>(dst, src);
  if (bytes & 4) copy_part<4>(dst, src);
  if constexpr (sizeof(T) == 1) {
    if (bytes & 2) copy_part<2>(dst, src);
    if (bytes & 1) copy_part<1>(dst, src);
  }
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
