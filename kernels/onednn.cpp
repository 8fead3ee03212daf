// SPDX-License-Identifier: Apache-2.0
#include "kernels/onednn.h"

#include "support/error.h"

#ifdef CONVMIXER_HAS_ONEDNN

#include <algorithm>
#include <cstdint>
#include <dnnl.hpp>
#include <unordered_map>
#include <utility>

#include "support/buffer.h"

namespace convmixer::onednn {
namespace {

using dnnl::memory;
using Dims = memory::dims;
using Tag = memory::format_tag;

constexpr auto kF32 = memory::data_type::f32;
constexpr auto kInference = dnnl::prop_kind::forward_inference;

// ---- The adapter: everything that differs between the 2.x and 3.x interfaces. ----

dnnl::convolution_forward::primitive_desc convolution_desc(
    const dnnl::engine& engine, const memory::desc& src, const memory::desc& weights,
    const memory::desc& bias, const memory::desc& dst, const Dims& strides, const Dims& pad_begin,
    const Dims& pad_end, const dnnl::primitive_attr& attr) {
  constexpr auto kAlgorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {engine, kInference, kAlgorithm, src,     weights, bias,
          dst,    strides,    pad_begin,  pad_end, attr};
#else
  return {
      {kInference, kAlgorithm, src, weights, bias, dst, strides, pad_begin, pad_end}, attr, engine};
#endif
}

dnnl::pooling_forward::primitive_desc mean_desc(const dnnl::engine& engine, const memory::desc& src,
                                                const memory::desc& dst, const Dims& kernel,
                                                const dnnl::primitive_attr& attr) {
  constexpr auto kAlgorithm = dnnl::algorithm::pooling_avg_exclude_padding;
  const Dims one{1, 1}, zero{0, 0};
#if DNNL_VERSION_MAJOR >= 3
  return {engine, kInference, kAlgorithm, src, dst, one, kernel, zero, zero, zero, attr};
#else
  return {{kInference, kAlgorithm, src, dst, one, kernel, zero, zero}, attr, engine};
#endif
}

void append_activation(dnnl::post_ops& ops, KernelActivation activation) {
  if (activation == kActIdentity) return;
  const auto algorithm =
      activation == kActRelu ? dnnl::algorithm::eltwise_relu : dnnl::algorithm::eltwise_gelu_erf;
#if DNNL_VERSION_MAJOR >= 3
  ops.append_eltwise(algorithm, 0.0f, 0.0f);
#else
  ops.append_eltwise(1.0f, algorithm, 0.0f, 0.0f);
#endif
}

// ---- The chain. ----

// The blocked layout that oneDNN's convolutions are written for on this CPU.
// The values of cpu_isa are sets: a later instruction set holds the bits of those it contains.
Tag preferred_layout() {
  const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto avx512 = static_cast<unsigned>(dnnl::cpu_isa::avx512_core);
  return (isa & avx512) == avx512 ? Tag::nChw16c : Tag::nChw8c;
}

memory::desc describe(const Dims& dims, Tag tag) { return {dims, kF32, tag}; }

template <typename F>
auto translate(const std::string& name, F f) {
  try {
    return f();
  } catch (const dnnl::error& e) {
    throw Error(e.status == dnnl_out_of_memory ? Code::kOutOfMemory : Code::kUnsupported,
                name + ": oneDNN " + version() + " cannot run this layer: " + e.what());
  }
}

struct Op {
  std::string name, implementation;
  Convolution shape{};  // pointers unused; for a mean only c, h, w
  bool is_mean = false;
  memory::desc weights_desc;    // as reordered, so that every Instance asks for this one
  memory weights, raw_weights;  // raw: of the first op only
  memory bias, raw_bias, scale, shift;
};

}  // namespace

struct Program::Impl {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  Tag layout = preferred_layout();
  std::string layout_name = layout == Tag::nChw8c ? "nChw8c" : "nChw16c";
  std::vector<Op> ops;
  std::size_t weight_bytes = 0;

  memory::desc src_desc(const Op& op) const {
    const Convolution& c = op.shape;
    return describe({1, c.ic, c.h, c.w}, c.src_plain ? Tag::nchw : layout);
  }
  memory::desc dst_desc(const Op& op) const {
    const Convolution& c = op.shape;
    if (op.is_mean) return describe({1, c.oc, 1, 1}, Tag::nchw);
    const int pads = c.pad_begin + c.pad_end;
    return describe({1, c.oc, (c.h + pads - c.kernel_size) / c.stride + 1,
                     (c.w + pads - c.kernel_size) / c.stride + 1},
                    c.dst_plain ? Tag::nchw : layout);
  }
  dnnl::primitive_attr attributes(const Op& op) const {
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (op.is_mean) return attr;
    dnnl::post_ops ops_after;
    append_activation(ops_after, op.shape.activation);
    const memory::desc channel = describe({1, op.shape.oc, 1, 1}, Tag::nchw);
    if (op.scale) ops_after.append_binary(dnnl::algorithm::binary_mul, channel);
    if (op.shift) ops_after.append_binary(dnnl::algorithm::binary_add, channel);
    if (op.shape.residual) ops_after.append_binary(dnnl::algorithm::binary_add, src_desc(op));
    attr.set_post_ops(ops_after);
    return attr;
  }
  dnnl::convolution_forward::primitive_desc primitive_desc(const Op& op,
                                                           const memory::desc& weights) const {
    const Convolution& c = op.shape;
    return convolution_desc(engine, src_desc(op), weights, describe({c.oc}, Tag::a), dst_desc(op),
                            {c.stride, c.stride}, {c.pad_begin, c.pad_begin},
                            {c.pad_end, c.pad_end}, attributes(op));
  }
  dnnl::pooling_forward::primitive_desc mean_primitive_desc(const Op& op) const {
    return mean_desc(engine, src_desc(op), dst_desc(op), {op.shape.h, op.shape.w}, attributes(op));
  }
  memory copy(const memory::desc& plain, const memory::desc& wanted, const float* values) {
    memory source(plain, engine, const_cast<float*>(values)), reordered(wanted, engine);
    dnnl::reorder(source, reordered).execute(stream, source, reordered);
    stream.wait();
    weight_bytes += wanted.get_size();
    return reordered;
  }
  memory channel_values(int n, const float* values, bool as_image) {
    const memory::desc d = as_image ? describe({1, n, 1, 1}, Tag::nchw) : describe({n}, Tag::a);
    if (values != nullptr) return copy(d, d, values);
    const std::vector<float> zeros(static_cast<std::size_t>(n));
    return copy(d, d, zeros.data());
  }
};

std::string version() {
  const dnnl_version_t* v = dnnl_version();
  std::string text = std::to_string(v->major);
  text.append(".").append(std::to_string(v->minor));
  return text.append(".").append(std::to_string(v->patch));
}

Program::Program() : impl_(translate("oneDNN", [] { return std::make_unique<Impl>(); })) {}
Program::~Program() = default;

void Program::add_convolution(const Convolution& c, const float* raw_weights,
                              const float* raw_bias) {
  translate(c.name, [&] {
    Op op;
    op.name = c.name;
    op.shape = c;
    if (c.scale != nullptr) op.scale = impl_->channel_values(c.oc, c.scale, true);
    if (c.shift != nullptr) op.shift = impl_->channel_values(c.oc, c.shift, true);
    op.bias = impl_->channel_values(c.oc, c.bias, false);
    const Dims dims = c.depthwise ? Dims{c.oc, 1, 1, c.kernel_size, c.kernel_size}
                                  : Dims{c.oc, c.ic, c.kernel_size, c.kernel_size};
    const memory::desc plain = describe(dims, c.depthwise ? Tag::goihw : Tag::oihw);
    const auto pd = impl_->primitive_desc(op, describe(dims, Tag::any));
    op.implementation = pd.impl_info_str();
    op.weights_desc = pd.weights_desc();
    op.weights = impl_->copy(plain, op.weights_desc, c.weights);
    if (raw_weights != nullptr) {
      op.raw_weights = impl_->copy(plain, op.weights_desc, raw_weights);
      op.raw_bias = impl_->channel_values(c.oc, raw_bias, false);
    }
    impl_->ops.push_back(std::move(op));
  });
}

void Program::add_mean(int c, int h, int w) {
  translate("mean", [&] {
    Op op;
    op.name = "mean";
    op.is_mean = true;
    op.shape.ic = op.shape.oc = c;
    op.shape.h = h;
    op.shape.w = w;
    op.implementation = impl_->mean_primitive_desc(op).impl_info_str();
    impl_->ops.push_back(std::move(op));
  });
}

std::size_t Program::weight_bytes() const { return impl_->weight_bytes; }
const std::string& Program::implementation(std::size_t op) const {
  return impl_->ops[op].implementation;
}
const std::string& Program::layout() const { return impl_->layout_name; }

struct Instance::Impl {
  struct Step {
    dnnl::primitive primitive;
    std::unordered_map<int, memory> args;
  };
  const Program::Impl& program;
  dnnl::stream stream{program.engine};
  std::vector<Step> steps;
  memory src, dst, mean_dst;
  Buffer<std::uint8_t> scratchpad;
  std::size_t bytes = 0;

  explicit Impl(const Program::Impl& p) : program(p) {
    std::vector<dnnl::memory::desc> scratchpad_descs;
    memory between;
    std::size_t scratchpad_bytes = 1;
    for (std::size_t i = 0; i < p.ops.size(); ++i) {
      const Op& op = p.ops[i];
      const bool first = i == 0, last = i + 1 == p.ops.size();
      if (first) between = src = memory(p.src_desc(op), p.engine, nullptr);
      const memory result =
          last ? memory(p.dst_desc(op), p.engine, nullptr) : memory(p.dst_desc(op), p.engine);
      if (!last) bytes += result.get_desc().get_size();
      scratchpad_descs.push_back(op.is_mean ? add_mean(op) : add_convolution(op, between));
      scratchpad_bytes = std::max(scratchpad_bytes, scratchpad_descs.back().get_size());
      steps.back().args[DNNL_ARG_SRC] = between;
      steps.back().args[DNNL_ARG_DST] = result;
      if (op.is_mean) mean_dst = result;
      between = result;
    }
    dst = between;
    scratchpad = Buffer<std::uint8_t>(scratchpad_bytes);
    bytes += scratchpad_bytes;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      steps[i].args[DNNL_ARG_SCRATCHPAD] = memory(scratchpad_descs[i], p.engine, scratchpad.data());
    }
  }

  memory::desc add_mean(const Op& op) {
    const auto pd = program.mean_primitive_desc(op);
    steps.push_back({dnnl::pooling_forward(pd), {}});
    return pd.scratchpad_desc();
  }

  memory::desc add_convolution(const Op& op, const memory& op_src) {
    const auto pd = program.primitive_desc(op, op.weights_desc);
    Step step{dnnl::convolution_forward(pd), {}};
    step.args[DNNL_ARG_WEIGHTS] = op.weights;
    step.args[DNNL_ARG_BIAS] = op.bias;
    int post_op = op.shape.activation == kActIdentity ? 0 : 1;
    const auto add_operand = [&](const memory& m) {
      step.args[DNNL_ARG_ATTR_MULTIPLE_POST_OP(post_op++) | DNNL_ARG_SRC_1] = m;
    };
    if (op.scale) add_operand(op.scale);
    if (op.shift) add_operand(op.shift);
    if (op.shape.residual) add_operand(op_src);
    steps.push_back(std::move(step));
    return pd.scratchpad_desc();
  }
};

Instance::Instance(const Program& program)
    : impl_(translate("oneDNN", [&] { return std::make_unique<Impl>(*program.impl_); })) {}
Instance::~Instance() = default;

std::size_t Instance::bytes() const { return impl_->bytes; }

void Instance::run(const float* src, bool raw, float* dst, float* mean) {
  Impl& i = *impl_;
  const Op& first = i.program.ops.front();
  i.src.set_data_handle(const_cast<float*>(src));
  i.dst.set_data_handle(dst);
  i.steps.front().args[DNNL_ARG_WEIGHTS] = raw ? first.raw_weights : first.weights;
  i.steps.front().args[DNNL_ARG_BIAS] = raw ? first.raw_bias : first.bias;
  for (Impl::Step& step : i.steps) step.primitive.execute(i.stream, step.args);
  i.stream.wait();
  if (mean != nullptr) {
    const float* const from = static_cast<const float*>(i.mean_dst.get_data_handle());
    std::copy(from, from + i.mean_dst.get_desc().get_size() / sizeof(float), mean);
  }
}

}  // namespace convmixer::onednn

#else

namespace convmixer::onednn {

struct Program::Impl {};
struct Instance::Impl {};

namespace {
[[noreturn]] void absent() { throw Error(Code::kUnsupported, "this build has no oneDNN"); }
}  // namespace

std::string version() { return ""; }
Program::Program() { absent(); }
Program::~Program() = default;
void Program::add_convolution(const Convolution&, const float*, const float*) { absent(); }
void Program::add_mean(int, int, int) { absent(); }
std::size_t Program::weight_bytes() const { absent(); }
const std::string& Program::implementation(std::size_t) const { absent(); }
const std::string& Program::layout() const { absent(); }
Instance::Instance(const Program&) { absent(); }
Instance::~Instance() = default;
std::size_t Instance::bytes() const { absent(); }
void Instance::run(const float*, bool, float*, float*) { absent(); }

}  // namespace convmixer::onednn

#endif
