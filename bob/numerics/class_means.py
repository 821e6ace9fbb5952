"""Means of feature rows by class."""

import torch

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.linear.feature_rows import row_slices


def class_means(x: Floats, y: Ints, classes: int) -> Doubles:
    """Return the float64 means (C, D) of rows (N, D) of classes (N,); 0 for classes without rows.

    They are sums of deviations from the first row, so that equal rows have exactly equal means.
    """
    first = torch.from_numpy(x[0]).double()
    sums = torch.zeros(classes, x.shape[1], dtype=torch.float64)
    labels = torch.from_numpy(y)
    for rows in row_slices(*x.shape):
        sums.index_add_(0, labels[rows], torch.from_numpy(x[rows]).double() - first)
    count = torch.bincount(labels, minlength=classes)[:, None]
    means: Doubles = torch.where(count > 0, sums / count.clamp(min=1) + first, 0.0).numpy()
    return means
