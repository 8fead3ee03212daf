# SPDX-License-Identifier: Apache-2.0
"""A ConvMixer in int8 for other runtimes: ONNX Runtime's static quantisation, as QuantizeLinear and DequantizeLinear
around each operator (QDQ). OpenVINO reads the same model.

Weights are signed bytes with a scale a channel, activations unsigned bytes with a scale a tensor. (Signed ones run as
fast in OpenVINO and at 0.4 of the rate in ONNX Runtime, on Zen 4.) Quantising every operator, BatchNorm and Gelu too,
is slower in both and less accurate than either form below; which of them is faster depends on runtime and model.
"""
import contextlib
import glob
import hashlib
import logging
import os
import tempfile

import onnx
import onnxruntime
from onnxruntime import quantization

import onnx_graph
import preset_models

FORMS = {"conv": ["Conv"], "sums": ["Conv", "Add", "Gemm"]}  # the operators that are quantised
FOLDER = os.path.join(preset_models.ROOT, "build", "bench", "quantised")


class _Images(quantization.CalibrationDataReader):
    def __init__(self, images):
        self.rest = iter(images)

    def get_next(self):
        image = next(self.rest, None)
        return None if image is None else {"images": image[None]}


@contextlib.contextmanager
def _quiet():
    """Without its advice, which is about graphs that others export."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def quantised_file(name, tensors, config, form):
    """The path of the QDQ model of one image, made if it is not there yet: minutes and gigabytes for the largest. It is
    known by what it is made of."""
    graph = onnx_graph.build(tensors, config, 1)
    made_of = hashlib.sha256(graph)
    made_of.update(f"{onnxruntime.__version__} {FORMS[form]} {len(preset_models.calibration_images(config))}".encode())
    path = os.path.join(FOLDER, f"{name}.{form}.{made_of.hexdigest()[:16]}.onnx")
    if os.path.exists(path):
        return path
    os.makedirs(FOLDER, exist_ok=True)
    for old in glob.glob(os.path.join(glob.escape(FOLDER), f"{glob.escape(name)}.{form}.*.onnx")):
        os.remove(old)
    print(f"  {name}: quantising {', '.join(FORMS[form])} by ONNX Runtime", flush=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder, _quiet():
        src, dst = os.path.join(folder, "src.onnx"), os.path.join(folder, "dst.onnx")
        with open(src, "wb") as f:
            f.write(graph)
        quantization.quantize_static(
            src, dst, _Images(preset_models.calibration_images(config)), quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=FORMS[form], per_channel=True, activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8)
        os.replace(dst, path)
    return path


def build(path, batch):
    """The bytes of the model at `path` for a batch of another size."""
    model = onnx.load(path)
    del model.graph.value_info[:]  # shapes in between, of one image
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    return model.SerializeToString()
