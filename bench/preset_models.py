# SPDX-License-Identifier: Apache-2.0
"""The published models with seeded random weights, as safetensors files in timm's names. Needs numpy."""
import json
import os
import struct

import numpy as np

from convmixer_ctypes import Error
from presets import PRESETS, ROOT

RECIPE = 1  # of the weights; files written by another recipe are written anew


def config_of(name):
    dim, depth, kernel_size, patch_size, activation = PRESETS[name]
    return {"architecture": "convmixer", "dim": dim, "depth": depth, "kernel_size": kernel_size,
            "patch_size": patch_size, "activation": activation, "num_classes": 1000,
            "input_size": [3, 224, 224], "bn_eps": 1e-5, "recipe": RECIPE}


def _activate(values, activation):
    if activation == "relu":
        return np.maximum(values, 0)
    return values * (0.5 + 0.5 * np.tanh(0.79788456 * (values + 0.044715 * values ** 3)))  # near enough here


def _depthwise(h, weights):
    k = weights.shape[-1]
    before, (_, height, width) = (k - 1) // 2, h.shape
    padded = np.pad(h, ((0, 0), (before, k // 2), (before, k // 2)))
    return sum(weights[:, 0, y, x, None, None] * padded[:, y:y + height, x:x + width]
               for y in range(k) for x in range(k))


def random_tensors(config, seed=1):
    """Name → float32 array, in the order of timm's state dict.

    The running statistics come from a pass over one image of 16×16 patches and keep the activations at unit scale.
    They are a layer's, and subtract only part of the mean: each channel's own, measured on random weights, would
    amplify rounding from layer to layer until no two libraries could be compared.
    """
    rng = np.random.default_rng(seed)
    dim, k, p = config["dim"], config["kernel_size"], config["patch_size"]
    tensors = {}

    def uniform(low, high, n=dim):
        return (rng.random(n, dtype=np.float32) * (high - low) + low).astype(np.float32)

    def weights(name, *shape):
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(np.prod(shape[1:]) ** -0.5)
        tensors[name + ".weight"], tensors[name + ".bias"] = values, uniform(-0.1, 0.1, shape[0])
        return values

    def activate_and_normalise(src, conv, bn):
        src = _activate(src + tensors[conv + ".bias"][:, None, None], config["activation"])
        mean = uniform(0.4, 0.6) * np.float32(src.mean())
        src -= mean[:, None, None]
        variance = uniform(0.9, 1.1) * np.float32(np.square(src).mean())
        scale, shift = uniform(0.8, 1.2), uniform(-0.1, 0.1)
        for part, values in (("weight", scale), ("bias", shift), ("running_mean", mean), ("running_var", variance)):
            tensors[f"{bn}.{part}"] = values
        return src * (scale / np.sqrt(variance))[:, None, None] + shift[:, None, None]

    def pointwise(values, src):
        return (values.reshape(len(values), -1) @ src.reshape(len(src), -1)).reshape(-1, 16, 16)

    patches = rng.standard_normal((3 * p * p, 16, 16), dtype=np.float32)
    h = pointwise(weights("stem.0", dim, 3, p, p), patches)
    h = activate_and_normalise(h, "stem.0", "stem.2")
    for i in range(config["depth"]):
        depthwise, bn = f"blocks.{i}.0.fn.0", f"blocks.{i}.0.fn.2"
        r = h + activate_and_normalise(_depthwise(h, weights(depthwise, dim, 1, k, k)), depthwise, bn)
        conv, bn = f"blocks.{i}.1", f"blocks.{i}.3"
        h = activate_and_normalise(pointwise(weights(conv, dim, dim, 1, 1), r), conv, bn)
    weights("head", config["num_classes"], dim)
    return tensors


def write_safetensors(path, tensors, config):
    header, offset = {"__metadata__": {"convmixer": json.dumps(config)}}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape),
                        "data_offsets": [offset, offset + values.nbytes]}
        offset += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + ".part", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            f.write(np.ascontiguousarray(values, dtype="<f4").data)
    os.replace(path + ".part", path)


def read_header(path):
    """The header, and where the data begin."""
    with open(path, "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        return json.loads(f.read(size)), 8 + size


def read_safetensors(path):
    """(tensors, configuration) of a file in timm's names; what the file does not say follows README.md."""
    header, begin = read_header(path)
    metadata = header.pop("__metadata__", {})
    data = np.fromfile(path, dtype=np.uint8, offset=begin)
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] not in ("F16", "F32", "F64"):
            if name.endswith("num_batches_tracked"):
                continue
            raise Error(f"{path}: {name} is {entry['dtype']}; F16, F32 or F64 are expected here")
        first, last = entry["data_offsets"]
        values = data[first:last].view("<f" + str(int(entry["dtype"][1:]) // 8))
        tensors[name] = values.reshape(entry["shape"]).astype(np.float32, copy=False)
    if "stem.0.weight" not in tensors:
        raise Error(f"{path}: no tensor stem.0.weight; a ConvMixer in timm's names is expected")
    stem, depthwise = tensors["stem.0.weight"], tensors["blocks.0.0.fn.0.weight"]
    config = {"dim": stem.shape[0], "patch_size": stem.shape[-1], "kernel_size": depthwise.shape[-1],
              "depth": sum(n.endswith(".0.fn.0.weight") for n in tensors),
              "num_classes": tensors["head.weight"].shape[0], "input_size": [3, 224, 224], "bn_eps": 1e-5}
    sizes = tuple(config[key] for key in ("dim", "depth", "kernel_size", "patch_size"))
    config["activation"] = "relu" if sizes == (768, 32, 7, 7) else "gelu"
    config.update(json.loads(metadata.get("convmixer", "{}")))
    return tensors, config


def preset_file(name, folder=os.path.join(ROOT, "build", "bench", "models")):
    """The path of a preset's file, written if it is not there yet."""
    path = os.path.join(folder, name + ".safetensors")
    try:
        header, _ = read_header(path)
        if json.loads(header["__metadata__"]["convmixer"]).get("recipe") == RECIPE:
            return path
    except (OSError, KeyError, ValueError, struct.error):
        pass
    config = config_of(name)
    write_safetensors(path, random_tensors(config), config)
    return path


def random_images(count, config, seed=2):
    """(n, 3, h, w) of normal values, as normalised photographs have them."""
    return np.random.default_rng(seed).standard_normal((count, *config["input_size"]), dtype=np.float32)


def calibration_images(config):
    """What every library calibrates int8 on: other images than those that are compared.

    As many as give each channel 16,384 values: with 4,096 of convmixer_1024_20, whose images have 256 patches, our
    int8 differed from fp32 by 17 % of the largest |logit|, with 16,384 by 5 %.
    """
    _, height, width = config["input_size"]
    patches = (height // config["patch_size"]) * (width // config["patch_size"])
    return random_images(-(-16384 // patches), config, seed=3)
