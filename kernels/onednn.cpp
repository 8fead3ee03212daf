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
using Algorithm = dnnl::algorithm;
using Dims = memory::dims;
using Tag = memory::format_tag;
using Type = memory::data_type;

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

// The values of cpu_isa are sets: a later instruction set holds the bits of those it contains.
bool has_isa(dnnl::cpu_isa wanted) {
  const auto all = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  return (all & static_cast<unsigned>(wanted)) == static_cast<unsigned>(wanted);
}

// The blocked layout that oneDNN's convolutions of floats are written for on this CPU.
Tag float_layout() { return has_isa(dnnl::cpu_isa::avx512_core) ? Tag::nChw16c : Tag::nChw8c; }

memory::desc describe(const Dims& dims, Tag tag, Type type = Type::f32) {
  return {dims, type, tag};
}

Dims channel_dims(int n) { return {1, n, 1, 1}; }

template <typename F>
auto translate(const std::string& name, F f) {
  try {
    return f();
  } catch (const dnnl::error& e) {
    throw Error(e.status == dnnl_out_of_memory ? Code::kOutOfMemory : Code::kUnsupported,
                name + ": oneDNN " + version() + " cannot run this layer: " + e.what());
  }
}

// What follows the sums, and the other operands of it; an empty one is the convolution's source.
struct PostOps {
  dnnl::post_ops ops;
  std::vector<std::pair<int, memory>> operands;

  void append(Algorithm algorithm, const memory& operand) {
    operands.emplace_back(ops.len(), operand);
    ops.append_binary(algorithm, operand.get_desc());
  }
  void append_src(const memory::desc& src) {
    operands.emplace_back(ops.len(), memory());
    ops.append_binary(Algorithm::binary_add, src);
  }
};

struct Op {
  enum class Kind { kConvolution, kMean, kConvert } kind = Kind::kConvolution;
  std::string implementation;  // oneDNN's name for it; none of conversions
  memory::desc src, dst;
  dnnl::primitive_attr attributes;
  std::vector<std::pair<int, memory>> operands;  // of its post-ops
  Dims window;                                   // of a mean
  // Convolutions.
  Dims strides, pad_begin, pad_end;
  memory::desc bias_desc, weights_desc;  // as reordered, so that every Instance asks for this one
  memory weights, raw_weights, bias, raw_bias;  // raw: of the first op only
  // Conversions: the part of dst that is written, and what stands around it, a byte a channel.
  memory::desc view;
  std::vector<std::uint8_t> border;

  dnnl::convolution_forward::primitive_desc convolution(const dnnl::engine& engine) const {
    return convolution_desc(engine, src, weights_desc, bias_desc, dst, strides, pad_begin, pad_end,
                            attributes);
  }
  dnnl::pooling_forward::primitive_desc mean(const dnnl::engine& engine) const {
    return mean_desc(engine, src, dst, window, attributes);
  }
  dnnl::reorder::primitive_desc conversion(const dnnl::engine& engine) const {
    return {engine, src, engine, view, attributes};
  }
  bool fits(const dnnl::engine& engine) const {
    if (kind == Kind::kConvert) return true;
    try {
      return implementation == (kind == Kind::kMean ? mean(engine).impl_info_str()
                                                    : convolution(engine).impl_info_str());
    } catch (const dnnl::error& e) {
      if (e.status == dnnl_unimplemented) return false;
      throw;
    }
  }
};

}  // namespace

struct Program::Impl {
  Precision precision;
  Implementations allowed;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  // Between the layers. The primitives of bytes and of AMX are written for channels last.
  Tag layout = precision == kFp32 ? float_layout() : Tag::nhwc;
  Type type = precision == kFp32 ? Type::f32 : precision == kBf16 ? Type::bf16 : Type::u8;
  std::string layout_name = layout == Tag::nhwc     ? "nhwc"
                            : layout == Tag::nChw8c ? "nChw8c"
                                                    : "nChw16c";
  std::vector<Op> ops;
  std::vector<std::string> implementations;
  std::size_t weight_bytes = 0;

  Impl(Precision p, Implementations a) : precision(p), allowed(a) {}

  memory copy(const memory::desc& plain, const memory::desc& wanted, const void* values) {
    memory source(plain, engine, const_cast<void*>(values)), reordered(wanted, engine);
    dnnl::reorder(source, reordered).execute(stream, source, reordered);
    stream.wait();
    weight_bytes += wanted.get_size();
    return reordered;
  }
  memory copy(const memory::desc& d, const void* values) { return copy(d, d, values); }
  memory bias_values(int n, const float* values) {
    if (values != nullptr) return copy(describe({n}, Tag::a), values);
    const std::vector<float> zeros(static_cast<std::size_t>(n));
    return copy(describe({n}, Tag::a), zeros.data());
  }

  void append_channels(PostOps& after, Algorithm algorithm, int n, const float* values) {
    if (values != nullptr) {
      after.append(algorithm, copy(describe(channel_dims(n), Tag::nchw), values));
    }
  }

  // y += src_scale · x, as the last steps: (y / src_scale + x) · src_scale. A channel whose scale
  // is next to nothing keeps it from becoming 0 or its inverse infinite: less than 2⁻⁵² of a byte.
  void append_residual(PostOps& after, const Convolution& c, const memory::desc& src) {
    if (c.src_scale == nullptr) return after.append_src(src);
    constexpr float kLeast = 0x1p-60f;
    std::vector<float> scale(c.src_scale, c.src_scale + c.oc), inverse;
    for (float& v : scale) {
      v = std::max(v, kLeast);
      inverse.push_back(1 / v);
    }
    append_channels(after, Algorithm::binary_mul, c.oc, inverse.data());
    after.append_src(src);
    append_channels(after, Algorithm::binary_mul, c.oc, scale.data());
  }

  void finish(PostOps& after, Op& op) {
    op.attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    op.attributes.set_post_ops(after.ops);
    op.operands = std::move(after.operands);
  }

  // src → dst, or a part of it, as dst's type and layout.
  void convert(const memory::desc& src, const memory::desc& dst, const memory::desc& view,
               std::vector<std::uint8_t> border = {}) {
    PostOps nothing;
    Op op;
    op.kind = Op::Kind::kConvert;
    op.src = src;
    op.dst = dst;
    op.view = view;
    op.border = std::move(border);
    finish(nothing, op);
    op.conversion(engine);  // throws here, not in an Instance
    ops.push_back(std::move(op));
  }

  // A copy with a border, since a convolution's own padding is 0: returns its description.
  memory::desc pad(const Convolution& c, const memory::desc& src) {
    const int pads = c.pad_begin + c.pad_end;
    const memory::desc dst = describe({1, c.ic, c.h + pads, c.w + pads}, layout, type);
    convert(src, dst, dst.submemory_desc({1, c.ic, c.h, c.w}, {0, 0, c.pad_begin, c.pad_begin}),
            {c.src_zero_point, c.src_zero_point + c.ic});
    return dst;
  }

  // But for the classifier, which is small.
  static void refuse_reference(const Convolution& c, const std::string& implementation) {
    if (c.dst_plain || !implementation.starts_with("ref")) return;
    throw Error(Code::kUnsupported, c.name + ": oneDNN " + version() + " has only its reference" +
                                        " implementation here (" + implementation + ")");
  }

  void add(const Convolution& c, const float* raw_weights, const float* raw_bias) {
    const bool bytes = c.int8_weights != nullptr, padded = bytes && c.pad_begin + c.pad_end > 0;
    const int pads = c.pad_begin + c.pad_end;
    const Type values = bytes || (precision == kBf16 && !c.dst_plain) ? type : Type::f32;
    const Type weights = bytes ? Type::s8 : values;
    const Dims src_dims{1, c.ic, c.h, c.w},
        dst_dims{1, c.oc, (c.h + pads - c.kernel_size) / c.stride + 1,
                 (c.w + pads - c.kernel_size) / c.stride + 1};
    const Tag blocked = values == Type::f32 ? float_layout() : layout;
    Op op;
    op.src = c.src_plain ? describe(src_dims, Tag::nchw) : describe(src_dims, layout, values);
    if (c.src_plain && values == Type::bf16) {
      const memory::desc floats = op.src;
      op.src = describe(src_dims, layout, values);
      convert(floats, op.src, op.src);
    }
    PostOps after;
    append_channels(after, Algorithm::binary_mul, c.oc, c.unscale);
    if (bytes) {
      append_channels(after, Algorithm::binary_add, c.oc, c.bias);
    } else {
      op.bias = bias_values(c.oc, c.bias);
      op.bias_desc = op.bias.get_desc();
    }
    append_activation(after.ops, c.activation);
    append_channels(after, Algorithm::binary_mul, c.oc, c.scale);
    append_channels(after, Algorithm::binary_add, c.oc, c.shift);
    if (c.residual) append_residual(after, c, op.src);
    finish(after, op);
    if (padded) op.src = pad(c, op.src);
    op.dst =
        describe(dst_dims, c.dst_plain ? Tag::nchw : blocked, c.dst_plain ? Type::f32 : values);
    op.strides = {c.stride, c.stride};
    op.pad_begin = padded ? Dims{0, 0} : Dims{c.pad_begin, c.pad_begin};
    op.pad_end = padded ? Dims{0, 0} : Dims{c.pad_end, c.pad_end};
    const Dims dims = c.depthwise ? Dims{c.oc, 1, 1, c.kernel_size, c.kernel_size}
                                  : Dims{c.oc, c.ic, c.kernel_size, c.kernel_size};
    op.weights_desc = describe(dims, Tag::any, weights);
    const auto pd = op.convolution(engine);
    op.implementation = pd.impl_info_str();
    if (allowed == Implementations::kNoReference) refuse_reference(c, op.implementation);
    implementations.push_back(op.implementation);
    op.weights_desc = pd.weights_desc();
    const memory::desc plain =
        describe(dims, c.depthwise ? Tag::goihw : Tag::oihw, bytes ? Type::s8 : Type::f32);
    op.weights =
        copy(plain, op.weights_desc, bytes ? static_cast<const void*>(c.int8_weights) : c.weights);
    if (raw_weights != nullptr) {
      op.raw_weights = copy(plain, op.weights_desc, raw_weights);
      op.raw_bias = bias_values(c.oc, raw_bias);
    }
    ops.push_back(std::move(op));
    const bool patch_embed = c.src_plain && !c.dst_plain;
    if (precision == kInt8 && patch_embed) {  // floats so far
      const memory::desc floats = ops.back().dst, rounded = describe(dst_dims, layout, type);
      convert(floats, rounded, rounded);
    }
  }

  void add_mean(int c, int h, int w, const float* scale, const float* shift) {
    Op op;
    op.kind = Op::Kind::kMean;
    op.window = {h, w};
    op.src = describe({1, c, h, w}, float_layout());
    op.dst = describe(channel_dims(c), Tag::nchw);
    if (precision != kFp32) convert(describe({1, c, h, w}, layout, type), op.src, op.src);
    PostOps after;
    append_channels(after, Algorithm::binary_mul, c, scale);
    append_channels(after, Algorithm::binary_add, c, shift);
    finish(after, op);
    op.implementation = op.mean(engine).impl_info_str();
    implementations.push_back(op.implementation);
    ops.push_back(std::move(op));
  }
};

std::string version() {
  const dnnl_version_t* v = dnnl_version();
  std::string text = std::to_string(v->major);
  text.append(".").append(std::to_string(v->minor));
  return text.append(".").append(std::to_string(v->patch));
}

Support support(Precision precision) {
  if (precision == kFp32) return Support::kInstructions;
  if (has_isa(dnnl::cpu_isa::avx512_core_amx)) return Support::kTiles;
  if (precision == kInt8) {
    const bool vnni = has_isa(dnnl::cpu_isa::avx512_core_vnni) || has_isa(dnnl::cpu_isa::avx2_vnni);
    return vnni ? Support::kInstructions : Support::kNone;
  }
  if (has_isa(dnnl::cpu_isa::avx512_core_bf16)) return Support::kInstructions;
  return has_isa(dnnl::cpu_isa::avx512_core) ? Support::kEmulated : Support::kNone;
}

Program::Program(Precision precision, Implementations implementations)
    : impl_(translate("oneDNN",
                      [&] { return std::make_unique<Impl>(precision, implementations); })) {}
Program::~Program() = default;

void Program::add_convolution(const Convolution& c, const float* raw_weights,
                              const float* raw_bias) {
  translate(c.name, [&] { impl_->add(c, raw_weights, raw_bias); });
}

void Program::add_mean(int c, int h, int w, const float* scale, const float* shift) {
  translate("mean", [&] { impl_->add_mean(c, h, w, scale, shift); });
}

Precision Program::precision() const { return impl_->precision; }
std::size_t Program::weight_bytes() const { return impl_->weight_bytes; }
const std::string& Program::implementation(std::size_t i) const {
  return impl_->implementations[i];
}
const std::string& Program::layout() const { return impl_->layout_name; }
bool Program::fits() const {
  return translate("oneDNN", [&] {
    return std::all_of(impl_->ops.begin(), impl_->ops.end(),
                       [&](const Op& op) { return op.fits(impl_->engine); });
  });
}

struct Instance::Impl {
  struct Step {
    dnnl::primitive primitive;
    std::unordered_map<int, memory> args;
  };
  const Program::Impl& program;
  dnnl::stream stream{program.engine};
  std::vector<Step> steps;
  std::size_t first = 0;  // the first convolution
  memory src, dst, mean_dst;
  Buffer<std::uint8_t> scratchpad;
  std::size_t bytes = 0;

  explicit Impl(const Program::Impl& p) : program(p) {
    std::vector<dnnl::memory::desc> scratchpad_descs;
    memory between, unpadded;
    std::size_t scratchpad_bytes = 1;
    for (std::size_t i = 0; i < p.ops.size(); ++i) {
      const Op& op = p.ops[i];
      const bool last = i + 1 == p.ops.size();
      if (i == 0) between = unpadded = src = memory(op.src, p.engine, nullptr);
      const memory result = last ? memory(op.dst, p.engine, nullptr) : memory(op.dst, p.engine);
      if (!last) bytes += op.dst.get_size();
      scratchpad_descs.push_back(add_step(op));
      scratchpad_bytes = std::max(scratchpad_bytes, scratchpad_descs.back().get_size());
      std::unordered_map<int, memory>& args = steps.back().args;
      args[DNNL_ARG_SRC] = between;
      args[DNNL_ARG_DST] = op.kind == Op::Kind::kConvert ? part(op, result) : result;
      for (const auto& [index, operand] : op.operands) {
        args[DNNL_ARG_ATTR_MULTIPLE_POST_OP(index) | DNNL_ARG_SRC_1] = operand ? operand : unpadded;
      }
      if (op.kind == Op::Kind::kMean) mean_dst = result;
      if (op.border.empty()) unpadded = result;
      between = result;
    }
    dst = between;
    while (program.ops[first].kind != Op::Kind::kConvolution) ++first;
    scratchpad = Buffer<std::uint8_t>(scratchpad_bytes);
    bytes += scratchpad_bytes;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      steps[i].args[DNNL_ARG_SCRATCHPAD] = memory(scratchpad_descs[i], p.engine, scratchpad.data());
    }
  }

  void run(const float* image, bool raw, float* result, float* mean) {
    const Op& op = program.ops[first];
    src.set_data_handle(const_cast<float*>(image));
    dst.set_data_handle(result);
    steps[first].args[DNNL_ARG_WEIGHTS] = raw ? op.raw_weights : op.weights;
    if (op.bias) steps[first].args[DNNL_ARG_BIAS] = raw ? op.raw_bias : op.bias;
    for (Step& step : steps) step.primitive.execute(stream, step.args);
    stream.wait();
    if (mean != nullptr) {
      const float* const from = static_cast<const float*>(mean_dst.get_data_handle());
      std::copy(from, from + mean_dst.get_desc().get_size() / sizeof(float), mean);
    }
  }

  // Its primitive and weights; returns what its scratchpad is to be.
  memory::desc add_step(const Op& op) {
    if (op.kind == Op::Kind::kMean) {
      const auto pd = op.mean(program.engine);
      steps.push_back({dnnl::pooling_forward(pd), {}});
      return pd.scratchpad_desc();
    }
    if (op.kind == Op::Kind::kConvert) {
      const auto pd = op.conversion(program.engine);
      steps.push_back({dnnl::reorder(pd), {}});
      return pd.scratchpad_desc();
    }
    const auto pd = op.convolution(program.engine);
    steps.push_back({dnnl::convolution_forward(pd), {{DNNL_ARG_WEIGHTS, op.weights}}});
    if (op.bias) steps.back().args[DNNL_ARG_BIAS] = op.bias;
    return pd.scratchpad_desc();
  }

  // The part of a conversion's result that is written, and the border around it, channels last.
  memory part(const Op& op, const memory& result) {
    if (op.border.empty()) return result;
    auto* const values = static_cast<std::uint8_t*>(result.get_data_handle());
    for (std::size_t i = 0; i < op.dst.get_size(); ++i) values[i] = op.border[i % op.border.size()];
    return {op.view, program.engine, values};
  }
};

Instance::Instance(const Program& program)
    : impl_(translate("oneDNN", [&] { return std::make_unique<Impl>(*program.impl_); })) {}
Instance::~Instance() = default;

std::size_t Instance::bytes() const { return impl_->bytes; }

void Instance::run(const float* src, bool raw, float* dst, float* mean) {
  translate("oneDNN", [&] { impl_->run(src, raw, dst, mean); });
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
Support support(Precision) { return Support::kNone; }
Program::Program(Precision, Implementations) { absent(); }
Program::~Program() = default;
void Program::add_convolution(const Convolution&, const float*, const float*) { absent(); }
void Program::add_mean(int, int, int, const float*, const float*) { absent(); }
Precision Program::precision() const { absent(); }
std::size_t Program::weight_bytes() const { absent(); }
const std::string& Program::implementation(std::size_t) const { absent(); }
const std::string& Program::layout() const { absent(); }
bool Program::fits() const { absent(); }
Instance::Instance(const Program&) { absent(); }
Instance::~Instance() = default;
std::size_t Instance::bytes() const { absent(); }
void Instance::run(const float*, bool, float*, float*) { absent(); }

}  // namespace convmixer::onednn

#endif
