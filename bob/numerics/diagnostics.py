"""Descriptions of features: their dimension, and how well labels follow from them without training.

X is (N, D) in float64, y (N,) classes 0 … C − 1. Sources are in the functions. None of them
replaces a probe: docs/explanation/further_tasks.md states how well they order backbones.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np

from bob.numerics.arrays import Bools, Doubles, Ints
from bob.numerics.rank_one import plus_outer_product
from bob.numerics.tridiagonal import Tridiagonal

CUT = 1e-10
"""Variances below this share of the largest count as 0."""
SPECTRUM = (11, 100)
"""Places of the eigenvalues through which the power law of α-ReQ is fitted."""
FIXED_POINT_STEPS = 200
NOISE_FREE = 1e-9
"""Share of the rows' degrees of freedom below which LogME has reached the limit β → ∞."""
TRANS_RATE_EPSILON = 1e-4
MIXTURE_VARIANCE = 0.8
"""Share of the variance that the principal components of N-LEEP hold."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Rows (N, D) with the eigenvalues and vectors of the smaller of XᵀX and XXᵀ, its Gram matrix.

    All descriptions of rows share that of the centred rows, from which `Uncentred` follows.
    """

    rows: Doubles
    """(N, D)"""
    squares: Doubles
    """(min(N, D),) eigenvalues, the squared singular values, descending."""
    gram: Tridiagonal
    vectors: Doubles
    """Eigenvectors of the reduced Gram matrix T = QᵀGQ in columns. Times Q they are (D, D) right
    singular vectors where D ≤ N, else (N, N) left ones."""

    @property
    def eigenvalues(self) -> Doubles:
        """The eigenvalues (min(N, D),) of XᵀX / N, descending."""
        return self.squares / len(self.rows)

    @property
    def is_tall(self) -> bool:
        """Whether D ≤ N, so that the vectors are right singular ones."""
        return bool(self.rows.shape[1] <= len(self.rows))

    def kept(self) -> Bools:
        """Return which directions (min(N, D),) have variance."""
        return np.asarray(self.squares > CUT * self.squares[0])

    def scores(self, count: int) -> Doubles:
        """Return the rows in the right singular vectors of the largest values, (N, count)."""
        vectors = self.gram.back(self.vectors[:, :count])
        return self.rows @ vectors if self.is_tall else vectors * np.sqrt(self.squares[:count])

    def along(self, points: Doubles) -> Doubles:
        """Return points (K, D) in the right singular vectors with variance, (K, r)."""
        vectors = self.vectors[:, self.kept()]
        if self.is_tall:
            return self.gram.turned(points.T).T @ vectors
        products = self.gram.turned(self.rows @ points.T).T
        return products @ vectors / np.sqrt(self.squares[self.kept()])

    def back(self, coordinates: Doubles) -> Doubles:
        """Return the point (D,) with coordinates (r,) in the directions of `along`."""
        vectors = self.vectors[:, self.kept()]
        if self.is_tall:
            return self.gram.back((vectors @ coordinates)[:, None])[:, 0]
        scaled = coordinates / np.sqrt(self.squares[self.kept()])
        return self.gram.back((vectors @ scaled)[:, None])[:, 0] @ self.rows

    def class_sums(self, y: Ints) -> Doubles:
        """Return the sum of the rows of each class of y (N,), (C, D) in ascending order."""
        return np.stack([self.rows[y == c].sum(0) for c in np.unique(y)])


@dataclass(frozen=True, eq=False)
class Uncentred:
    """The decomposition of rows before centring, from that of the centred rows.

    With mean m, XᵀX is that of the centred rows plus N mmᵀ, which adds one direction to theirs: the
    part of m that is outside them. Directions below `CUT` remain as they are.
    """

    centred: Decomposition
    mean: Doubles
    """(D,)"""
    squares: Doubles
    """(min(N, D),) eigenvalues of XᵀX, descending."""
    outside: Doubles
    """(D,) unit vector orthogonal to the centred rows; 0 if the mean has no part there."""
    turn: Doubles
    """(r + 1, r + 1) eigenvectors, in columns of descending eigenvalues, in the coordinates
    `outside` and the centred rows' r directions, ascending."""

    @classmethod
    def of(cls, centred: Decomposition, mean: Doubles) -> "Uncentred":
        """Add the mean (D,) to centred rows."""
        along = centred.along(mean[None])[0]
        outside = mean - centred.back(along)
        length = float(np.linalg.norm(outside))
        kept = centred.squares[centred.kept()]
        added = math.sqrt(len(centred.rows)) * np.array([length, *along[::-1]])
        values, vectors = plus_outer_product(np.array([0.0, *kept[::-1]]), added)
        squares = np.sort(np.concatenate([values, centred.squares[len(kept) :]]))[::-1]
        outside = outside / length if length > 0 else outside
        return cls(centred, mean, squares[: len(centred.squares)], outside, vectors[:, ::-1])

    @property
    def eigenvalues(self) -> Doubles:
        """The eigenvalues (min(N, D),) of XᵀX / N, descending."""
        return self.squares / len(self.centred.rows)

    def kept(self) -> Bools:
        """Return which directions (min(N, D),) have variance."""
        return np.asarray(self.squares > CUT * self.squares[0])

    def along(self, points: Doubles) -> Doubles:
        """Return points (K, D) in the right singular vectors with variance, (K, r)."""
        inside = self.centred.along(points)[:, ::-1]
        coordinates = np.concatenate([(points @ self.outside)[:, None], inside], axis=1)
        return coordinates @ self.turn[:, : int(self.kept().sum())]

    def class_sums(self, y: Ints) -> Doubles:
        """Return the sum of the rows of each class of y (N,), (C, D) in ascending order."""
        counts = np.unique(y, return_counts=True)[1]
        return self.centred.class_sums(y) + counts[:, None] * self.mean


def decomposed(x: Doubles, centred: bool = False) -> Decomposition:
    """Return the decomposition of rows (N, D); `centred` subtracts the mean row first."""
    rows = x - x.mean(0) if centred else x
    gram = rows.T @ rows if rows.shape[1] <= len(rows) else rows @ rows.T
    reduced = Tridiagonal.of(gram)
    values, vectors = reduced.eigen()
    return Decomposition(rows, values[::-1].clip(min=0), reduced, vectors[:, ::-1])


def rank_me(uncentred: Doubles) -> float:
    """Return exp of the entropy of the singular values, from eigenvalues without centring.

    Range [1, min(N, D)]. Garrido et al. 2023 (arXiv:2210.02885), with their 1e-7; they compare runs
    of one method only.
    """
    singular = np.sqrt(uncentred)
    p = singular / singular.sum() + 1e-7
    return float(np.exp(-(p * np.log(p)).sum()))


def participation_ratio(centred: Doubles) -> float:
    """Return (Σλ)² / Σλ² of the covariance: the number of directions that share the variance."""
    return float(centred.sum() ** 2 / (centred**2).sum())


def alpha_req(centred: Doubles) -> float:
    """Return minus the slope of ln λ on ln i for i = 11 … 100, weighted by 1/i; NaN with few.

    Agrawal et al. 2022 ("α-ReQ", NeurIPS); a value near 1 is said to be good.
    """
    first, last = SPECTRUM
    kept = int((centred > CUT * centred[0]).sum())
    place = np.arange(first, min(last, kept) + 1)
    if len(place) < 10:
        return math.nan
    log_place, log_value = np.log(place), np.log(centred[place - 1])
    weight = 1 / place
    gap = log_place - np.average(log_place, weights=weight)
    return float(-(weight * gap * log_value).sum() / (weight * gap**2).sum())


def intrinsic_dimension(nearest: Doubles, second: Doubles) -> float:
    """Return the TwoNN estimate from distances (N,) to the two nearest other rows.

    N / Σ ln(r₂ / r₁), the maximum likelihood of Facco et al. 2017 (doi:10.1038/s41598-017-11873-y)
    over rows whose nearest row is not equal; NaN where none is left or all ratios are 1.
    """
    usable = nearest > 0
    total = np.log(second[usable] / nearest[usable]).sum()
    return float(usable.sum() / total) if total > 0 else math.nan


def log_me(uncentred: Decomposition | Uncentred, y: Ints) -> float:
    """Return the mean over classes of the log evidence per row of a Bayesian linear model.

    For targets t (N,) of 0 and 1 it is the maximum over α and β of
    ln N(t; 0, β⁻¹ I + α⁻¹ XXᵀ) / N (You et al. 2021, arXiv:2102.11005), found by their fixed point,
    on rows that are not centred. Their default code sums the logarithm over min(N, D) terms only,
    which is wrong for N < D; here only directions with variance count, which is the same as D.
    """
    squares = uncentred.squares[uncentred.kept()]
    projections = uncentred.along(uncentred.class_sums(y)) / np.sqrt(squares)
    counts = np.unique(y, return_counts=True)[1].tolist()
    scores = [
        _log_evidence(squares, of_class**2, count, len(y))
        for of_class, count in zip(projections, counts, strict=True)
    ]
    return float(np.mean(scores))


def h_score(centred: Decomposition, y: Ints, shrunk: bool = False) -> float:
    """Return tr(Σ⁻¹ Σ_between), in [0, C − 1] (Bao et al. 2019, doi:10.1109/ICIP.2019.8803726).

    Directions below 1e-10 of the largest variance are left out. `shrunk`: with the covariance of
    Ledoit & Wolf, and the numerator times 1 − ρ (Ibrahim et al. 2022, arXiv:2110.06893), which as
    in their code divides by N − 1 where the covariance divides by N.
    """
    x = centred.rows
    n, width = x.shape
    means = np.stack([x[y == c].mean(0) for c in np.unique(y)])
    share = np.bincount(y)[np.unique(y)] / n
    values, factor = centred.eigenvalues, 1.0
    variances = values[centred.kept()]
    if shrunk:
        level = values.sum() / width
        delta = ((values**2).sum() - width * level**2) / width
        fourth = ((x**2).sum(1) ** 2).sum() / n
        beta = (fourth - (values**2).sum()) / (n * width)
        rho = min(max(beta, 0.0), delta) / delta if delta > 0 else 0.0
        variances = (1 - rho) * variances + rho * level
        factor = (1 - rho) * n / (n - 1)
    along = centred.along(means) ** 2 / variances
    return float(factor * (share[:, None] * along).sum())


def trans_rate(centred: Decomposition, y: Ints, epsilon: float = TRANS_RATE_EPSILON) -> float:
    """Return the coding rate of all rows minus the mean of those of each class.

    R(Z) = ½ ln det(I + ZᵀZ / (n ε)) of centred rows, classes weighted by their share (Huang et al.
    2022, arXiv:2106.09362). Depends on the scale of the features.
    """
    rate = float(np.log1p(centred.eigenvalues / epsilon).sum() / 2)
    for c in np.unique(y):
        rate -= (y == c).mean() * _coding_rate(centred.rows[y == c], epsilon)
    return float(rate)


def mixture_responsibilities(centred: Decomposition, components: int) -> Doubles:
    """Return (N, K) the probability of each component of a Gaussian mixture of rows (N, D).

    Of the principal components that hold 80 % of the variance (Li et al. 2021, arXiv:2011.11200).
    Covariances are diagonal, since a component has too few rows for a full one; the start is
    seeded, so that equal rows have equal mixtures.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    shares = np.cumsum(centred.squares) / centred.squares.sum()
    rows = centred.scores(int(np.searchsorted(shares, MIXTURE_VARIANCE, side="right")) + 1)
    rows = rows / np.sqrt((rows**2).sum(1).mean())
    mixture = GaussianMixture(components, covariance_type="diag", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows, or 100 steps
        responsibilities: Doubles = mixture.fit(rows).predict_proba(rows)
    return responsibilities


def nleep(responsibilities: Doubles, y: Ints) -> float:
    """Return N-LEEP: the mean log-probability of classes (N,) given mixture components, at most 0.

    ln Σ_z P(y | z) p(z | x), where P(y | z) is the share of class y in the weight of component z
    (Li et al. 2021, arXiv:2011.11200, after LEEP of Nguyen et al. 2020, arXiv:2002.12462). A
    published code (SFDA) leaves out the logarithm.
    """
    _, index = np.unique(y, return_inverse=True)
    joint = np.eye(index.max() + 1)[index].T @ responsibilities
    of_component = joint / np.maximum(joint.sum(0), np.finfo(float).tiny)
    likelihood = (responsibilities * of_component[index]).sum(1)
    return float(np.log(likelihood).mean())


def _coding_rate(rows: Doubles, epsilon: float) -> float:
    gram = rows.T @ rows if rows.shape[1] <= len(rows) else rows @ rows.T
    triangle = np.linalg.cholesky(gram / (len(rows) * epsilon) + np.eye(len(gram)))
    return float(np.log(triangle.diagonal()).sum())  # half the log-determinant


def _log_evidence(squares: Doubles, z2: Doubles, count: int, n: int) -> float:
    """Return the evidence per row of a target that is 1 in `count` of n rows and else 0.

    `z2` (r,) are its squared products with the left singular vectors. At the fixed point of α, β.
    """
    outside = max(count - float(z2.sum()), 0.0)
    alpha = beta = 1.0
    for _ in range(FIXED_POINT_STEPS):
        ratio = alpha / beta
        gamma = float((squares / (squares + ratio)).sum())
        if n - gamma <= NOISE_FREE * n:  # the rows explain the targets without noise
            break
        m2 = float((squares * z2 / (squares + ratio) ** 2).sum())
        r2 = float((z2 * ratio**2 / (squares + ratio) ** 2).sum()) + outside
        alpha, beta = gamma / (m2 + 1e-300), (n - gamma) / (r2 + 1e-300)
        if abs(alpha / beta - ratio) <= 1e-12 * ratio:
            break
    ratio = alpha / beta
    m2 = float((squares * z2 / (squares + ratio) ** 2).sum())
    r2 = float((z2 * ratio**2 / (squares + ratio) ** 2).sum()) + outside
    log_det = float(np.log1p(squares / ratio).sum())
    evidence = n * math.log(beta) - log_det - beta * r2 - alpha * m2 - n * math.log(2 * math.pi)
    return evidence / (2 * n)
