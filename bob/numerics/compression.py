"""Feature rows on a budget: fewer bits per feature, or fewer features."""

from dataclasses import dataclass

import numpy as np
import torch

from bob.numerics.arrays import Doubles, Floats
from bob.numerics.linear.feature_rows import row_slices
from bob.numerics.search.similarity import unit


@dataclass(frozen=True, eq=False)
class CompressedRows:
    """Compressed rows as float32 features, whose cosines are those of the compressed form."""

    train: Floats
    test: Floats
    bytes_per_image: int


def compress(train: Floats, test: Floats, encoding: str) -> CompressedRows:
    """Return rows of length 1 in an encoding, whose parameters come from train rows alone.

    `float32`, `float16`; `int8`: each feature divided by its largest absolute train value and
    rounded to 255 levels; `binary`: the sign of each feature relative to its train mean, compared
    by the number of equal signs; `pca_D`: the first D principal components of train, in float32
    (all of them where there are fewer).
    """
    train, test = unit(train), unit(test)
    width = train.shape[1]
    if encoding == "float32":
        return CompressedRows(train, test, 4 * width)
    if encoding == "float16":
        return CompressedRows(_rounded(train), _rounded(test), 2 * width)
    if encoding == "int8":
        largest = np.abs(train).max(0)
        step = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        return CompressedRows(_levels(train, step), _levels(test, step), width)
    if encoding == "binary":
        mean = train.mean(0, dtype=np.float64)
        return CompressedRows(_signs(train, mean), _signs(test, mean), -(-width // 8))
    components = int(encoding.removeprefix("pca_"))
    mean, directions = _principal_directions(train, components)
    first, second = (_projected(rows, mean, directions) for rows in (train, test))
    return CompressedRows(first, second, 4 * directions.shape[1])


def _rounded(rows: Floats) -> Floats:
    return rows.astype(np.float16).astype(np.float32)


def _levels(rows: Floats, step: Floats) -> Floats:
    levels: Floats = np.clip(np.rint(rows / step), -127, 127) * step
    return levels


def _signs(rows: Floats, mean: Doubles) -> Floats:
    return np.where(rows > mean, np.float32(1), np.float32(-1))


def _principal_directions(train: Floats, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean (D,), and the directions (D, d) of the largest variances, d ≤ count."""
    width = train.shape[1]
    mean = torch.from_numpy(train.mean(0, dtype=np.float64))
    covariance = mean.new_zeros(width, width)
    for rows in row_slices(*train.shape):
        centred = torch.from_numpy(train[rows]).double() - mean
        covariance.addmm_(centred.T, centred)
    count = min(count, width, max(1, len(train) - 1))
    return mean, torch.linalg.eigh(covariance)[1].flip(1)[:, :count]


def _projected(rows: Floats, mean: torch.Tensor, directions: torch.Tensor) -> Floats:
    result = np.empty((len(rows), directions.shape[1]), np.float32)
    for part in row_slices(*rows.shape):
        result[part] = ((torch.from_numpy(rows[part]).double() - mean) @ directions).numpy()
    return result
