// SPDX-License-Identifier: Apache-2.0
#include "engine/calibrator.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <limits>
#include <mutex>
#include <string>
#include <utility>

#include "engine/byte_weights.h"
#include "engine/second_moments.h"
#include "support/error.h"

namespace convmixer {
namespace {

constexpr double kSteps = 255;  // between the ends of a range
constexpr const char* kOfEarlier = " for an earlier image";

// Sums of a histogram's bins, each value counted at its bin's centre.
struct Moments {
  double count = 0, sum = 0, squares = 0;
  void add(double n, double at) {
    count += n;
    sum += n * at;
    squares += n * at * at;
  }
  // Σ (value − edge)²
  double around(double edge) const { return squares - 2 * edge * sum + edge * edge * count; }
};

}  // namespace

void Histogram::add(float value) {
  constexpr int kMiddle = kBins / 2;
  float position = value * inverse_width_;  // the width is a power of two
  while (position < -kMiddle || position >= kMiddle) {
    widen();
    position = value * inverse_width_;
  }
  int bin = static_cast<int>(position);
  bin -= position < static_cast<float>(bin) ? 1 : 0;  // downwards
  std::uint32_t& n = bins_[static_cast<std::size_t>(bin + kMiddle)];
  if (n < std::numeric_limits<std::uint32_t>::max()) ++n;
  low_ = std::min(low_, value);
  high_ = std::max(high_, value);
  ++count_;
}

void Histogram::widen() {
  std::array<std::uint32_t, kBins> wider{};
  for (int i = 0; i < kBins; ++i) {
    // Bins −2 and −1 become −1, 0 and 1 become 0.
    const int from_middle = i - kBins / 2;
    const int to = (from_middle >= 0 ? from_middle / 2 : (from_middle - 1) / 2) + kBins / 2;
    std::uint32_t& n = wider[static_cast<std::size_t>(to)];
    const std::uint32_t more = bins_[static_cast<std::size_t>(i)];
    n = n > std::numeric_limits<std::uint32_t>::max() - more
            ? std::numeric_limits<std::uint32_t>::max()
            : n + more;
  }
  bins_ = wider;
  width_ *= 2;
  inverse_width_ /= 2;
}

Histogram::Range Histogram::range(Clipping clipping) const {
  const Range all{low_, high_};  // 0 is in it
  return clipping == Clipping::kMinMax || all.low == all.high ? all : least_squares();
}

// Of all pairs of bin edges around 0, with the ends seen instead of the outermost ones. For a given
// low end the error of cutting above falls and that of rounding rises with the high end; the two
// ends are improved in turn, which settles after two or three rounds.
Histogram::Range Histogram::least_squares() const {
  constexpr int kMiddle = kBins / 2;
  // beyond[i]: of bins kMiddle + i, kMiddle + i + 1, …; below[i]: of i − 1, i − 2, ….
  std::array<Moments, kMiddle + 1> beyond{}, below{};
  const auto centre = [&](int i) { return (i - kMiddle + 0.5) * static_cast<double>(width_); };
  for (int i = kMiddle - 1; i >= 0; --i) {
    const int bin = kMiddle + i;
    beyond[static_cast<std::size_t>(i)] = beyond[static_cast<std::size_t>(i + 1)];
    beyond[static_cast<std::size_t>(i)].add(bins_[static_cast<std::size_t>(bin)], centre(bin));
  }
  for (int i = 0; i < kMiddle; ++i) {
    below[static_cast<std::size_t>(i + 1)] = below[static_cast<std::size_t>(i)];
    below[static_cast<std::size_t>(i + 1)].add(bins_[static_cast<std::size_t>(i)], centre(i));
  }
  const auto edge = [&](int i) {
    return std::clamp((i - kMiddle) * static_cast<double>(width_), static_cast<double>(low_),
                      static_cast<double>(high_));
  };
  const auto error = [&](int low, int high) {
    const double step = (edge(high) - edge(low)) / kSteps;
    return static_cast<double>(count_) * step * step / 12 +
           beyond[static_cast<std::size_t>(high - kMiddle)].around(edge(high)) +
           below[static_cast<std::size_t>(low)].around(edge(low));
  };
  int low = 0, high = kBins;
  constexpr int kRounds = 3;
  for (int round = 0; round < kRounds; ++round) {
    for (int i = kMiddle; i <= kBins; ++i) {
      if (edge(i) > edge(low) && error(low, i) < error(low, high)) high = i;
    }
    for (int i = 0; i <= kMiddle; ++i) {
      if (edge(high) > edge(i) && error(i, high) < error(low, high)) low = i;
    }
  }
  return {edge(low), edge(high)};
}

namespace {

// Values of pixels that see() is shown in any order, in an order of their own: [layer][image of the
// chunk][sampled pixel][row], so that sums over them do not depend on threads and chunks.
class Samples {
 public:
  Samples(int layers, const Geometry& g)
      : pixels_(std::min(g.h * g.w, Calibrator::kSampledPixels)),
        layers_(static_cast<std::size_t>(layers), SecondMoments(g.dim)),
        row_size_(layers > 0 ? layers_.front().row_size() : 0),
        slots_(static_cast<std::size_t>(g.h) * static_cast<std::size_t>(g.w), kNone) {
    // One of each stretch of equal length, not of the same column each time.
    const std::size_t pixels = slots_.size(), count = static_cast<std::size_t>(pixels_);
    for (std::size_t i = 0; i < count; ++i) {
      slots_[i * pixels / count + 7 * i % (pixels / count)] = static_cast<int>(i);
    }
  }

  // For the images of one run.
  void make_room(std::size_t images) {
    const std::size_t size =
        images * static_cast<std::size_t>(pixels_) * static_cast<std::size_t>(row_size_);
    if (size <= layer_size_) return;
    layer_size_ = size;
    rows_.assign(layers_.size() * layer_size_, 0);
  }

  void see(int layer, const Activations& seen, int lanes, int dim) {
    for (int p = 0; p < seen.pixels; ++p) {
      const int slot = slots_[static_cast<std::size_t>(seen.first_pixel + p)];
      if (slot == kNone) continue;
      float* const row = layer_rows(layer) +
                         (static_cast<std::ptrdiff_t>(seen.image) * pixels_ + slot) * row_size_;
      for (int block = seen.first_block; block < seen.end_block; ++block) {
        const int channels = std::min(lanes, dim - block * lanes);
        std::copy_n(seen.at(block, p, lanes), channels, row + block * lanes);
      }
    }
  }

  // Adds up what was seen of `images` images.
  void add(int images, Team& team) {
    team.run([&](int member) {
      team.run_tasks(member, static_cast<int>(layers_.size()), [&](int layer) {
        for (int i = 0; i < images; ++i) {
          layers_[static_cast<std::size_t>(layer)].add(
              layer_rows(layer) + static_cast<std::ptrdiff_t>(i) * pixels_ * row_size_, pixels_);
        }
      });
    });
  }

  const SecondMoments& moments(std::size_t layer) const { return layers_.at(layer); }

 private:
  static constexpr int kNone = -1;
  float* layer_rows(int layer) {
    return rows_.data() + static_cast<std::size_t>(layer) * layer_size_;
  }
  int pixels_;
  std::vector<SecondMoments> layers_;
  int row_size_;
  std::size_t layer_size_ = 0;
  std::vector<int> slots_;  // of each pixel of an image
  std::vector<float> rows_;
};

}  // namespace

// The histograms of all tensors, with a lock for each block of channels, which threads seldom want
// at the same time; and samples of what the pointwise layers read.
class Calibrator::Statistics : public Observer {
 public:
  explicit Statistics(const Plan& plan)
      : lanes_(plan.native->table->lanes),
        blocks_(ceil_div(plan.geometry.dim, lanes_)),
        dim_(plan.geometry.dim),
        tensors_(2 * static_cast<int>(plan.native->blocks.size()) + 1),
        histograms_(static_cast<std::size_t>(tensors_) * static_cast<std::size_t>(dim_)),
        locks_(static_cast<std::size_t>(blocks_)),
        non_finite_(tensors_),
        samples_(tensors_ / 2, plan.geometry) {}

  void see(const Activations& seen) override {
    if (seen.tensor % 2 == 1) samples_.see(seen.tensor / 2, seen, lanes_, dim_);
    for (int block = seen.first_block; block < seen.end_block; ++block) {
      const int channels = std::min(lanes_, dim_ - block * lanes_);
      Histogram* const histogram = &histograms_[index(seen.tensor, block * lanes_)];
      const std::lock_guard<std::mutex> lock(locks_[static_cast<std::size_t>(block)]);
      for (int p = 0; p < seen.pixels; ++p) {
        const float* const pixel = seen.at(block, p, lanes_);
        for (int c = 0; c < channels; ++c) {
          if (std::isfinite(pixel[c])) {
            histogram[c].add(pixel[c]);
          } else {
            note_non_finite(seen.tensor);
          }
        }
      }
    }
  }

  void check_finite(const char* of_which = "") const {
    if (non_finite_ == tensors_) return;
    throw Error(Code::kInvalidArgument,
                fmt::format("calibration: {} has NaN or infinite activations{}",
                            tensor_name(static_cast<std::size_t>(non_finite_)), of_which));
  }

  ChannelScales scales(int tensor, Clipping clipping) const {
    ChannelScales scales;
    for (int c = 0; c < dim_; ++c) {
      const Histogram::Range range = histograms_[index(tensor, c)].range(clipping);
      const double width = range.high - range.low;
      // A channel that is always 0 may have any scale; so may one that is nearly so.
      const bool usable = width / kSteps >= static_cast<double>(std::numeric_limits<float>::min());
      const double scale = usable ? width / kSteps : 1;
      scales.scale.push_back(static_cast<float>(scale));
      scales.zero_point.push_back(
          static_cast<float>(std::clamp(std::nearbyint(-range.low / scale), 0.0, kSteps)));
    }
    return scales;
  }

  int tensors() const { return tensors_; }
  Samples& samples() { return samples_; }
  bool empty() const { return histograms_.front().empty(); }

 private:
  std::size_t index(int tensor, int channel) const {
    return static_cast<std::size_t>(tensor) * static_cast<std::size_t>(dim_) +
           static_cast<std::size_t>(channel);
  }
  void note_non_finite(int tensor) {
    int first = non_finite_;
    while (tensor < first && !non_finite_.compare_exchange_weak(first, tensor)) continue;
  }

  int lanes_, blocks_, dim_, tensors_;
  std::vector<Histogram> histograms_;
  std::vector<std::mutex> locks_;
  std::atomic<int> non_finite_;  // the first such tensor, or tensors_
  Samples samples_;
};

Calibrator::Calibrator(std::shared_ptr<const Plan> plan, int threads)
    : plan_(std::move(plan)),
      statistics_(std::make_unique<Statistics>(*plan_)),
      session_(plan_, threads, 0, statistics_.get()),
      team_(std::clamp(static_cast<int>(plan_->native->blocks.size()), 1, threads)) {}
Calibrator::~Calibrator() = default;

template <typename T>
void Calibrator::add_images(const T* src, std::size_t n) {
  const Geometry& g = plan_->geometry;
  const auto chunk = static_cast<std::size_t>(session_.chunk_size());
  const std::size_t image = g.image_values();
  logits_.resize(chunk * static_cast<std::size_t>(g.num_classes));
  for (std::size_t done = 0; done < n; done += chunk) {
    const std::size_t now = std::min(chunk, n - done);
    statistics_->samples().make_room(now);
    session_.run(src + done * image, now, logits_.data(), nullptr);
    statistics_->check_finite();
    statistics_->samples().add(static_cast<int>(now), team_);
  }
}
void Calibrator::add(const float* src, std::size_t n) {
  statistics_->check_finite(kOfEarlier);
  const float* const end = src + n * plan_->geometry.image_values();
  const float* const cut = std::find_if(
      src, end, [&](float v) { return std::isfinite(v) && std::abs(v) > plan_->most_input; });
  if (cut != end) {
    throw Error(
        Code::kInvalidArgument,
        fmt::format("calibration: expected normalised values of at most ±{:.4g}, four times "
                    "the largest of any pixel, found {:.4g}: are the model's mean and std "
                    "those of these images?",
                    plan_->most_input, *cut));
  }
  add_images(src, n);
}
void Calibrator::add(const std::uint8_t* src, std::size_t n) {
  statistics_->check_finite(kOfEarlier);
  add_images(src, n);
}

Quantization Calibrator::choose(Clipping clipping) const {
  statistics_->check_finite(kOfEarlier);
  if (statistics_->empty()) {
    throw Error(Code::kInvalidArgument, "calibration: expected at least one image, found none");
  }
  Quantization quantization;
  quantization.stem = statistics_->scales(0, clipping);
  for (int i = 1; i < statistics_->tensors(); i += 2) {
    quantization.depthwise.push_back(statistics_->scales(i, clipping));
    quantization.pointwise.push_back(statistics_->scales(i + 1, clipping));
  }
  return quantization;
}

std::vector<ByteWeights> Calibrator::round_pointwise(const Graph& graph,
                                                     const Quantization& quantization) {
  std::vector<const Node*> layers;
  for (const Node& node : graph.nodes) {
    if (node.op == Op::kBlock) layers.push_back(&node.body.at(1));
  }
  std::vector<ByteWeights> weights(layers.size());
  std::vector<std::exception_ptr> failures(layers.size());
  team_.run([&](int member) {
    team_.run_tasks(member, static_cast<int>(layers.size()), [&](int layer) {
      const auto i = static_cast<std::size_t>(layer);
      try {
        const ChannelScales& src = quantization.depthwise.at(i);
        const JointRounding rounding(statistics_->samples().moments(i), src.scale);
        weights[i] = pointwise_bytes(*layers[i], src, rounding);
        layers[i]->weights.let_go();
      } catch (...) {
        failures[i] = std::current_exception();
      }
    });
  });
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return weights;
}

}  // namespace convmixer
