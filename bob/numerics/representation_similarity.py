"""How alike two sets of features of the same images are. X (N, D) and Y (N, E), in float64.

The debiased linear CKA is HSIC₁(K, L) / √(HSIC₁(K, K) HSIC₁(L, L)) with K = XXᵀ and L = YYᵀ, where
tildes have a zero diagonal and

    HSIC₁ = [tr(K̃L̃) + (1ᵀK̃1)(1ᵀL̃1) / ((n−1)(n−2)) − 2 · 1ᵀK̃L̃1 / (n−2)] / (n (n−3))

(Song et al. 2012; Kornblith et al. 2019, arXiv:1905.00414; Nguyen et al. 2021, arXiv:2010.15327).
The common biased form is near 1 for independent features with D > N. Centring the columns changes
no value and avoids cancellation.
"""

from typing import NamedTuple

import numpy as np

from bob.numerics.arrays import Doubles, Ints


class RepresentationSimilarity(NamedTuple):
    """Three measures of two sets of features; NaN where undefined."""

    cka: float
    """Debiased linear CKA: 1 for equal features up to rotation, scale and shift, near 0 for
    independent ones."""
    mutual_knn: float
    """Share of the k nearest images, by cosine, that both have in common; chance is k / (n − 1)."""
    rsa: float
    """Rank correlation of the cosine distances of all pairs of images."""


def similarity(x: Doubles, y: Doubles, k: int = 10) -> RepresentationSimilarity:
    """Return the measures of features of the same N ≥ 4 images."""
    cosines = _cosines(x), _cosines(y)
    return RepresentationSimilarity(
        debiased_cka(x, y), mutual_knn(*cosines, k), rank_agreement(*cosines)
    )


def debiased_cka(x: Doubles, y: Doubles) -> float:
    """Return the debiased linear CKA; NaN where a side has no positive HSIC₁ with itself."""
    first, second = (_gram(rows - rows.mean(0)) for rows in (x, y))
    with_itself = _hsic(first, first), _hsic(second, second)
    if min(with_itself) <= 0:
        return float("nan")
    return _hsic(first, second) / float(np.sqrt(with_itself[0] * with_itself[1]))


def mutual_knn(a: Doubles, b: Doubles, k: int) -> float:
    """Return the mean share of common neighbours from cosines (N, N) (Huh et al. 2024).

    arXiv:2405.07987. Their code clips features at a quantile and takes the best pair of layers;
    here features are taken as they are. k is at most N − 1.
    """
    k = min(k, len(a) - 1)
    common = [
        len(np.intersect1d(first, second, assume_unique=True))
        for first, second in zip(_nearest(a, k), _nearest(b, k), strict=True)
    ]
    return float(np.mean(common) / k)


def rank_agreement(a: Doubles, b: Doubles) -> float:
    """Return Spearman's ρ of the upper triangles of cosines (N, N): representational similarity.

    Kriegeskorte et al. 2008 (doi:10.3389/neuro.06.004.2008). NaN where one side is constant.
    """
    from scipy.stats import rankdata

    upper = np.triu_indices(len(a), 1)
    ranks = [rankdata(cosines[upper]) for cosines in (a, b)]
    first, second = (rank - rank.mean() for rank in ranks)
    lengths = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / lengths) if lengths > 0 else float("nan")


def _gram(rows: Doubles) -> Doubles:
    """Return the products (N, N) of rows with each other, with a diagonal of 0."""
    size = np.abs(rows).max()
    scaled = rows / size if size > 0 else rows
    gram: Doubles = scaled @ scaled.T
    np.fill_diagonal(gram, 0)
    return gram


def _hsic(a: Doubles, b: Doubles) -> float:
    """Return HSIC₁ of matrices (N, N) with a diagonal of 0."""
    n = len(a)
    product = float((a * b).sum())
    sums = float(a.sum()) * float(b.sum()) / ((n - 1) * (n - 2))
    rows = 2 * float(a.sum(0) @ b.sum(0)) / (n - 2)
    return (product + sums - rows) / (n * (n - 3))


def _cosines(rows: Doubles) -> Doubles:
    """Return cosines (N, N); 0 where a row is 0."""
    size = np.abs(rows).max()
    rows = rows / size if size > 0 else rows
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(length > 0, length, 1)
    cosines: Doubles = unit @ unit.T
    return cosines


def _nearest(cosines: Doubles, k: int) -> Ints:
    """Return the k nearest other rows (N, k); of equal ones, the lower index."""
    others = cosines.copy()
    np.fill_diagonal(others, -np.inf)
    nearest: Ints = np.argsort(-others, axis=1, kind="stable")[:, :k]
    return nearest
