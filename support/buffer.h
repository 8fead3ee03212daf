// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

// g++ has a macro of its own for it, clang a feature.
#if defined(__SANITIZE_ADDRESS__)
#define CONVMIXER_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CONVMIXER_ADDRESS_SANITIZER
#endif
#endif

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
    if (size > (SIZE_MAX - 2 * kHugePage) / sizeof(T)) throw std::bad_alloc();
    if (is_mapped()) {
      data_ = static_cast<T*>(map(mapped_bytes()));
      return;
    }
    // Unlike std::aligned_alloc, this takes a size that is no multiple of the alignment.
    const std::size_t room = round_up(bytes(), kAlignment);
    void* memory = nullptr;
    if (::posix_memalign(&memory, kAlignment, room) != 0) throw std::bad_alloc();
    data_ = static_cast<T*>(std::memset(memory, 0, room));
  }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer() {
    if (is_mapped()) {
      ::munmap(static_cast<void*>(data_), mapped_bytes());
    } else {
      std::free(data_);
    }
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  // A large one is mapped: the system clears its pages when they are first written, so that they
  // are not written twice, and lie near the thread that does so. AddressSanitizer knows only of
  // malloc's where they end.
  bool is_mapped() const {
#ifdef CONVMIXER_ADDRESS_SANITIZER
    return false;
#else
    return bytes() >= kHugePage;
#endif
  }
  // Whole huge pages where they take a seventh more at most: otherwise up to half of a layer's
  // weights would lie in small ones.
  std::size_t mapped_bytes() const {
    constexpr std::size_t kPage = 64 << 10;  // the largest of any system
    const std::size_t huge = round_up(bytes(), kHugePage);
    return huge - bytes() <= bytes() / 7 ? huge : round_up(bytes(), kPage);
  }
  static std::size_t round_up(std::size_t bytes, std::size_t unit) {
    return (bytes + unit - 1) / unit * unit;
  }

  // At a multiple of kHugePage, whatever lies before and behind it given back.
  static void* map(std::size_t bytes) {
    void* const all = ::mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) throw std::bad_alloc();
    const auto from = reinterpret_cast<std::uintptr_t>(all);
    const std::size_t before = (kHugePage - from % kHugePage) % kHugePage;
    char* const begin = static_cast<char*>(all) + before;
    if (before != 0) ::munmap(all, before);
    ::munmap(begin + bytes, kHugePage - before);
    // Fewer page faults while it is filled and fewer TLB misses afterwards; a refusal costs
    // nothing.
    ::madvise(begin, bytes, MADV_HUGEPAGE);
    return begin;
  }

  void swap(Buffer& other) {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace convmixer
