# SPDX-License-Identifier: Apache-2.0
"""A ConvMixer as an ONNX graph, straight from its tensors."""
import numpy as np
from onnx import TensorProto, checker, helper

OPSET = 20  # the first with Gelu


class _Builder:
    def __init__(self, tensors):
        self.tensors, self.nodes, self.initializers = tensors, [], []

    def constant(self, name, values=None):
        values = np.ascontiguousarray(self.tensors[name] if values is None else values, dtype="<f4")
        self.initializers.append(
            helper.make_tensor(name, TensorProto.FLOAT, values.shape, values.tobytes(), raw=True))
        return name

    def node(self, op, inputs, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(self, src, name, **attributes):
        weights = self.constant(name + ".weight")
        return self.node("Conv", [src, weights, self.constant(name + ".bias")], name,
                         kernel_shape=list(self.tensors[weights].shape[2:]), **attributes)

    def batch_norm(self, src, name, eps):
        inputs = [self.constant(f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        return self.node("BatchNormalization", [src] + inputs, name, epsilon=eps)


def _activation(b, src, config, gelu):
    if config["activation"] == "relu":
        return b.node("Relu", [src], src + ".act")
    if gelu == "op":
        return b.node("Gelu", [src], src + ".act")
    # x · (1 + erf(x/√2)) · 1/2, in the shape that runtimes look for
    erf = b.node("Erf", [b.node("Div", [src, "root2"], src + ".div")], src + ".erf")
    product = b.node("Mul", [src, b.node("Add", [erf, "one"], src + ".plus")], src + ".mul")
    return b.node("Mul", [product, "half"], src + ".act")


def build(tensors, config, batch, gelu="op"):
    """The bytes of a model with static shapes. gelu: "op", or "erf" for its decomposition."""
    b = _Builder(tensors)
    dim, k, p, eps = config["dim"], config["kernel_size"], config["patch_size"], config["bn_eps"]
    if config["activation"] == "gelu" and gelu == "erf":
        for name, value in (("root2", 2 ** 0.5), ("one", 1), ("half", 0.5)):
            b.constant(name, np.array(value))
    pads = [(k - 1) // 2] * 2 + [k // 2] * 2
    h = b.conv("images", "stem.0", strides=[p, p])
    h = b.batch_norm(_activation(b, h, config, gelu), "stem.2", eps)
    for i in range(config["depth"]):
        u = b.conv(h, f"blocks.{i}.0.fn.0", group=dim, pads=pads)
        u = b.batch_norm(_activation(b, u, config, gelu), f"blocks.{i}.0.fn.2", eps)
        h = b.conv(b.node("Add", [u, h], f"blocks.{i}.0"), f"blocks.{i}.1")
        h = b.batch_norm(_activation(b, h, config, gelu), f"blocks.{i}.3", eps)
    h = b.node("Flatten", [b.node("GlobalAveragePool", [h], "pool")], "features", axis=1)
    b.node("Gemm", [h, b.constant("head.weight"), b.constant("head.bias")], "logits", transB=1)
    graph = helper.make_graph(
        b.nodes, "convmixer",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch] + config["input_size"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, config["num_classes"]])],
        b.initializers)
    # Not make_model's own version of the format, which may be newer than the runtimes.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    checker.check_model(model)
    return model.SerializeToString()
