#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the coefficients in activation.inl.h. Needs numpy and scipy; nothing of the build does.

The polynomial: gelu(x) = x · Φ(x) and Φ(x) = 1/2 + x · P(s) with s = 2x²/c² − 1 in [−1, 1] for
|x| ≤ c, since (Φ(x) − 1/2) / x is even. A polynomial in s keeps its digits in single precision; the
same one in x² loses two or three of them. The fit minimises the largest error of gelu: |x²·(P − g)|,
and relative to gelu's slope near 0.

The pieces: gelu(x) = max(x, 0) − t(|x|) with t(a) = a · Φ(−a), which is below 2e-7 beyond 15.5 pieces
of WIDTH. Piece i is a polynomial in a − i · WIDTH on |a − i · WIDTH| ≤ WIDTH / 2; the first one has
no constant term, so that gelu(0) is 0. The fit minimises the largest error of t.
"""
import numpy as np
from scipy.special import ndtr

CLAMP, DEGREE = 5.2, 13
SHORT_CLAMP, SHORT_DEGREE = 3.7, 6  # of bf16 and int8; beyond the clamp it errs by 9e-5 of |x|
WIDTH, PIECES, PIECE_DEGREE = 45 / 128, 16, 5


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


for clamp, degree in ((CLAMP, DEGREE), (SHORT_CLAMP, SHORT_DEGREE)):
    coefficients, error = fit(clamp, degree)
    print(f"clamp {clamp}, degree {degree}, largest error of gelu before rounding {error:.2e}")
    for i, value in enumerate(coefficients):
        print(f"{np.float32(value)!r}f,  // s^{i}")


def fit_piece(i, points=400, rounds=60):
    """As above, in powers of r = a − i · WIDTH."""
    low = 0 if i == 0 else -WIDTH / 2
    r = (low + WIDTH / 2) / 2 + (WIDTH / 2 - low) / 2 * np.cos((np.arange(points) + 0.5) * np.pi / points)
    a = i * WIDTH + r
    t = a * ndtr(-a)
    first = 1 if i == 0 else 0
    basis = np.vander(r / WIDTH, PIECE_DEGREE + 1, increasing=True)[:, first:]
    weight = np.ones(points)
    for _ in range(rounds):
        root = np.sqrt(weight)
        coefficients, *_ = np.linalg.lstsq(basis * root[:, None], t * root, rcond=None)
        error = np.abs(basis @ coefficients - t)
        weight *= error + 1e-18
        weight /= weight.sum()
    powers = np.concatenate([np.zeros(first), coefficients])
    return powers / WIDTH ** np.arange(PIECE_DEGREE + 1), error.max()


pieces = [fit_piece(i) for i in range(PIECES)]
print(f"pieces of {WIDTH}, degree {PIECE_DEGREE}, largest error {max(e for _, e in pieces):.2e}")
for k in range(PIECE_DEGREE + 1):
    print("{" + ", ".join(f"{np.float32(c[k])!s}f" for c, _ in pieces) + "},")
