// SPDX-License-Identifier: Apache-2.0
// Images → logits or labels: decode workers beside the network.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "convmixer.h"
#include "engine/executor.h"
#include "images/decode.h"
#include "images/transform.h"
#include "models/convmixer.h"

namespace convmixer {

// What `config` wants of its images.
TransformOptions transform_of(const ModelConfig& config);

// Decodes one image and transforms it: dst receives transform.height × transform.width × 3 bytes.
// `name` stands for an image without a path in messages. Throws Error.
void load_image(const convmixer_image& image, const std::string& name, const DecodeOptions& decode,
                const TransformOptions& transform, std::uint8_t* dst);

// Logits → the best classes. Keeps its scratch, so that ranking allocates nothing; for one thread.
class Ranking {
 public:
  explicit Ranking(int num_classes);

  // dst: top_k predictions without labels, by falling probability, equal ones by rising index.
  // Where a NaN or +inf leaves no probabilities (all are NaN then), by falling logit, NaN last. 1 ≤
  // top_k ≤ num_classes.
  void best(const float* logits, int top_k, convmixer_prediction* dst);

 private:
  std::vector<double> powers_;       // e^(logit − largest logit)
  std::vector<float> keys_;          // what is ranked
  std::vector<std::int32_t> order_;  // class indices
};

struct ImageJob {
  const convmixer_image* images;
  std::size_t count;
  DecodeOptions decode;
  convmixer_result* results;  // count
};

// The images of a call, after its arguments but the outputs are checked.
ImageJob image_job(const convmixer_image* images, std::size_t count,
                   const convmixer_image_options* given, convmixer_result* results);

// Receives the logits of image `i`; must not throw.
using LogitsSink = std::function<void(std::size_t i, const float* logits)>;

// Gives `sink` the logits of each good image, in order, in the caller's thread. Runs
// session.threads() − 1 decode threads at most, which end before it returns; with one thread or one
// image the caller decodes. Memory does not grow with the number of images. Throws, before anything
// is written, only for a lack of memory; all later failures become statuses of images.
void run_images(Session& session, const ModelConfig& config, const ImageJob& job,
                const LogitsSink& sink);

// The same, ranked: predictions holds count × top_k, 1 ≤ top_k ≤ num_classes.
void classify(Session& session, const ModelConfig& config, const ImageJob& job, int top_k,
              convmixer_prediction* predictions);

}  // namespace convmixer
