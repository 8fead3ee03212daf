#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the coefficients in activation.inl.h. Needs numpy and scipy; nothing of the build does.

The power: gelu(x) = max(x, 0) − t(|x|) with t(a) = a · Φ(−a) = a / q(a)⁸, where q(a) = Φ(−a)^(−1/8)
is fitted by a polynomial in a. The fit minimises the largest error of t, and relative to a where a
is below 1.

The short form: −t(a) = a · Q(a) for a ≤ c, and −t(c) beyond. The fit minimises the largest error of t,
that of t(c) against 0 too, and relative to a near 0.

The pieces: t is below 1e-13 beyond 31.5 pieces of WIDTH. Piece i is of |a − i · WIDTH| ≤ WIDTH / 2. The
exact ones are polynomials t in a − i · WIDTH; the first one has no constant term, so that gelu(0) is 0.
The fit minimises the largest error of t. Those of bf16 are Q in −t(a) = a · Q(a), polynomials in a; the
fit minimises the largest error of Q, which is that of t relative to a.
"""
import numpy as np
from scipy.special import log_ndtr, ndtr

POWER, DEGREE, TOP = 8, 8, 6.0
SHORT_CLAMP, SHORT_DEGREE = 3.9, 6  # of int8
WIDTH, PIECES = 1 / 4, 32
EXACT_DEGREE, BF16_DEGREE = 4, 2  # of pieces of t, of Q


def lawson(basis, wanted, importance, error_of, rounds):
    """Minimax by Lawson's iteration: least squares, reweighted by the error it leaves."""
    weight = np.ones(len(wanted))
    for _ in range(rounds):
        root = importance * np.sqrt(weight)
        coefficients, *_ = np.linalg.lstsq(basis * root[:, None], wanted * root, rcond=None)
        error = error_of(basis @ coefficients)
        weight *= error + 1e-18
        weight /= weight.sum()
    return coefficients, error.max()


def nodes(low, high, points):
    return (low + high) / 2 + (high - low) / 2 * np.cos((np.arange(points) + 0.5) * np.pi / points)


def fit_power():
    a = nodes(0, TOP, 4000)
    q = np.exp(-log_ndtr(-a) / POWER)
    near = np.maximum(a, 1)
    basis = np.polynomial.chebyshev.chebvander(2 * a / TOP - 1, DEGREE)
    coefficients, error = lawson(basis, q, POWER / q ** (POWER + 1) * near,
                                 lambda p: np.abs(np.maximum(p, 1e-3) ** -POWER - q ** -POWER) * near, 300)
    in_a = np.polynomial.Polynomial(np.polynomial.chebyshev.cheb2poly(coefficients))
    return in_a(np.polynomial.Polynomial([-1, 2 / TOP])).coef, error


def fit_short():
    a = np.append(nodes(0, SHORT_CLAMP, 4000), SHORT_CLAMP)
    t = -a * ndtr(-a)
    t[-1] = 0
    importance = np.maximum(1, 0.3 / a)
    basis = np.polynomial.chebyshev.chebvander(2 * a / SHORT_CLAMP - 1, SHORT_DEGREE) * a[:, None]
    coefficients, error = lawson(basis, t, importance, lambda p: np.abs((p - t) * importance), 2000)
    in_a = np.polynomial.Polynomial(np.polynomial.chebyshev.cheb2poly(coefficients))
    return in_a(np.polynomial.Polynomial([-1, 2 / SHORT_CLAMP])).coef, error


def fit_piece(i):
    """t in powers of r = a − i · WIDTH."""
    r = nodes(0 if i == 0 else -WIDTH / 2, WIDTH / 2, 400)
    a = i * WIDTH + r
    t = a * ndtr(-a)
    first = 1 if i == 0 else 0
    basis = np.vander(r / WIDTH, EXACT_DEGREE + 1, increasing=True)[:, first:]
    coefficients, _ = lawson(basis, t, np.ones(len(t)), lambda p: np.abs(p - t), 60)
    error = np.abs(basis @ coefficients - t).max()
    return np.concatenate([np.zeros(first), coefficients]) / WIDTH ** np.arange(EXACT_DEGREE + 1), error


def fit_bf16_piece(i):
    """Q in powers of a."""
    r = nodes(0 if i == 0 else -WIDTH / 2, WIDTH / 2, 400)
    a = i * WIDTH + r
    q = -ndtr(-a)
    basis = np.vander(r / WIDTH, BF16_DEGREE + 1, increasing=True)
    coefficients, _ = lawson(basis, q, np.ones(len(q)), lambda p: np.abs(p - q), 60)
    error = np.abs(a * (basis @ coefficients - q)).max()
    in_r = np.polynomial.Polynomial(coefficients / WIDTH ** np.arange(BF16_DEGREE + 1))
    return in_r(np.polynomial.Polynomial([-i * WIDTH, 1])).coef, error


for name, (coefficients, error) in (("power", fit_power()), ("short form", fit_short())):
    print(f"{name}: largest error of gelu before rounding {error:.2e}")
    print("{" + ", ".join(f"{np.float32(c)!s}f" for c in coefficients) + "},")

for what, pieces in (("t", [fit_piece(i) for i in range(PIECES)]),
                     ("Q of bf16", [fit_bf16_piece(i) for i in range(PIECES)])):
    print(f"pieces of {WIDTH}, {what}, largest error {max(e for _, e in pieces):.2e}")
    for row in np.transpose([c for c, _ in pieces]):
        print("{" + ", ".join(f"{np.float32(c)!s}f" for c in row) + "},")
