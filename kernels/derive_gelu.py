#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the coefficients in activation.inl.h. Needs numpy and scipy; nothing of the build does.

gelu(x) = x · Φ(x) and Φ(x) = 1/2 + x · P(s) with s = 2x²/c² − 1 in [−1, 1] for |x| ≤ c, since
(Φ(x) − 1/2) / x is even. A polynomial in s keeps its digits in single precision; the same one in x²
loses two or three of them. The fit minimises the largest error of gelu: |x²·(P − g)|, and relative
to gelu's slope near 0.
"""
import numpy as np
from scipy.special import ndtr

CLAMP, DEGREE = 5.2, 13


def fit(clamp, degree, points=4000, rounds=60):
    """Minimax by Lawson's iteration: least squares, reweighted by the error it leaves."""
    s = np.cos((np.arange(points) + 0.5) * np.pi / points)
    x = clamp * np.sqrt((s + 1) / 2)
    g = (ndtr(x) - 0.5) / x
    importance = np.maximum(x * x, 0.3 * x)
    basis = np.polynomial.chebyshev.chebvander(s, degree)
    weight = np.ones(points)
    for _ in range(rounds):
        root = importance * np.sqrt(weight)
        coefficients, *_ = np.linalg.lstsq(basis * root[:, None], g * root, rcond=None)
        error = np.abs((basis @ coefficients - g) * importance)
        weight *= error + 1e-18
        weight /= weight.sum()
    return np.polynomial.chebyshev.cheb2poly(coefficients), error.max()


coefficients, error = fit(CLAMP, DEGREE)
print(f"clamp {CLAMP}, degree {DEGREE}, largest error of gelu before rounding {error:.2e}")
for i, value in enumerate(coefficients):
    print(f"{np.float32(value)!r}f,  // s^{i}")
