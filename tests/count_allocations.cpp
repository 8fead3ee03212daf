// SPDX-License-Identifier: Apache-2.0
#include "tests/count_allocations.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>

namespace {
std::atomic<long> allocation_count{0};
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CONVMIXER_COUNT_ALLOCATIONS

// Stand before glibc's, also for operator new and for libraries.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

__attribute__((visibility("default"))) void* malloc(std::size_t size) {
  ++allocation_count;
  return __libc_malloc(size);
}
__attribute__((visibility("default"))) void* calloc(std::size_t n, std::size_t size) {
  ++allocation_count;
  return __libc_calloc(n, size);
}
__attribute__((visibility("default"))) void* realloc(void* p, std::size_t size) {
  ++allocation_count;
  return __libc_realloc(p, size);
}
__attribute__((visibility("default"))) void* aligned_alloc(std::size_t alignment,
                                                           std::size_t size) {
  ++allocation_count;
  return __libc_memalign(alignment, size);
}
__attribute__((visibility("default"))) int posix_memalign(void** p, std::size_t alignment,
                                                          std::size_t size) {
  ++allocation_count;
  *p = __libc_memalign(alignment, size);
  return *p == nullptr ? 12 : 0;  // ENOMEM
}
}
#endif

namespace convmixer::test {

bool can_count_allocations() {
#ifdef CONVMIXER_COUNT_ALLOCATIONS
  return true;
#else
  return false;
#endif
}

long allocations() { return allocation_count; }

}  // namespace convmixer::test
