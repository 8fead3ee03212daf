// SPDX-License-Identifier: Apache-2.0
// Structs of the caller's that begin with struct_size, which may be older or newer than ours.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstring>

#include "convmixer.h"
#include "support/error.h"

namespace convmixer {

// The caller may have put any number in an enum; reading it as an enum would be undefined then.
template <typename Enum>
int number_of(const Enum& value) {
  static_assert(sizeof(Enum) == sizeof(int));
  int number;
  std::memcpy(&number, &value, sizeof(number));
  return number;
}

// Where the fields behind struct_size begin, so that a size that ends inside one leaves it out.
template <typename T>
struct Fields;

template <>
struct Fields<convmixer_model_options> {
  using T = convmixer_model_options;
  static constexpr const char* kName = "convmixer_model_options";
  static constexpr const char* kInit = "CONVMIXER_MODEL_OPTIONS_INIT";
  static constexpr std::size_t kBegin[] = {
      offsetof(T, isa),          offsetof(T, onednn),      offsetof(T, activation),
      offsetof(T, image_height), offsetof(T, image_width), offsetof(T, mean),
      offsetof(T, std),          offsetof(T, crop_pct),    offsetof(T, bn_eps),
      offsetof(T, strassen),     offsetof(T, low_memory),  offsetof(T, precision)};
};

template <>
struct Fields<convmixer_convert_options> {
  using T = convmixer_convert_options;
  static constexpr const char* kName = "convmixer_convert_options";
  static constexpr const char* kInit = "CONVMIXER_CONVERT_OPTIONS_INIT";
  static constexpr std::size_t kBegin[] = {offsetof(T, activation),  offsetof(T, image_height),
                                           offsetof(T, image_width), offsetof(T, mean),
                                           offsetof(T, std),         offsetof(T, crop_pct),
                                           offsetof(T, bn_eps),      offsetof(T, interpolation),
                                           offsetof(T, labels),      offsetof(T, num_labels)};
};

template <>
struct Fields<convmixer_model_info> {
  using T = convmixer_model_info;
  static constexpr const char* kName = "convmixer_model_info";
  static constexpr const char* kInit = "CONVMIXER_MODEL_INFO_INIT";
  static constexpr std::size_t kBegin[] = {offsetof(T, dim),
                                           offsetof(T, depth),
                                           offsetof(T, kernel_size),
                                           offsetof(T, patch_size),
                                           offsetof(T, num_classes),
                                           offsetof(T, activation),
                                           offsetof(T, image_height),
                                           offsetof(T, image_width),
                                           offsetof(T, mean),
                                           offsetof(T, std),
                                           offsetof(T, crop_pct),
                                           offsetof(T, bn_eps),
                                           offsetof(T, num_parameters),
                                           offsetof(T, num_macs),
                                           offsetof(T, weight_bytes),
                                           offsetof(T, isa),
                                           offsetof(T, interpolation),
                                           offsetof(T, num_labels),
                                           offsetof(T, strassen_levels),
                                           offsetof(T, precision)};
};

template <>
struct Fields<convmixer_session_options> {
  using T = convmixer_session_options;
  static constexpr const char* kName = "convmixer_session_options";
  static constexpr const char* kInit = "CONVMIXER_SESSION_OPTIONS_INIT";
  static constexpr std::size_t kBegin[] = {offsetof(T, threads), offsetof(T, chunk_size)};
};

template <>
struct Fields<convmixer_session_info> {
  using T = convmixer_session_info;
  static constexpr const char* kName = "convmixer_session_info";
  static constexpr const char* kInit = "CONVMIXER_SESSION_INFO_INIT";
  static constexpr std::size_t kBegin[] = {offsetof(T, threads), offsetof(T, chunk_size),
                                           offsetof(T, memory_bytes)};
};

template <>
struct Fields<convmixer_image_options> {
  using T = convmixer_image_options;
  static constexpr const char* kName = "convmixer_image_options";
  static constexpr const char* kInit = "CONVMIXER_IMAGE_OPTIONS_INIT";
  static constexpr std::size_t kBegin[] = {offsetof(T, max_pixels),   offsetof(T, exif_orientation),
                                           offsetof(T, image_height), offsetof(T, image_width),
                                           offsetof(T, crop_pct),     offsetof(T, interpolation)};
};

// Bytes of the fields wholly inside struct_size, which is checked: 0 is a forgotten ..._INIT.
template <typename T>
std::size_t known_bytes(const T* given) {
  constexpr std::size_t kMaxStructSize = 4096;  // more is a struct that was not initialised
  const std::size_t size = given->struct_size;
  if (size < sizeof(size) || size > kMaxStructSize) {
    throw Error(Code::kInvalidArgument,
                fmt::format("{}: struct_size is {}; initialise the struct with {}",
                            Fields<T>::kName, size, Fields<T>::kInit));
  }
  if (size >= sizeof(T)) return sizeof(T);
  std::size_t bytes = sizeof(size);
  for (const std::size_t begin : Fields<T>::kBegin) {
    if (begin <= size) bytes = begin;
  }
  return bytes;
}

// A copy of the caller's options, as this library knows them; zero where they have none.
template <typename T>
T read_options(const T* given) {
  T known{};
  if (given == nullptr) return known;
  const std::size_t bytes = known_bytes(given);
  const auto* byte = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t i = sizeof(T); i < given->struct_size; ++i) {
    if (byte[i] == 0) continue;
    throw Error(Code::kInvalidArgument,
                fmt::format("{}: struct_size is {}, and byte {} is set, which belongs to a field "
                            "that this version does not know",
                            Fields<T>::kName, given->struct_size, i));
  }
  std::memcpy(static_cast<void*>(&known), given, bytes);
  return known;
}

// The other way: fills the caller's struct as far as the caller knows it.
template <typename T>
void write_info(T known, T* info) {
  const std::size_t bytes = known_bytes(info);
  known.struct_size = info->struct_size;
  std::memcpy(static_cast<void*>(info), &known, bytes);
}

}  // namespace convmixer
