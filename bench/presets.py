# SPDX-License-Identifier: Apache-2.0
"""The published models, and where the project lies. Standard library only."""
import os

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

PRESETS = {  # dim, depth, kernel_size, patch_size, activation
    "convmixer_1536_20": (1536, 20, 9, 7, "gelu"),
    "convmixer_1024_20": (1024, 20, 9, 14, "gelu"),
    "convmixer_768_32": (768, 32, 7, 7, "relu"),
    "convmixer_256_8": (256, 8, 9, 7, "gelu"),
}
