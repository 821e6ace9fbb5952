"""Ridge regression of several targets from sums over examples, in one pass.

Example p has features x_p (D,), a weight w_p, and targets y_p (K,), which may be means over parts
of the example: a patch counts as its pixels do, each with the patch's features. With

    N = sum_p w_p    X = sum_p w_p x_p    Y = sum_p w_p y_p    P = sum_p w_p y_p x_p'
    G = sum_p w_p x_p x_p'

features are standardised as in `bob.numerics.linear.class_sums`, whose ridge regression on shares
is the case in which targets sum to 1; and  sum w |y - Wz - b|^2 + s N |W|^2  is minimal. The same
results as scikit-learn's `Ridge(alpha=s N)` after `StandardScaler`, on the pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.errors import UndefinedError
from bob.numerics.arrays import Doubles, Floats
from bob.numerics.linear.class_sums import LinearHead, feature_scale
from bob.numerics.linear.shifted import shifted_solutions


@dataclass(frozen=True, eq=False)
class TargetSums:
    """Sums over examples; those of several parts add up."""

    weight: Doubles
    """(1,) N"""
    features: Doubles
    """(D,) X"""
    targets: Doubles
    """(K,) Y"""
    products: Doubles
    """(K, D) P"""
    gram: Doubles
    """(D, D) G"""

    @classmethod
    def zeros(cls, width: int, targets: int) -> "TargetSums":
        """Return the sums of no example, of `width` features and a number of targets."""
        return cls(
            weight=np.zeros(1),
            features=np.zeros(width),
            targets=np.zeros(targets),
            products=np.zeros((targets, width)),
            gram=np.zeros((width, width)),
        )

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> "TargetSums":
        """Return the sums among arrays, whose names are those of the fields after a prefix."""
        return cls(**{field.name: arrays[prefix + field.name] for field in fields(cls)})

    @classmethod
    def of(cls, x: Floats | Doubles, weight: Doubles, targets: Doubles) -> "TargetSums":
        """Sum features (P, D) and targets (P, K), weighted by `weight` (P,), in float64."""
        kept = weight > 0
        if not kept.all():
            x, weight, targets = x[kept], weight[kept], targets[kept]
        examples = np.asarray(x, np.float64)
        are_one = bool((weight == 1).all())
        weighted_targets = targets if are_one else targets * weight[:, None]
        halves = examples if are_one else examples * np.sqrt(weight)[:, None]
        return cls(
            weight=weight.sum(keepdims=True),
            features=weight @ examples,
            targets=weighted_targets.sum(axis=0),
            products=weighted_targets.T @ examples,
            # NumPy computes a product with its own transpose by half of the operations
            gram=halves.T @ halves,
        )

    def only(self, columns: slice) -> "TargetSums":
        """Return the sums of some targets."""
        targets, products = self.targets[columns], self.products[columns]
        return TargetSums(self.weight, self.features, targets, products, self.gram)


def ridge_path(sums: TargetSums, strengths: Sequence[float]) -> list[LinearHead]:
    """Return the ridge regression at every strength, in their order.

    UndefinedError where there are no examples.
    """
    total = float(sums.weight[0])
    if not total > 0:
        raise UndefinedError("there are no train pixels with a target")
    mean, centre = sums.features / total, sums.targets / total
    scale = feature_scale(sums.gram, mean, total)
    covariance = (sums.gram / total - np.outer(mean, mean)) * np.outer(scale, scale)
    products = (sums.products / total - np.outer(centre, mean)) * scale
    heads = []
    shifts = [(1.0, strength) for strength in strengths]
    for weight in shifted_solutions(covariance, products, shifts):
        unscaled = weight * scale
        heads.append(LinearHead(unscaled, centre - unscaled @ mean))
    return heads
