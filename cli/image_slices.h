// SPDX-License-Identifier: Apache-2.0
// How a command runs a long list of images: a slice of it at a time.
#pragma once

#include <convmixer.h>

#include <algorithm>
#include <cstddef>

#include "cli/clock.h"

namespace convmixer::cli {

// Is it the image that is bad? Whatever else fails must not look like fewer images.
inline bool is_about_image(convmixer_status status) {
  return status != CONVMIXER_OUT_OF_MEMORY && status != CONVMIXER_BUSY &&
         status != CONVMIXER_INTERNAL_ERROR;
}

// A slice that took less is followed by a longer one.
constexpr double kSliceSeconds = 0.5;

// The longest one, in whole chunks: it takes the logits, and 1 KB an image for its sentence.
inline std::size_t most_images(const convmixer_session_info& session, int num_classes) {
  constexpr std::size_t kMost = 4096, kMostLogitBytes = std::size_t{16} << 20;
  const std::size_t row = static_cast<std::size_t>(num_classes) * sizeof(float);
  const auto chunk = static_cast<std::size_t>(session.chunk_size);
  return std::max(chunk, std::min(kMost, kMostLogitBytes / row) / chunk * chunk);
}

// Calls body(begin, count) for the images from `first` to before `last`, one slice after the other.
// Within a call of the library decoding goes on beside the network, so a slice is long, and yet no
// more than about a second's work, since a bar and a file of predictions go on from slice to slice.
// No result depends on the slices.
template <typename Body>
void for_each_slice(std::size_t first, std::size_t last, const convmixer_session_info& session,
                    int num_classes, Body body) {
  const std::size_t most = most_images(session, num_classes);
  auto slice = static_cast<std::size_t>(session.chunk_size);
  for (std::size_t done = first; done < last;) {
    const Clock::time_point begin = Clock::now();
    const std::size_t count = std::min(slice, last - done);
    body(done, count);
    done += count;
    if (seconds_since(begin) < kSliceSeconds) slice = std::min(most, 2 * slice);
  }
}

}  // namespace convmixer::cli
