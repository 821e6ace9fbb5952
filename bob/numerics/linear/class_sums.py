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

One eigendecomposition of Q or T serves every strength s. The same results as scikit-learn's
`LinearDiscriminantAnalysis(solver="lsqr", shrinkage=s)` and `Ridge(alpha=s N)` after
`StandardScaler`, on the copies.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bob.errors import UndefinedError
from bob.numerics.arrays import Doubles, Floats

HeadKind = Literal["lda", "ridge"]
Prior = Literal["train", "uniform"]
CONSTANT_BELOW = 1e-10
"""Ratio of variance to mean square at which a feature is constant up to rounding."""
ABSENT = -1e30
"""Bias of a class without examples: finite, so that weighted means of it are."""
FEW_STRENGTHS = 8
"""Most strengths of a ridge regression that are solved one by one."""


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
        examples = np.asarray(x, np.float64)
        weight = shares.sum(axis=1)
        if not np.all(weight == 1):
            kept = weight > 0
            examples, shares, weight = examples[kept], shares[kept], weight[kept]
        weighted = examples * np.sqrt(weight)[:, None]
        # NumPy computes a product with its own transpose by half of the operations
        return cls(shares.sum(axis=0), shares.T @ examples, weighted.T @ weighted)


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
    values, vectors = np.linalg.eigh(within)
    values = values.clip(min=0)
    means = (sums.sums[present] / counts[:, None] - mean) * scale
    rotated = means @ vectors
    log_prior = np.log(counts / total) if prior == "train" else np.zeros(len(counts))
    weights, biases = [], []
    for strength in strengths:
        spread = (1 - strength) * values + strength * values.mean()
        weight = (rotated / np.where(spread > 0, spread, np.inf)) @ vectors.T
        weights.append(weight)
        biases.append(log_prior - (means * weight).sum(axis=1) / 2)
    return weights, biases


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
    weights = ridge_weights(covariance, products, strengths)
    return weights, [counts / total] * len(weights)


def ridge_weights(
    covariance: Doubles, products: Doubles, strengths: Sequence[float]
) -> list[Doubles]:
    """Return B (T + s I)^-1 (K, D) for each strength s, from T (D, D) and B (K, D).

    An eigendecomposition takes the time of a dozen Cholesky factors (D = 1,280), and serves every
    strength. It is also taken where rounding has left T with a negative eigenvalue below -s, which
    counts as 0.
    """
    if len(strengths) <= FEW_STRENGTHS:
        with contextlib.suppress(np.linalg.LinAlgError):
            return [_solved(covariance, products, strength) for strength in strengths]
    values, vectors = np.linalg.eigh(covariance)
    rotated = products @ vectors
    return [(rotated / (values.clip(min=0) + strength)) @ vectors.T for strength in strengths]


def _solved(covariance: Doubles, products: Doubles, strength: float) -> Doubles:
    """Return B (T + s I)^-1; LinAlgError where T + s I is not positive definite."""
    from scipy.linalg import cho_factor, cho_solve  # slow to import

    shifted = covariance.copy()
    shifted[np.diag_indices_from(shifted)] += strength
    factor = cho_factor(shifted, overwrite_a=True, check_finite=False)
    return np.asarray(cho_solve(factor, products.T, check_finite=False).T, np.float64)
