// SPDX-License-Identifier: Apache-2.0
// Only timm's key names are known here; checkpoints with others are renamed to them when opened.
#include "models/convmixer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <cmath>
#include <set>
#include <string_view>
#include <utility>

#include "models/imagenet.h"
#include "models/json_object.h"
#include "models/quantization.h"
#include "support/error.h"

namespace convmixer {
namespace {

[[noreturn]] void fail(Code code, const std::string& where, const std::string& what) {
  throw Error(code, where + ": " + what);
}

// --- Sizes, from the tensors' shapes -------------------------------------------------------------

using Shape = std::vector<std::int64_t>;

const Shape& shape_of(const Checkpoint& checkpoint, const std::string& tensor, std::size_t rank) {
  const auto found = checkpoint.tensors.find(tensor);
  if (found == checkpoint.tensors.end()) {
    fail(Code::kFormat, checkpoint.name,
         fmt::format("expected a ConvMixer in timm's key names, found no tensor {} among its {}{}",
                     checkpoint.shown(tensor), checkpoint.tensors.size(),
                     checkpoint.tensors.empty()
                         ? std::string()
                         : ", the first being " + in_quotes(checkpoint.tensors.begin()->first)));
  }
  const Shape& shape = found->second.shape;
  if (shape.size() != rank || std::count(shape.begin(), shape.end(), 0) != 0) {
    fail(Code::kFormat, checkpoint.name,
         fmt::format("expected tensor '{}' of {} positive sizes, found shape {}", tensor, rank,
                     shape_text(shape)));
  }
  return shape;
}

int limited(const Checkpoint& checkpoint, const char* what, std::int64_t value, int limit) {
  if (value > limit) {
    fail(Code::kLimit, checkpoint.name,
         fmt::format("expected {} of at most {}, found {}", what, limit, value));
  }
  return static_cast<int>(value);
}

// The number of blocks, which must be blocks.0 to blocks.N without a gap.
int count_blocks(const Checkpoint& checkpoint) {
  constexpr std::string_view kPrefix = "blocks.";
  std::set<int> seen;
  for (auto it = checkpoint.tensors.lower_bound(std::string(kPrefix));
       it != checkpoint.tensors.end() && it->first.starts_with(kPrefix); ++it) {
    const char* begin = it->first.data() + kPrefix.size();
    const char* end = it->first.data() + it->first.size();
    int index = 0;
    const auto [rest, error] = std::from_chars(begin, end, index);
    const bool leading_zero = *begin == '0' && rest - begin > 1;
    if (error != std::errc() || index < 0 || leading_zero || rest == end || *rest != '.') {
      fail(Code::kFormat, checkpoint.name,
           fmt::format("expected a block's number behind 'blocks.', found tensor {}",
                       in_quotes(it->first)));
    }
    seen.insert(index);
  }
  int depth = 0;
  for (int index : seen) {
    if (index != depth) {
      fail(Code::kFormat, checkpoint.name,
           fmt::format("expected blocks without a gap, found 'blocks.{}' but no 'blocks.{}'", index,
                       depth));
    }
    ++depth;
  }
  return limited(checkpoint, "a depth", depth, kMaxDepth);
}

void check_product(const Checkpoint& checkpoint, const char* what, const Shape& shape) {
  std::int64_t product = 1;
  for (std::int64_t size : shape) {
    if (__builtin_mul_overflow(product, size, &product) || product > INT_MAX) {
      fail(Code::kLimit, checkpoint.name,
           fmt::format("expected {} of at most {} values, found {}", what, INT_MAX,
                       shape_text(shape)));
    }
  }
}

void read_sizes(const Checkpoint& checkpoint, ModelConfig& config) {
  const Shape stem = shape_of(checkpoint, "stem.0.weight", 4);
  if (stem[1] != 3 || stem[2] != stem[3]) {
    fail(Code::kFormat, checkpoint.name,
         fmt::format("expected tensor 'stem.0.weight' of shape [dim, 3, patch, patch], found {}",
                     shape_text(stem)));
  }
  const std::string depthwise_key = BlockKeys(0).depthwise + "weight";
  const Shape depthwise = shape_of(checkpoint, depthwise_key, 4);
  if (depthwise[0] != stem[0] || depthwise[1] != 1 || depthwise[2] != depthwise[3]) {
    fail(Code::kFormat, checkpoint.name,
         fmt::format("expected tensor '{}' of shape [{}, 1, kernel, kernel], found {}",
                     depthwise_key, stem[0], shape_text(depthwise)));
  }
  const Shape head = shape_of(checkpoint, "head.weight", 2);
  config.dim = limited(checkpoint, "a dimension", stem[0], kMaxDim);
  config.patch_size = limited(checkpoint, "a patch size", stem[2], kMaxPatchSize);
  config.kernel_size = limited(checkpoint, "a kernel size", depthwise[2], kMaxKernelSize);
  config.num_classes = limited(checkpoint, "a number of classes", head[0], kMaxClasses);
  config.depth = count_blocks(checkpoint);
  check_product(checkpoint, "patch embedding weights", stem);
  check_product(checkpoint, "depthwise weights", depthwise);
  check_product(checkpoint, "pointwise weights", {stem[0], stem[0]});
  check_product(checkpoint, "classifier weights", head);
}

// --- The other values, from metadata and overrides, each checked where it is set ---------------

bool is_interpolation(const std::string& name) { return name == "bicubic" || name == "bilinear"; }

class Setter {
 public:
  // `where` begins the messages: the path, and whose value it is.
  Setter(ModelConfig& config, Code code, std::string where)
      : config_(config), code_(code), where_(std::move(where)) {}

  void activation(Activation value) {
    require(value == Activation::kGelu || value == Activation::kRelu, "activation", "gelu or relu",
            activation_name(value));
    config_.activation = value;
  }

  void image_height(int value) { config_.image_height = image_size("image height", value); }
  void image_width(int value) { config_.image_width = image_size("image width", value); }

  // Of pixels in 0 … 1, so that normalised ones and weights are floats of any use.
  void mean(const std::array<double, 3>& value) {
    for (double v : value) require(std::abs(v) <= 1e6, "mean", "numbers from -1e6 to 1e6", v);
    config_.mean = value;
  }

  void std(const std::array<double, 3>& value) {
    for (double v : value) {
      require(v >= 1e-6 && v <= 1e6, "std", "numbers from 1e-6 to 1e6", v);
    }
    config_.std = value;
  }

  void crop_pct(double value) {
    require(value > 0 && value <= 1, "crop_pct", "a number above 0 and at most 1", value);
    config_.crop_pct = value;
  }

  void bn_eps(double value) {
    require(std::isfinite(value) && value > 0, "bn_eps", "a finite number above 0", value);
    config_.bn_eps = value;
  }

  void interpolation(const std::string& value) {
    require(is_interpolation(value), "interpolation", "bicubic or bilinear", in_quotes(value));
    config_.interpolation = value;
  }

  void labels(std::vector<std::string> value) {
    if (!value.empty() && value.size() != static_cast<std::size_t>(config_.num_classes)) {
      fail(code_, where_,
           fmt::format("expected {} labels, one a class, found {}", config_.num_classes,
                       value.size()));
    }
    for (const std::string& label : value) {
      require(is_utf8(label), "each label", "UTF-8", in_quotes(label));
      // C strings end there.
      require(label.find('\0') == std::string::npos, "each label", "no zero byte",
              in_quotes(label.c_str()));
    }
    config_.labels = std::move(value);
  }

 private:
  template <typename T>
  void require(bool ok, const char* key, const char* expected, const T& found) const {
    if (!ok) fail(code_, where_, fmt::format("expected {} as {}, found {}", expected, key, found));
  }

  int image_size(const char* key, int value) const {
    require(value >= 1 && value <= kMaxImageSize, key, "a size from 1 to 16384", value);
    return value;
  }
  static_assert(kMaxImageSize == 16384, "the text above says so");

  ModelConfig& config_;
  Code code_;
  std::string where_;
};

void read_metadata(const JsonObject& metadata, ModelConfig& config) {
  Setter set(config, Code::kFormat, metadata.where());
  const auto unsupported = [&](const char* key, const char* known, const std::string& found) {
    fail(Code::kUnsupported, metadata.where(),
         fmt::format("expected {} as {}, found {}", known, key, in_quotes(found)));
  };
  metadata.text("architecture", [&](const std::string& value) {
    if (value != "convmixer") unsupported("architecture", "convmixer", value);
  });
  const std::pair<const char*, int> sizes[] = {{"dim", config.dim},
                                               {"depth", config.depth},
                                               {"kernel_size", config.kernel_size},
                                               {"patch_size", config.patch_size},
                                               {"num_classes", config.num_classes}};
  for (const auto& [key, size] : sizes) {
    metadata.integer(key, [&, key = key, size = size](std::int64_t value) {
      if (value != size) {
        fail(Code::kFormat, metadata.where(),
             fmt::format("expected {} as {}, as the tensors' shapes say, found {}", size, key,
                         value));
      }
    });
  }
  metadata.text("activation", [&](const std::string& value) {
    if (value != "gelu" && value != "relu") unsupported("activation", "gelu or relu", value);
    set.activation(value == "gelu" ? Activation::kGelu : Activation::kRelu);
  });
  metadata.text("interpolation", [&](const std::string& value) {
    if (!is_interpolation(value)) unsupported("interpolation", "bicubic or bilinear", value);
    set.interpolation(value);
  });
  metadata.input_size("input_size", [&](int height, int width) {
    set.image_height(height);
    set.image_width(width);
  });
  metadata.three_numbers("mean", [&](const std::array<double, 3>& value) { set.mean(value); });
  metadata.three_numbers("std", [&](const std::array<double, 3>& value) { set.std(value); });
  metadata.number("crop_pct", [&](double value) { set.crop_pct(value); });
  metadata.number("bn_eps", [&](double value) { set.bn_eps(value); });
  metadata.texts("labels", [&](std::vector<std::string> value) { set.labels(std::move(value)); });
}

void apply_overrides(const ConfigOverrides& overrides, Setter set) {
  if (overrides.activation) set.activation(*overrides.activation);
  if (overrides.image_height) set.image_height(*overrides.image_height);
  if (overrides.image_width) set.image_width(*overrides.image_width);
  if (overrides.mean) set.mean(*overrides.mean);
  if (overrides.std) set.std(*overrides.std);
  if (overrides.crop_pct) set.crop_pct(*overrides.crop_pct);
  if (overrides.bn_eps) set.bn_eps(*overrides.bn_eps);
  if (overrides.interpolation) set.interpolation(*overrides.interpolation);
  if (overrides.labels) set.labels(*overrides.labels);
}

// --- The graph ---------------------------------------------------------------------------------

class GraphBuilder {
 public:
  GraphBuilder(const Checkpoint& checkpoint, const ModelConfig& config)
      : checkpoint_(checkpoint), config_(config) {}

  Graph build() {
    const int dim = config_.dim;
    Graph graph;
    graph.h = config_.image_height;
    graph.w = config_.image_width;
    graph.nodes.push_back(convolution(Op::kPatchEmbed, kStemName, "stem.0.", 3, config_.patch_size,
                                      {dim, 3, config_.patch_size, config_.patch_size}));
    append_activation_and_batchnorm(graph.nodes, kStemName, "stem.2.");
    const auto depth = static_cast<std::size_t>(config_.depth);
    for (std::size_t i = 0; i < depth; ++i) graph.nodes.push_back(block(i));
    graph.nodes.push_back(node(Op::kMean, "mean", dim, dim));
    Node head = node(Op::kLinear, "head", dim, config_.num_classes);
    head.weights = floats("head.weight", {config_.num_classes, dim});
    head.bias = doubles("head.bias", config_.num_classes);
    graph.nodes.push_back(std::move(head));
    refuse_other_tensors();
    return graph;
  }

 private:
  static Node node(Op op, const std::string& name, int ic, int oc) {
    Node node;
    node.op = op;
    node.name = name;
    node.ic = ic;
    node.oc = oc;
    return node;
  }

  Weights floats(const std::string& tensor, const Shape& shape) {
    used_.insert(tensor);
    return checkpoint_.floats(tensor, shape);
  }

  template <typename T>
  std::vector<T> values(const std::string& tensor, int size) {
    const Weights weights = floats(tensor, {size});
    return std::vector<T>(weights.data, weights.data + weights.size);
  }
  std::vector<double> doubles(const std::string& tensor, int size) {
    return values<double>(tensor, size);
  }

  bool is_int8(const std::string& tensor) const {
    const auto found = checkpoint_.tensors.find(tensor);
    return found != checkpoint_.tensors.end() && found->second.dtype == DType::kI8;
  }

  std::vector<float> weight_scales(const std::string& layer) {
    const std::string tensor = kQuantPrefix + layer + kWeightScaleSuffix;
    std::vector<float> scales = values<float>(tensor, config_.dim);
    for (std::size_t c = 0; c < scales.size(); ++c) {
      if (std::isfinite(scales[c]) && scales[c] > 0) continue;
      fail(Code::kFormat, checkpoint_.name,
           fmt::format("expected positive values in tensor '{}', found {} at index {}", tensor,
                       scales[c], c));
    }
    return scales;
  }

  // `key` is the tensors' prefix, with its last dot.
  Node convolution(Op op, const std::string& name, const std::string& key, int ic, int kernel_size,
                   const Shape& shape) {
    Node convolution = node(op, name, ic, config_.dim);
    convolution.kernel_size = kernel_size;
    if (op != Op::kPatchEmbed && is_int8(key + "weight")) {
      used_.insert(key + "weight");
      convolution.weights = checkpoint_.int8s(key + "weight", shape);
      convolution.weight_scale = weight_scales(name);
    } else {
      convolution.weights = floats(key + "weight", shape);
    }
    convolution.bias = doubles(key + "bias", config_.dim);
    return convolution;
  }

  void append_activation_and_batchnorm(std::vector<Node>& nodes, const std::string& name,
                                       const std::string& key) {
    const int dim = config_.dim;
    nodes.push_back(node(Op::kActivation, name + ".activation", dim, dim));
    nodes.back().activation = config_.activation;
    nodes.push_back(node(Op::kBatchNorm, name + ".batchnorm", dim, dim));
    BatchNorm& bn = nodes.back().batchnorm;
    bn.weight = values<float>(key + "weight", dim);
    bn.bias = values<float>(key + "bias", dim);
    bn.running_mean = values<float>(key + "running_mean", dim);
    bn.running_var = values<float>(key + "running_var", dim);
    bn.eps = config_.bn_eps;
    for (std::size_t c = 0; c < bn.running_var.size(); ++c) {
      const float var = bn.running_var[c];
      if (var < 0) {  // not for a NaN, which shows in the logits
        fail(Code::kFormat, checkpoint_.name,
             fmt::format("expected no negative value in tensor '{}running_var', found {} at index "
                         "{}",
                         key, var, c));
      }
    }
    used_.insert(key + "num_batches_tracked");  // a counter of the training; may be absent
  }

  Node block(std::size_t index) {
    const int dim = config_.dim, k = config_.kernel_size;
    const std::string name = fmt::format("blocks.{}", index), depthwise = depthwise_name(index),
                      pointwise = pointwise_name(index);
    const BlockKeys keys(index);
    Node block = node(Op::kBlock, name, dim, dim);
    block.body.push_back(
        convolution(Op::kDepthwise, depthwise, keys.depthwise, dim, k, {dim, 1, k, k}));
    append_activation_and_batchnorm(block.body, depthwise, keys.depthwise_batchnorm);
    block.body.push_back(node(Op::kAdd, name + ".add", dim, dim));
    block.body.push_back(
        convolution(Op::kPointwise, pointwise, keys.pointwise, dim, 1, {dim, dim, 1, 1}));
    append_activation_and_batchnorm(block.body, pointwise, keys.pointwise_batchnorm);
    return block;
  }

  // Whether it is read_quantization's to read: all but the scales of weights that are int8s
  // themselves.
  bool is_of_quantization(const std::string& tensor) const {
    if (!tensor.starts_with(kQuantPrefix)) return false;
    if (!tensor.ends_with(kWeightScaleSuffix)) return true;
    const std::string layer = tensor.substr(0, tensor.rfind(kWeightScaleSuffix));
    return checkpoint_.tensors.count(layer + kWeightSuffix) != 0;
  }

  void refuse_other_tensors() const {
    for (const auto& [tensor, view] : checkpoint_.tensors) {
      if (used_.count(tensor) == 0 && !is_of_quantization(tensor)) {
        fail(Code::kFormat, checkpoint_.name,
             fmt::format("expected only a ConvMixer's tensors, found {} of shape {}",
                         checkpoint_.shown(tensor), shape_text(view.shape)));
      }
    }
  }

  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  std::set<std::string> used_;
};

}  // namespace

BlockKeys::BlockKeys(std::size_t block)
    : depthwise(fmt::format("blocks.{}.0.fn.0.", block)),
      depthwise_batchnorm(fmt::format("blocks.{}.0.fn.2.", block)),
      pointwise(fmt::format("blocks.{}.1.", block)),
      pointwise_batchnorm(fmt::format("blocks.{}.3.", block)) {}

ModelConfig read_config(const Checkpoint& checkpoint, const ConfigOverrides& overrides) {
  ModelConfig config;
  read_sizes(checkpoint, config);
  // The one published preset with ReLU; no checkpoint but ours says which it is.
  const bool relu =
      config.dim == 768 && config.depth == 32 && config.kernel_size == 7 && config.patch_size == 7;
  config.activation = relu ? Activation::kRelu : Activation::kGelu;
  const auto text = checkpoint.metadata.find(kMetadataKey);
  if (text != checkpoint.metadata.end()) {
    read_metadata(JsonObject(checkpoint.name + ": model metadata", text->second), config);
  }
  if (!checkpoint.config_json.empty()) {
    read_metadata(JsonObject(checkpoint.config_path, checkpoint.config_json), config);
  }
  apply_overrides(overrides, Setter(config, Code::kInvalidArgument, checkpoint.name + ": option"));
  const int h = config.image_height, w = config.image_width, patch = config.patch_size;
  if (h < patch || w < patch) {
    const bool overridden = overrides.image_height || overrides.image_width;
    fail(overridden ? Code::kInvalidArgument : Code::kFormat, checkpoint.name,
         fmt::format("expected an image of at least one patch, {} pixels high and wide, found {} × "
                     "{}",
                     patch, h, w));
  }
  check_product(checkpoint, "a layer's output (channels, height, width)",
                {config.dim, h / patch, w / patch});
  config.stated_labels = !config.labels.empty();
  if (!config.stated_labels && config.num_classes == kImageNetClasses) {
    config.labels = imagenet_labels();
  }
  return config;
}

Graph build_graph(const Checkpoint& checkpoint, const ModelConfig& config) {
  return GraphBuilder(checkpoint, config).build();
}

}  // namespace convmixer
