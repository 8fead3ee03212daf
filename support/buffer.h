// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace convmixer {

// Zero-filled array of trivial T, aligned to a cache line (64 bytes, also the width of an AVX-512
// register). Movable, not copyable; throws std::bad_alloc.
template <typename T>
class Buffer {
 public:
  static constexpr std::size_t kAlignment = 64;
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;

  Buffer() = default;
  explicit Buffer(std::size_t size) : size_(size) {
    if (size == 0) return;
    if (size > (SIZE_MAX - kAlignment) / sizeof(T)) throw std::bad_alloc();
    const std::size_t bytes = (size * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    const bool large = bytes >= kHugePage;
    // Unlike std::aligned_alloc, this takes a size that is no multiple of the alignment.
    void* memory = nullptr;
    if (::posix_memalign(&memory, large ? kHugePage : kAlignment, bytes) != 0) {
      throw std::bad_alloc();
    }
    data_ = static_cast<T*>(memory);
    // Fewer page faults while it is filled and fewer TLB misses afterwards; a refusal costs
    // nothing.
    if (large) ::madvise(static_cast<void*>(data_), bytes, MADV_HUGEPAGE);
    std::memset(static_cast<void*>(data_), 0, bytes);
  }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer() { std::free(data_); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  void swap(Buffer& other) {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace convmixer
