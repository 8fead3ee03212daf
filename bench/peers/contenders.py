# SPDX-License-Identifier: Apache-2.0
"""The runtimes that are compared. A contender offers a few ways to run the same network on one batch; the fastest
is measured, so that each is at its best on this CPU.

A way is a function: images (n, 3, h, w) → logits (n, classes). Packages are imported when they are asked for, since
some read the environment only then. In bf16 runs OpenVINO alone: ONNX Runtime has no such convolutions on x86-64, and
PyTorch is measured in fp32 only.
"""
import importlib.util
import os

import numpy as np

# What limits each runtime to the instruction set of `--isa`. ONNX Runtime has no such setting.
ISA_ENVIRONMENT = {
    "portable": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_FP16"},  # all but AMX
    "amx": {},
}
ISA_NOTES = {
    "openvino": "convolutions limited by ONEDNN_MAX_CPU_ISA",
    "onnxruntime": "cannot be limited: it uses all that the CPU has",
    "pytorch": "limited by ONEDNN_MAX_CPU_ISA and ATEN_CPU_CAPABILITY",
    "pytorch_compile": "limited by ONEDNN_MAX_CPU_ISA and ATEN_CPU_CAPABILITY",
}
PACKAGES = {"onnxruntime": ["onnx", "onnxruntime"], "openvino": ["onnx", "openvino"], "pytorch": ["torch"],
            "pytorch_compile": ["torch"]}


def prepare(isa):
    """Sets the environment; before anything imports a peer."""
    os.environ.update(ISA_ENVIRONMENT.get(isa, {}))
    os.environ.setdefault("TORCHINDUCTOR_FREEZING", "1")  # weights as constants, packed for the CPU


def installed():
    """The peers whose packages can be imported here."""
    return [peer for peer, needs in PACKAGES.items() if all(importlib.util.find_spec(name) for name in needs)]


def runs(peer, precision):
    """Whether it has the precision, and what that needs is installed: the quantised model is ONNX Runtime's."""
    return precision in PRECISIONS[peer] and (precision != "int8" or "onnxruntime" in installed())


def version_of(peer):
    return __import__(PACKAGES[peer][-1]).__version__.split("-")[0]  # OpenVINO's goes on with its build


def _one_by_one(run):
    return lambda images: np.concatenate([run(images[i:i + 1]) for i in range(len(images))])


class Weights:
    """A network for the peers."""

    def __init__(self, name, tensors, config):
        self.name, self.tensors, self.config = name, tensors, config

    def graphs(self, precision):
        """(description, function of n: the bytes of an ONNX model for n images), of int8 one for each form.

        Shapes are static, which is never slower. Both runtimes make the same plan of Gelu as of its decomposition by
        Erf, so there is one form of the graph in fp32 and bf16.
        """
        import onnx_graph
        if precision != "int8":
            return [("", lambda n: onnx_graph.build(self.tensors, self.config, n))]
        import quantise
        def of(form):
            path = quantise.quantised_file(self.name, self.tensors, self.config, form)
            return ", ".join(quantise.FORMS[form]) + " quantised, ", lambda n: quantise.build(path, n)
        return [of(form) for form in quantise.FORMS]


def onnxruntime_ways(weights, precision, batch, threads):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL

    def make(model):
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return lambda images: session.run(None, {"images": images})[0]

    for about, build in weights.graphs(precision):
        yield about + "whole batch", make(build(batch))
        if batch > 1:
            yield about + "one by one", _one_by_one(make(build(1)))


def openvino_ways(weights, precision, batch, threads):
    import openvino
    from openvino import properties
    core = openvino.Core()
    types = {"fp32": openvino.Type.f32, "bf16": openvino.Type.bf16}
    # The other layers of a quantised model: left to itself it takes bf16 where the CPU has it, and fails where limited.
    bf16 = "BF16" in core.get_property("CPU", properties.device.capabilities())
    bf16 = bf16 and "ONEDNN_MAX_CPU_ISA" not in os.environ
    types["int8"] = types["bf16" if bf16 else "fp32"]

    def compile_model(model, mode):
        return core.compile_model(core.read_model(model), "CPU", {
            properties.hint.inference_precision(): types[precision],  # else bf16 in fp32 too
            properties.inference_num_threads(): threads,
            properties.hint.performance_mode(): mode,
        })

    def whole(compiled):
        request = compiled.create_infer_request()

        def run(images):
            request.infer([images], share_inputs=True)
            return request.get_output_tensor(0).data.copy()
        return run

    def streams(compiled):
        queue = openvino.AsyncInferQueue(compiled)
        logits = np.empty((batch, compiled.output(0).shape[1]), np.float32)

        def done(request, i):
            logits[i] = request.get_output_tensor(0).data[0]
        queue.set_callback(done)

        def run(images):
            for i in range(batch):
                queue.start_async([images[i:i + 1]], i, share_inputs=True)
            queue.wait_all()
            return logits.copy()
        return run

    mode = properties.hint.PerformanceMode
    for about, build in weights.graphs(precision):
        yield about + "latency hint, whole batch", whole(compile_model(build(batch), mode.LATENCY))
        if batch > 1:
            yield (about + "throughput hint, its own number of streams",
                   streams(compile_model(build(1), mode.THROUGHPUT)))


def _torch_module(weights):
    import torch
    from torch import nn
    tensors, config = weights.tensors, weights.config
    dim, k, p, eps = config["dim"], config["kernel_size"], config["patch_size"], config["bn_eps"]

    class Residual(nn.Module):
        def __init__(self, fn):
            super().__init__()
            self.fn = fn

        def forward(self, h):
            return self.fn(h) + h

    def activated(conv):
        activation = nn.ReLU() if config["activation"] == "relu" else nn.GELU()
        return [conv, activation, nn.BatchNorm2d(dim, eps=eps)]

    class Network(nn.Module):  # the names of its parameters are those of the file
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(*activated(nn.Conv2d(3, dim, p, stride=p)))
            self.blocks = nn.Sequential(*[
                nn.Sequential(Residual(nn.Sequential(*activated(nn.Conv2d(dim, dim, k, groups=dim, padding="same")))),
                              *activated(nn.Conv2d(dim, dim, 1)))
                for _ in range(config["depth"])])
            self.head = nn.Linear(dim, config["num_classes"])

        def forward(self, images):
            return self.head(self.blocks(self.stem(images)).mean((2, 3)))

    module = Network().eval()
    state = {name: torch.from_numpy(np.array(values)) for name, values in tensors.items()}
    missing, unexpected = module.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(f"PyTorch's module lacks {missing} and does not know {unexpected}")
    return module


def pytorch_ways(weights, _, batch, threads, compiled=False):
    import torch
    torch.set_num_threads(threads)

    def make(memory_format):
        module = _torch_module(weights).to(memory_format=memory_format)
        if compiled:
            module = torch.compile(module)

        def run(images):
            with torch.no_grad():
                return module(torch.from_numpy(images).to(memory_format=memory_format)).numpy()
        return run

    yield "contiguous", make(torch.contiguous_format)
    yield "channels last", make(torch.channels_last)


def pytorch_compile_ways(weights, precision, batch, threads):
    return pytorch_ways(weights, precision, batch, threads, compiled=True)


WAYS = {"onnxruntime": onnxruntime_ways, "openvino": openvino_ways, "pytorch": pytorch_ways,
        "pytorch_compile": pytorch_compile_ways}
PRECISIONS = {"onnxruntime": ["fp32", "int8"], "openvino": ["fp32", "bf16", "int8"], "pytorch": ["fp32"],
              "pytorch_compile": ["fp32"]}
