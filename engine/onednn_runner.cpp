// SPDX-License-Identifier: Apache-2.0
// One image after the other, since primitives are made for one.
#include "engine/onednn_layers.h"
#include "engine/openmp.h"
#include "engine/peak.h"
#include "engine/runner.h"
#include "engine/workers.h"
#include "kernels/registry.h"

namespace convmixer {
namespace {

// So many threads, or as many fewer as oneDNN has the plan's implementations for, which it has for
// one: an image's bits are the same for any number.
int usable_threads(const onednn::Program& program, int threads) {
  for (; threads > 1; --threads) {
    const OmpThreads guard(threads);
    if (program.fits()) break;
  }
  return threads;
}

class OnednnRunner : public Runner {
 public:
  OnednnRunner(const Plan& plan, int threads, int chunk_size)
      : plan_(plan),
        chunk_(chunk_size != 0 ? chunk_size : 1),
        raw_image_(plan.geometry.image_values()) {
    check_threads(threads);
    run_after_fork_too([&] {
      threads_ = usable_threads(*plan_.onednn, threads);
      const OmpThreads guard(threads_);
      instance_ = std::make_unique<onednn::Instance>(*plan_.onednn);
    });
  }

  void run(const float* src, int n, float* logits, float* features) override {
    run_images(src, n, logits, features);
  }
  void run(const std::uint8_t* src, int n, float* logits, float* features) override {
    run_images(src, n, logits, features);
  }

  double measure_fma_peak() override {
    Workers workers(threads_);  // oneDNN's are OpenMP's
    return convmixer::measure_fma_peak(*available_tables(plan_.precision()).front(), workers);
  }

  int chunk_size() const override { return chunk_; }
  std::size_t arena_bytes() const override { return instance_->bytes() + raw_image_.bytes(); }

 private:
  template <typename T>
  void run_images(const T* src, int n, float* logits, float* features) {
    const Geometry& g = plan_.geometry;
    run_after_fork_too([&] {
      const OmpThreads guard(threads_);
      for (int i = 0; i < n; ++i) {
        run_image(src, logits, features);
        src += g.image_values();
        logits += g.num_classes;
        if (features != nullptr) features += g.dim;
      }
    });
  }

  void run_image(const float* src, float* logits, float* features) {
    instance_->run(src, false, logits, features);
  }
  void run_image(const std::uint8_t* src, float* logits, float* features) {
    unpack_image(src, plan_.geometry, raw_image_.data());
    instance_->run(raw_image_.data(), true, logits, features);
  }

  const Plan& plan_;
  const int chunk_;
  int threads_ = 1;  // of OpenMP
  std::unique_ptr<onednn::Instance> instance_;
  Buffer<float> raw_image_;  // raw bytes as (3, h, w) floats
};

}  // namespace

std::unique_ptr<Runner> make_onednn_runner(const Plan& plan, int threads, int chunk_size) {
  return std::make_unique<OnednnRunner>(plan, threads, chunk_size);
}

}  // namespace convmixer
