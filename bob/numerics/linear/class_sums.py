"""Linear heads from sums over examples: a discriminant and ridge regression, in one pass.

Let example p have features x_p (D,) and shares y_p (C,) of classes; y_p sums to the weight of the
example, 1 unless a part of it has no class. The heads depend on the data through

    n_c = sum_p y_pc        S_c = sum_p y_pc x_p        G = sum_p (sum_c y_pc) x_p x_p'

alone. An example with shares counts like that many copies of itself, each with one class; N is the
sum of the n_c. Features are standardised by the mean m = sum_c S_c / N and the standard deviation
over examples, both of which follow from the sums: z = (x - m) / d.

(A) Linear discriminant analysis. With the class means mu_c = S_c / n_c and the covariance within
classes Q = (G - sum_c S_c S_c' / n_c) / N of z, shrunk to Q_s = (1 - s) Q + s (tr Q / D) I,

    W_c = Q_s^-1 mu_c        b_c = -mu_c' W_c / 2 + log(n_c / N).

(B) Ridge regression on shares. With T the covariance of z and B_c = S_c / N the products with the
targets, W = B (T + s I)^-1 and b_c = n_c / N minimise  sum |y - Wz - b|^2 + s N |W|^2.

One tridiagonal form of Q or T serves every strength s (`bob.numerics.linear.shifted`). The same
results as scikit-learn's `LinearDiscriminantAnalysis(solver="lsqr", shrinkage=s)` and
`Ridge(alpha=s N)` after `StandardScaler`, on the copies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bob.errors import UndefinedError
from bob.numerics.arrays import Doubles, Floats
from bob.numerics.linear.shifted import shifted_solutions

HeadKind = Literal["lda", "ridge"]
Prior = Literal["train", "uniform"]
CONSTANT_BELOW = 1e-10
"""Ratio of variance to mean square at which a feature is constant up to rounding."""
ABSENT = -1e30
"""Bias of a class without examples: finite, so that weighted means of it are."""


@dataclass(frozen=True, eq=False)
class ClassSums:
    """Sums over examples; those of several parts add up."""

    counts: Doubles
    """(C,)"""
    sums: Doubles
    """(C, D)"""
    gram: Doubles
    """(D, D)"""

    @classmethod
    def of(cls, x: Floats | Doubles, shares: Doubles) -> "ClassSums":
        """Sum features (P, D) with class shares (P, C), in float64."""
        weight = shares.sum(axis=1)
        if not np.all(weight == 1):
            kept = weight > 0
            x, shares, weight = x[kept], shares[kept], weight[kept]
        root = np.sqrt(weight)[:, None]
        halves = np.multiply(x, root, dtype=np.float64)
        # NumPy computes a product with its own transpose by half of the operations
        return cls(shares.sum(axis=0), (shares / root).T @ halves, halves.T @ halves)


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Logits W x + b of features before standardisation."""

    weight: Doubles
    """(C, D)"""
    bias: Doubles
    """(C,)"""

    def logits(self, x: Floats | Doubles) -> Doubles:
        """Return the logits (..., C) of features (..., D)."""
        return np.asarray(np.asarray(x, np.float64) @ self.weight.T + self.bias, np.float64)


def stacked_logits(heads: Sequence[LinearHead], x: Floats | Doubles) -> Doubles:
    """Return the logits (S, ..., C) of S heads of features (..., D), in one product."""
    weight = np.concatenate([head.weight for head in heads])
    bias = np.concatenate([head.bias for head in heads])
    logits = LinearHead(weight, bias).logits(x)
    return np.moveaxis(logits.reshape(*logits.shape[:-1], len(heads), -1), -2, 0)


def head_path(
    kind: HeadKind, sums: ClassSums, strengths: Sequence[float], prior: Prior = "train"
) -> list[LinearHead]:
    """Return the head at every strength, in their order.

    `prior` is that of the discriminant. Classes without examples are never predicted.
    UndefinedError where there are no examples.
    """
    total = sums.counts.sum()
    if not total > 0:
        raise UndefinedError("there are no labelled train pixels")
    mean = sums.sums.sum(axis=0) / total
    present = sums.counts > 0
    scale = feature_scale(sums.gram, mean, total)
    solve = _discriminants if kind == "lda" else _ridge
    weights, biases = solve(sums, present, mean, scale, strengths, prior)
    heads = []
    for weight, bias in zip(weights, biases, strict=True):
        full = np.zeros_like(sums.sums)
        full[present] = weight * scale
        shifted = np.full(len(present), ABSENT)
        shifted[present] = bias - full[present] @ mean
        heads.append(LinearHead(full, shifted))
    return heads


Path = tuple[list[Doubles], list[Doubles]]
"""Weights (C', D) of standardised features and biases (C',) of the classes that occur."""


def feature_scale(gram: Doubles, mean: Doubles, total: float) -> Doubles:
    """Return 1 / standard deviation of each feature (D,); 0 for a constant one."""
    square = np.diag(gram) / total
    variance = square - mean**2
    varies = variance > CONSTANT_BELOW * square
    return np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)


def _discriminants(
    sums: ClassSums,
    present: np.ndarray,
    mean: Doubles,
    scale: Doubles,
    strengths: Sequence[float],
    prior: Prior,
) -> Path:
    counts, total = sums.counts[present], sums.counts.sum()
    raw = sums.sums[present] / np.sqrt(counts)[:, None]
    within = (sums.gram - raw.T @ raw) / total * np.outer(scale, scale)
    means = (sums.sums[present] / counts[:, None] - mean) * scale
    log_prior = np.log(counts / total) if prior == "train" else np.zeros(len(counts))
    spread = float(np.trace(within)) / len(within)
    shrunk = [(1 - strength, strength * spread) for strength in strengths]
    weights = shifted_solutions(within, means, shrunk)
    return weights, [log_prior - (means * weight).sum(axis=1) / 2 for weight in weights]


def _ridge(
    sums: ClassSums,
    present: np.ndarray,
    mean: Doubles,
    scale: Doubles,
    strengths: Sequence[float],
    prior: Prior,
) -> Path:
    counts, total = sums.counts[present], sums.counts.sum()
    covariance = (sums.gram / total - np.outer(mean, mean)) * np.outer(scale, scale)
    products = (sums.sums[present] - counts[:, None] * mean) * scale / total
    weights = shifted_solutions(covariance, products, [(1.0, strength) for strength in strengths])
    return weights, [counts / total] * len(weights)
