"""Feature rows on a budget: fewer bits per feature, or fewer features."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from bob.numerics.arrays import Doubles, Floats
from bob.numerics.linear.feature_rows import row_slices
from bob.numerics.search.similarity import unit
from bob.numerics.tridiagonal import Tridiagonal


@dataclass(frozen=True, eq=False)
class CompressedRows:
    """Compressed rows as float32 features, whose cosines are those of the compressed form."""

    train: Floats
    test: Floats
    bytes_per_image: int


class Compressor:
    """Rows of length 1 in several encodings, whose parameters come from train rows alone.

    The principal components of train are computed once for all numbers of them.
    """

    def __init__(self, train: Floats, test: Floats) -> None:
        """Take train rows (N, D) and test rows (Q, D)."""
        self.train, self.test = unit(train), unit(test)

    def encoded(self, encoding: str) -> CompressedRows:
        """Return all rows in an encoding.

        `float32`, `float16`; `int8`: each feature divided by its largest absolute train value and
        rounded to 255 levels; `binary`: the sign of each feature relative to its train mean,
        compared by the number of equal signs; `pca_D`: the first D principal components of train,
        in float32 (all of them where there are fewer).
        """
        width = self.train.shape[1]
        if encoding == "float32":
            return self._each(lambda rows: rows, 4 * width)
        if encoding == "float16":
            return self._each(_rounded, 2 * width)
        if encoding == "int8":
            largest = np.abs(self.train).max(0)
            step = np.where(largest > 0, largest / 127, 1).astype(np.float32)
            return self._each(lambda rows: _levels(rows, step), width)
        if encoding == "binary":
            mean = self.train.mean(0, dtype=np.float64)
            return self._each(lambda rows: _signs(rows, mean), -(-width // 8))
        mean, reduced, vectors = self._principal
        count = min(int(encoding.removeprefix("pca_")), width, max(1, len(self.train) - 1))
        directions = torch.from_numpy(reduced.back(vectors[:, : -count - 1 : -1].copy()))
        return self._each(lambda rows: _projected(rows, mean, directions), 4 * count)

    def _each(self, encode: Callable[[Floats], Floats], size: int) -> CompressedRows:
        return CompressedRows(encode(self.train), encode(self.test), size)

    @cached_property
    def _principal(self) -> tuple[torch.Tensor, Tridiagonal, Doubles]:
        """The mean (D,), and the reduced covariance with its eigenvectors, ascending."""
        width = self.train.shape[1]
        mean = torch.from_numpy(self.train.mean(0, dtype=np.float64))
        covariance = mean.new_zeros(width, width)
        for rows in row_slices(*self.train.shape):
            centred = torch.from_numpy(self.train[rows]).double() - mean
            covariance.addmm_(centred.T, centred)
        reduced = Tridiagonal.of(covariance.numpy())
        return mean, reduced, reduced.eigen()[1]


def _rounded(rows: Floats) -> Floats:
    return rows.astype(np.float16).astype(np.float32)


def _levels(rows: Floats, step: Floats) -> Floats:
    levels: Floats = np.clip(np.rint(rows / step), -127, 127) * step
    return levels


def _signs(rows: Floats, mean: Doubles) -> Floats:
    return np.where(rows > mean, np.float32(1), np.float32(-1))


def _projected(rows: Floats, mean: torch.Tensor, directions: torch.Tensor) -> Floats:
    result = np.empty((len(rows), directions.shape[1]), np.float32)
    for part in row_slices(*rows.shape):
        result[part] = ((torch.from_numpy(rows[part]).double() - mean) @ directions).numpy()
    return result
