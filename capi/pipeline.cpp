// SPDX-License-Identifier: Apache-2.0
#include "capi/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <limits>
#include <mutex>
#include <numeric>
#include <thread>

#include "capi/failure.h"
#include "capi/image_options.h"
#include "support/buffer.h"
#include "support/error.h"
#include "support/file_map.h"
#include "support/signals.h"

namespace convmixer {
namespace {

// Of an image file: far above any real one, so that a wrong file does not take all memory.
constexpr std::size_t kMostImageBytes = std::size_t{1} << 30;

RgbView view_of(const convmixer_image& image, const std::string& name,
                const DecodeOptions& decode) {
  if (image.width < 1 || image.height < 1) {
    throw Error(Code::kInvalidArgument,
                fmt::format("{}: expected pixels of width and height 1 or more, found {} × {}",
                            name, image.width, image.height));
  }
  const std::size_t row = std::size_t{3} * static_cast<std::size_t>(image.width);
  const std::size_t stride = image.stride == 0 ? row : image.stride;
  if (stride < row || stride > PTRDIFF_MAX / static_cast<std::size_t>(image.height)) {
    throw Error(Code::kInvalidArgument,
                fmt::format("{}: stride is {}, expected 0 or at least {} for a width of {} pixels",
                            name, image.stride, row, image.width));
  }
  const std::uint64_t pixels = std::uint64_t(image.width) * std::uint64_t(image.height);
  if (pixels > decode.max_pixels) {
    throw Error(Code::kLimit, fmt::format("{}: {} × {} pixels are more than max_pixels, {}", name,
                                          image.width, image.height, decode.max_pixels));
  }
  return {image.pixels, image.width, image.height, stride};
}

// The caller's images on their way to the network, in a ring of slots. Blocks of `block` images
// stand side by side, so that the network takes a block at once. Image i is always in slot i %
// slots, whoever decodes it, and its status is in results[i]: nothing depends on who came first.
class DecodeRing {
 public:
  DecodeRing(const ImageJob& job, const TransformOptions& transform, std::size_t block,
             std::size_t workers);
  ~DecodeRing();
  DecodeRing(const DecodeRing&) = delete;
  DecodeRing& operator=(const DecodeRing&) = delete;

  // Waits for the images of the block that begins with image `first`, decoding some itself; returns
  // the first one's pixels. Blocks are taken in order.
  std::uint8_t* take(std::size_t first);
  // The slots of the block last taken may be overwritten.
  void release();

  std::size_t image_bytes() const { return image_bytes_; }

 private:
  void start(std::size_t workers);
  void work();
  void decode_next(std::unique_lock<std::mutex>& lock);
  void decode(std::size_t i) noexcept;

  const ImageJob& job_;
  const TransformOptions transform_;
  const std::size_t block_, blocks_, image_bytes_;
  Buffer<std::uint8_t> pixels_;

  std::mutex mutex_;
  std::condition_variable slot_free_, block_decoded_;
  std::vector<std::size_t> decoded_;  // images of each block in the ring
  std::size_t next_ = 0;              // image to decode
  std::size_t released_ = 0;          // images before it have left the ring
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

// One block is with the network while another fills; more where a block has fewer images than there
// are workers, so that none has to wait for a slot. Without workers nothing fills meanwhile.
std::size_t blocks_in_ring(std::size_t count, std::size_t block, std::size_t workers) {
  if (workers == 0) return 1;
  const std::size_t ahead = std::max<std::size_t>(1, (workers + block - 1) / block);
  return std::min(1 + ahead, (count + block - 1) / block);
}

DecodeRing::DecodeRing(const ImageJob& job, const TransformOptions& transform, std::size_t block,
                       std::size_t workers)
    : job_(job),
      transform_(transform),
      block_(block),
      blocks_(blocks_in_ring(job.count, block, workers)),
      image_bytes_(transform.bytes()),
      pixels_(blocks_ * block_ * image_bytes_),
      decoded_(blocks_) {
  start(workers);
}

// Where the system refuses a thread, or the memory for it, the caller decodes what the others
// leave.
void DecodeRing::start(std::size_t workers) {
  threads_.reserve(workers);
  try {
    const SignalsBlocked guard;
    while (threads_.size() < workers) threads_.emplace_back([this] { work(); });
  } catch (const std::exception&) {
  }
}

DecodeRing::~DecodeRing() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  slot_free_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void DecodeRing::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    slot_free_.wait(lock, [this] {
      return stop_ || next_ == job_.count || next_ - released_ < blocks_ * block_;
    });
    if (stop_ || next_ == job_.count) return;
    decode_next(lock);
  }
}

void DecodeRing::decode_next(std::unique_lock<std::mutex>& lock) {
  const std::size_t i = next_++;
  lock.unlock();
  decode(i);
  lock.lock();
  ++decoded_[i / block_ % blocks_];
  block_decoded_.notify_one();
}

void DecodeRing::decode(std::size_t i) noexcept {
  convmixer_result& result = job_.results[i];
  try {
    load_image(job_.images[i], fmt::format("image {}", i), job_.decode, transform_,
               pixels_.data() + i % (blocks_ * block_) * image_bytes_);
    result.status = CONVMIXER_OK;
    result.error[0] = '\0';
  } catch (...) {
    result.status = current_failure(result.error, sizeof(result.error));
  }
}

std::uint8_t* DecodeRing::take(std::size_t first) {
  const std::size_t end = std::min(first + block_, job_.count);
  const std::size_t slot = first / block_ % blocks_;
  std::unique_lock lock(mutex_);
  while (decoded_[slot] < end - first) {
    if (next_ < end) {
      decode_next(lock);
    } else {
      block_decoded_.wait(lock);
    }
  }
  return pixels_.data() + slot * block_ * image_bytes_;
}

void DecodeRing::release() {
  {
    const std::lock_guard lock(mutex_);
    decoded_[released_ / block_ % blocks_] = 0;
    released_ = std::min(released_ + block_, job_.count);
  }
  slot_free_.notify_all();
}

// Moves the good images of a block together; returns how many there are.
std::size_t compact(std::uint8_t* pixels, std::size_t image_bytes, const convmixer_result* results,
                    std::size_t count) {
  std::size_t good = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (results[i].status != CONVMIXER_OK) continue;
    if (i != good) {
      std::memcpy(pixels + good * image_bytes, pixels + i * image_bytes, image_bytes);
    }
    ++good;
  }
  return good;
}

// Logits of `good` images; a failure becomes the status of each of them.
void run_block(Session& session, const std::uint8_t* pixels, std::size_t good, float* logits,
               convmixer_result* results, std::size_t count) {
  try {
    if (good > 0) session.run(pixels, good, logits, nullptr);
  } catch (...) {
    for (std::size_t i = 0; i < count; ++i) {
      if (results[i].status != CONVMIXER_OK) continue;
      results[i].status = current_failure(results[i].error, sizeof(results[i].error));
    }
  }
}

}  // namespace

TransformOptions transform_of(const ModelConfig& config) {
  return {config.image_height, config.image_width, config.crop_pct,
          interpolation_named(config.interpolation).value};
}

void load_image(const convmixer_image& image, const std::string& name, const DecodeOptions& decode,
                const TransformOptions& transform, std::uint8_t* dst) {
  const int sources =
      int(image.path != nullptr) + int(image.data != nullptr) + int(image.pixels != nullptr);
  if (sources != 1) {
    throw Error(Code::kInvalidArgument,
                fmt::format("{}: expected exactly one of path, data and pixels, found {} of them",
                            name, sources));
  }
  if (image.pixels != nullptr) {
    transform_image(view_of(image, name, decode), transform, dst);
    return;
  }
  if (image.path != nullptr) {
    const std::vector<std::uint8_t> file = read_file(image.path, kMostImageBytes);
    decode_transformed(file.data(), file.size(), decode, transform, image.path, dst);
  } else {
    decode_transformed(static_cast<const std::uint8_t*>(image.data), image.size, decode, transform,
                       name, dst);
  }
}

ImageJob image_job(const convmixer_image* images, std::size_t count,
                   const convmixer_image_options* given, convmixer_result* results) {
  const convmixer_image_options options = model_image_options(given);
  if (count > 0) {
    need(images, "images");
    need(results, "results");
    need_room("count", count, std::max(sizeof(*images), sizeof(*results)));
  }
  return {images, count, decode_options_of(options), results};
}

Ranking::Ranking(int num_classes)
    : powers_(static_cast<std::size_t>(num_classes)),
      keys_(powers_.size()),
      order_(powers_.size()) {}

void Ranking::best(const float* logits, int top_k, convmixer_prediction* dst) {
  float largest = -std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < keys_.size(); ++i) largest = std::max(largest, logits[i]);
  double sum = 0;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    powers_[i] = std::exp(double{logits[i]} - double{largest});
    sum += powers_[i];
  }
  const bool no_probabilities = std::isnan(sum);
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    keys_[i] = no_probabilities ? logits[i] : static_cast<float>(powers_[i] / sum);
  }
  const auto before = [this](std::int32_t a, std::int32_t b) {
    const float x = keys_[static_cast<std::size_t>(a)], y = keys_[static_cast<std::size_t>(b)];
    if (std::isnan(x) != std::isnan(y)) return std::isnan(y);
    return x > y || (!(x < y) && a < b);
  };
  std::iota(order_.begin(), order_.end(), 0);
  std::partial_sort(order_.begin(), order_.begin() + top_k, order_.end(), before);
  for (int k = 0; k < top_k; ++k) {
    const std::int32_t index = order_[static_cast<std::size_t>(k)];
    const auto i = static_cast<std::size_t>(index);
    dst[k] = {index, static_cast<float>(powers_[i] / sum), logits[i], nullptr};
  }
}

void run_images(Session& session, const ModelConfig& config, const ImageJob& job,
                const LogitsSink& sink) {
  if (job.count == 0) return;
  const auto classes = static_cast<std::size_t>(config.num_classes);
  const std::size_t block =
      std::clamp<std::size_t>(static_cast<std::size_t>(session.chunk_size()), 1, job.count);
  // While it waits for a block the caller decodes as well.
  const std::size_t workers =
      std::min(static_cast<std::size_t>(std::max(session.threads(), 1)), job.count) - 1;
  Buffer<float> logits(block * classes);
  DecodeRing ring(job, transform_of(config), block, workers);
  for (std::size_t first = 0; first < job.count; first += block) {
    const std::size_t n = std::min(block, job.count - first);
    convmixer_result* results = job.results + first;
    std::uint8_t* pixels = ring.take(first);
    const std::size_t good = compact(pixels, ring.image_bytes(), results, n);
    run_block(session, pixels, good, logits.data(), results, n);
    ring.release();
    const float* row = logits.data();
    for (std::size_t i = 0; i < n; ++i) {
      if (results[i].status != CONVMIXER_OK) continue;
      sink(first + i, row);
      row += classes;
    }
  }
}

void classify(Session& session, const ModelConfig& config, const ImageJob& job, int top_k,
              convmixer_prediction* predictions) {
  Ranking ranking(config.num_classes);
  run_images(session, config, job, [&](std::size_t i, const float* logits) {
    convmixer_prediction* const best = predictions + i * static_cast<std::size_t>(top_k);
    ranking.best(logits, top_k, best);
    if (config.labels.empty()) return;
    for (int k = 0; k < top_k; ++k) {
      best[k].label = config.labels[static_cast<std::size_t>(best[k].index)].c_str();
    }
  });
}

}  // namespace convmixer
