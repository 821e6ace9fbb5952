"""Eigenvalues and eigenvectors of a symmetric matrix plus one outer product, from known ones.

In the eigenbasis of the matrix, d its eigenvalues and z the added vector, the eigenvalues σ² of
diag(d) + zzᵀ are the roots of 1 + Σ zⱼ² / (dⱼ − σ²) = 0, one above each dⱼ, and the eigenvector of
a root is zⱼ / (dⱼ − σ²). LAPACK's dlasd4 finds a root and its distance from each dⱼ without
cancellation; eigenvectors are orthogonal once z is computed anew from the roots (Gu & Eisenstat
1994, doi:10.1137/S089547989223924X). A decomposition takes several times as long.
"""

import numpy as np

from bob.numerics.arrays import Doubles

ROUNDING = 8 * np.finfo(np.float64).eps


def plus_outer_product(values: Doubles, z: Doubles) -> tuple[Doubles, Doubles]:
    """Return eigenvalues (r,) and vectors (r, r), in columns, of diag(values) + zzᵀ, ascending.

    `values` (r,) are at least 0 and ascend. Values that are not distinct are decomposed anew.
    """
    length = float(np.linalg.norm(z))
    least = ROUNDING * max(float(values[-1]), length**2)
    turned = np.flatnonzero(np.abs(z) * length > least)
    if len(turned) and np.diff(values[turned]).min(initial=np.inf) <= least:
        decomposition = np.linalg.eigh(np.diag(values) + np.outer(z, z))
        return decomposition.eigenvalues.clip(min=0), decomposition.eigenvectors
    updated, vectors = values.copy(), np.eye(len(values))
    if len(turned):
        updated[turned], vectors[np.ix_(turned, turned)] = _roots(values[turned], z[turned])
    order = np.argsort(updated, kind="stable")
    return updated[order], vectors[:, order]


def _roots(values: Doubles, z: Doubles) -> tuple[Doubles, Doubles]:
    """Return the eigenvalues and vectors where all values are distinct and no zⱼ is 0."""
    from scipy.linalg.lapack import dlasd4

    count, length = len(values), float(np.linalg.norm(z))
    singular, direction = np.sqrt(values), z / length
    roots, gaps = np.empty(count), np.empty((count, count))
    for i in range(count):
        minus, root, plus, _ = dlasd4(i, singular, direction, length**2)
        roots[i], gaps[i] = root**2, minus * plus  # dⱼ − σᵢ² for each j
    vectors = _consistent(singular, z, gaps) / gaps
    vectors /= np.sqrt((vectors**2).sum(1))[:, None]
    return roots, vectors.T


def _consistent(singular: Doubles, z: Doubles, gaps: Doubles) -> Doubles:
    """Return the z (r,) of which the roots are exact: zⱼ² = Πᵢ (σᵢ² − dⱼ) / Πᵢ≠ⱼ (dᵢ − dⱼ).

    Differences of d are those of its roots, as dlasd4 reads them.
    """
    between = (singular[:, None] - singular) * (singular[:, None] + singular)
    np.fill_diagonal(between, 1.0)
    size: Doubles = np.exp(np.log(np.abs(gaps / between)).sum(0) / 2)
    return np.copysign(size, z)
