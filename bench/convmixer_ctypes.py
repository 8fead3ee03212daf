# SPDX-License-Identifier: Apache-2.0
"""The part of include/convmixer.h that the benchmarks need, by ctypes and for numpy arrays."""
import ctypes
import glob
import os
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int32, c_size_t, c_uint64, c_void_p

import numpy as np


class ModelOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("isa", c_char_p), ("onednn", c_int), ("activation", c_int),
                ("image_height", c_int32), ("image_width", c_int32), ("mean", POINTER(c_double)),
                ("std", POINTER(c_double)), ("crop_pct", c_double), ("bn_eps", c_double),
                ("strassen", c_int), ("low_memory", c_int32), ("precision", c_int)]


class ModelInfo(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("dim", c_int32), ("depth", c_int32), ("kernel_size", c_int32),
                ("patch_size", c_int32), ("num_classes", c_int32), ("activation", c_int),
                ("image_height", c_int32), ("image_width", c_int32), ("mean", c_double * 3),
                ("std", c_double * 3), ("crop_pct", c_double), ("bn_eps", c_double),
                ("num_parameters", c_uint64), ("num_macs", c_uint64), ("weight_bytes", c_uint64),
                ("isa", c_char_p), ("interpolation", c_char_p), ("num_labels", c_int32),
                ("strassen_levels", c_int32), ("precision", c_int)]


STRASSEN_AUTO, STRASSEN_TWO = 0, 3
PRECISIONS = {"fp32": 1, "bf16": 2, "int8": 3}
UNSUPPORTED = 4  # a status: this build or CPU cannot do it


class SessionOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("threads", c_int32), ("chunk_size", c_int32)]


class Error(Exception):
    """A sentence, mostly the library's own, which then has a status too."""

    def __init__(self, sentence, status=None):
        super().__init__(sentence)
        self.status = status


def one_line(error):
    """Why a program ends, for people: our own sentences as they are, what was not foreseen with its kind."""
    text = " ".join(str(error).split())
    return text if isinstance(error, (Error, OSError)) else f"{type(error).__name__}: {text}"


def _sized(structure):
    made = structure()
    made.struct_size = ctypes.sizeof(structure)
    return made


def find_library(build):
    """The path of the library in a build folder; lib/ or lib64/, as the system has it."""
    found = sorted(glob.glob(os.path.join(build, "lib*", "libconvmixer.so")))
    if not found:
        raise Error(f"no lib*/libconvmixer.so in {build}: build it, or say where the library is")
    return found[0]


class Library:
    # Functions that older commits have too, and their arguments.
    _FUNCTIONS = {
        "convmixer_model_open": [c_char_p, POINTER(ModelOptions), POINTER(c_void_p)],
        "convmixer_model_destroy": [c_void_p],
        "convmixer_model_get_info": [c_void_p, POINTER(ModelInfo)],
        "convmixer_session_create": [c_void_p, POINTER(SessionOptions), POINTER(c_void_p)],
        "convmixer_session_destroy": [c_void_p],
        "convmixer_run_f32": [c_void_p, c_void_p, c_size_t, c_void_p, c_void_p],
    }

    def __init__(self, path):
        self.handle = ctypes.CDLL(path)
        self.handle.convmixer_last_error.restype = c_char_p
        self.handle.convmixer_version.restype = c_char_p
        for name, arguments in self._FUNCTIONS.items():
            getattr(self.handle, name).argtypes = arguments

    def version(self):
        return self.handle.convmixer_version().decode()

    def call(self, name, *arguments):
        status = getattr(self.handle, name)(*arguments)
        if status != 0:
            raise Error(self.handle.convmixer_last_error().decode(), status)


class Network:
    """A model and one session of it. A precision of None is the default, which commits without precisions know too."""

    def __init__(self, library, path, threads=0, isa=None, strassen=STRASSEN_AUTO, precision=None):
        self.library, self.path, self.threads = library, path, threads
        self.model, self.session = c_void_p(), c_void_p()
        options, session_options, self.info = _sized(ModelOptions), _sized(SessionOptions), _sized(ModelInfo)
        options.isa = isa.encode() if isa else None
        options.strassen = strassen
        options.precision = PRECISIONS[precision] if precision else 0
        session_options.threads = threads
        library.call("convmixer_model_open", os.fsencode(path), byref(options), byref(self.model))
        library.call("convmixer_model_get_info", self.model, byref(self.info))
        library.call("convmixer_session_create", self.model, byref(session_options), byref(self.session))

    def run(self, images, logits=None):
        """(n, 3, h, w) contiguous float32 → (n, classes)."""
        self._check(images)
        if logits is None:
            logits = np.empty((len(images), self.info.num_classes), np.float32)
        self.library.call("convmixer_run_f32", self.session, images.ctypes.data, len(images), logits.ctypes.data, None)
        return logits

    def calibrate(self, path, images):
        """Writes this model's file to `path` with the scales that int8 needs. images: as for run."""
        self._check(images)
        handle, calibration, options = self.library.handle, c_void_p(), _sized(ModelOptions)
        handle.convmixer_calibration_create.argtypes = [c_char_p, POINTER(ModelOptions), c_int32, POINTER(c_void_p)]
        handle.convmixer_calibration_add_f32.argtypes = [c_void_p, c_void_p, c_size_t]
        handle.convmixer_calibration_write.argtypes = [c_void_p, c_char_p, c_int, c_int]
        handle.convmixer_calibration_destroy.argtypes = [c_void_p]
        self.library.call("convmixer_calibration_create", os.fsencode(self.path), byref(options), self.threads,
                          byref(calibration))
        try:
            self.library.call("convmixer_calibration_add_f32", calibration, images.ctypes.data, len(images))
            self.library.call("convmixer_calibration_write", calibration, os.fsencode(path), 0, 0)  # the defaults
        finally:
            handle.convmixer_calibration_destroy(calibration)

    def _check(self, images):
        want = (3, self.info.image_height, self.info.image_width)
        if images.dtype != np.float32 or not images.flags.c_contiguous or images.shape[1:] != want:
            raise Error(f"contiguous float32 of (n, {want}) are expected, not {images.dtype} of {images.shape}")

    def fma_peak(self):
        """FLOP/s of the session's threads together; None where the library cannot measure it."""
        measure = getattr(self.library.handle, "convmixer_session_measure_fma_peak", None)
        if measure is None:
            return None
        measure.argtypes = [c_void_p, POINTER(c_double)]
        peak = c_double()
        self.library.call("convmixer_session_measure_fma_peak", self.session, byref(peak))
        return peak.value

    def close(self):
        self.library.handle.convmixer_session_destroy(self.session)
        self.library.handle.convmixer_model_destroy(self.model)
        self.session, self.model = c_void_p(), c_void_p()
