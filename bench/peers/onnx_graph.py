# SPDX-License-Identifier: Apache-2.0
"""A ConvMixer as an ONNX graph, straight from its tensors."""
import numpy as np
from onnx import TensorProto, checker, helper

OPSET = 20  # the first with Gelu


class _Builder:
    def __init__(self, tensors):
        self.tensors, self.nodes, self.initializers = tensors, [], []

    def constant(self, name):
        values = np.ascontiguousarray(self.tensors[name], dtype="<f4")
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


def _activation(b, src, config):
    return b.node("Relu" if config["activation"] == "relu" else "Gelu", [src], src + ".act")


def build(tensors, config, batch):
    """The bytes of a model with static shapes."""
    b = _Builder(tensors)
    dim, k, p, eps = config["dim"], config["kernel_size"], config["patch_size"], config["bn_eps"]
    pads = [(k - 1) // 2] * 2 + [k // 2] * 2
    h = b.conv("images", "stem.0", strides=[p, p])
    h = b.batch_norm(_activation(b, h, config), "stem.2", eps)
    for i in range(config["depth"]):
        u = b.conv(h, f"blocks.{i}.0.fn.0", group=dim, pads=pads)
        u = b.batch_norm(_activation(b, u, config), f"blocks.{i}.0.fn.2", eps)
        h = b.conv(b.node("Add", [u, h], f"blocks.{i}.0"), f"blocks.{i}.1")
        h = b.batch_norm(_activation(b, h, config), f"blocks.{i}.3", eps)
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
