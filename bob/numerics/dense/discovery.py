"""The object of an image, from the features of its patches alone: LOST and TokenCut.

Let the rows f_p of a map be the features of the P patches of an image.

(A) LOST (Siméoni et al. 2021, arXiv:2109.14279; github.com/valeoai/LOST). The degree of a patch is
the number of other patches with f_p . f_q > 0. Patches of the background are alike, and so have
high degrees; the seed is the patch with the lowest one. Of the k patches with the lowest degrees,
those with a positive product with the seed have the sum of features s; the object are the patches
with f_p . s > 0, of which those count that are connected to the seed.

(B) TokenCut (Wang et al. 2022, arXiv:2202.11539; github.com/YangtaoWANG95/TokenCut). Patches with a
cosine above tau are joined with weight 1, others with EPSILON. With D the diagonal of the sums of
the weights A, the eigenvector of the second smallest value of (D - A) y = l D y cuts the image at
its mean. The object is the side of the entry with the largest size, of which those patches count
that are connected to it.

Patches are connected that share an edge.
"""

import numpy as np
import scipy.linalg
import scipy.ndimage

from bob.numerics.arrays import Bools, Doubles, Floats

EPSILON = 1e-5
Cells = tuple[int, int, int, int]
"""Left, top, right and bottom edge in cells."""


def lost(features: Floats | Doubles, k: int) -> Cells:
    """Return the box of the object on a map (h, w, D); of equal degrees, the first patch."""
    rows, shape = _scaled(features), features.shape[:2]
    products = rows @ rows.T
    positive = products > 0
    np.fill_diagonal(positive, False)
    order = np.argsort(positive.sum(axis=1), kind="stable")
    seed, candidates = int(order[0]), order[:k]
    similar = candidates[products[seed, candidates] > 0]
    is_object = products[similar].sum(axis=0) > 0
    is_object[seed] = True  # a seed without features has no product
    return component_box(is_object.reshape(shape), seed)


def token_cut(features: Floats | Doubles, tau: float) -> Cells:
    """Return the box of the object on a map (h, w, D)."""
    rows, shape = _scaled(features), features.shape[:2]
    if len(rows) == 1:
        return (0, 0, 1, 1)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(lengths > 0, lengths, 1)
    weights = np.where(unit @ unit.T > tau, 1.0, EPSILON)
    degrees = weights.sum(axis=1)
    # with z = sqrt(D) y, an ordinary symmetric eigenproblem
    root = np.sqrt(degrees)
    laplacian = np.diag(degrees) - weights
    _, vectors = scipy.linalg.eigh(laplacian / np.outer(root, root), subset_by_index=[1, 1])
    cut = vectors[:, 0] / root
    seed = int(np.abs(cut).argmax())
    is_above = cut > cut.mean()
    return component_box((is_above == is_above[seed]).reshape(shape), seed)


def component_box(is_object: Bools, seed: int) -> Cells:
    """Return the box around the patches (h, w) of the object that are connected to the seed."""
    components, _ = scipy.ndimage.label(is_object)
    chosen = components == components.reshape(-1)[seed]
    rows, columns = np.flatnonzero(chosen.any(axis=1)), np.flatnonzero(chosen.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def standardised_map(features: Floats | Doubles) -> Doubles:
    """Return a map (h, w, D) of mean 0 and variance 1 over all values, as LOST does for CNNs."""
    values = _scaled(features).reshape(features.shape)
    centred = values - values.mean()
    deviation = centred.std()
    return np.asarray(centred / (deviation if deviation > 0 else 1.0), np.float64)


def _scaled(features: Floats | Doubles) -> Doubles:
    """Return the rows (P, D) in float64, divided by their largest size."""
    rows = np.asarray(features, np.float64).reshape(-1, features.shape[-1])
    largest = np.abs(rows).max(initial=0.0)
    return rows / largest if largest > 0 else rows
