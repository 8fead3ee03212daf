// SPDX-License-Identifier: Apache-2.0
#include "engine/executor.h"

#include <algorithm>
#include <utility>

#include "engine/runner.h"

namespace convmixer {

Session::Session(std::shared_ptr<const Plan> plan, int threads, int chunk_size, Observer* observer)
    : plan_(std::move(plan)),
      runner_(plan_->native ? make_native_runner(*plan_, threads, chunk_size, observer)
                            : make_onednn_runner(*plan_, threads, chunk_size)),
      threads_(threads) {}
Session::~Session() = default;

template <typename T>
void Session::run_chunks(const T* src, std::size_t n, float* logits, float* features) {
  const Geometry& g = plan_->geometry;
  const auto classes = static_cast<std::size_t>(g.num_classes),
             dim = static_cast<std::size_t>(g.dim);
  for (std::size_t done = 0; done < n;) {
    const std::size_t now = std::min(n - done, static_cast<std::size_t>(chunk_size()));
    runner_->run(src + done * g.image_values(), static_cast<int>(now), logits + done * classes,
                 features == nullptr ? nullptr : features + done * dim);
    done += now;
  }
  if (features != nullptr && !plan_->features.empty()) finish_features(n, features);
}

void Session::finish_features(std::size_t n, float* features) const {
  const std::vector<double>&scale = plan_->features.scale, &shift = plan_->features.shift;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t c = 0; c < scale.size(); ++c, ++features) {
      *features = static_cast<float>(scale[c] * *features + shift[c]);
    }
  }
}

void Session::run(const float* src, std::size_t n, float* logits, float* features) {
  run_chunks(src, n, logits, features);
}
void Session::run(const std::uint8_t* src, std::size_t n, float* logits, float* features) {
  run_chunks(src, n, logits, features);
}

double Session::measure_fma_peak() { return runner_->measure_fma_peak(); }
int Session::chunk_size() const { return runner_->chunk_size(); }
std::size_t Session::arena_bytes() const { return runner_->arena_bytes(); }

}  // namespace convmixer
