"""Which pixel of an image is most similar to a descriptor, on feature maps upsampled to its size.

An upsampled map of 375 x 500 pixels and 768 channels has 144 million values. None is made: the
product with a descriptor is upsampled instead, which is the same, since both are linear; and the
squared length of an upsampled feature is a quadratic form in the weights of its four cells, whose
products are computed once per map.
"""

from dataclasses import dataclass

import numpy as np

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.dense.pixels import neighbours, upsampled


def features_at(grid: Floats, xy: Doubles, size: tuple[int, int]) -> Doubles:
    """Return the features (n, D) of a map (h, w, D), upsampled bilinearly, at points (n, 2).

    Points are columns and rows in pixels of the image, of `size` (H, W); at the centres of pixels,
    features are those of torch's `interpolate` with `align_corners=False`.
    """
    height, width = size
    left, right, across = neighbours(grid.shape[1], xy[:, 0] / width)
    upper, lower, down = neighbours(grid.shape[0], xy[:, 1] / height)
    features = grid.astype(np.float64)
    across, down = across[:, None], down[:, None]
    above = features[upper, left] * (1 - across) + features[upper, right] * across
    below = features[lower, left] * (1 - across) + features[lower, right] * across
    return np.asarray(above * (1 - down) + below * down, np.float64)


@dataclass(frozen=True, eq=False)
class PixelSearch:
    """Searches the pixels of one image."""

    grid: Doubles
    """(h, w, D)"""
    size: tuple[int, int]
    """(H, W)"""
    lengths: Doubles
    """(H, W) lengths of the upsampled features."""

    @classmethod
    def of(cls, grid: Floats, size: tuple[int, int]) -> "PixelSearch":
        """Prepare the search of a map (h, w, D) of an image of `size`."""
        features = grid.astype(np.float64)
        return cls(features, size, np.sqrt(squared_lengths(features, size).clip(min=0)))

    def nearest(self, descriptor: Doubles) -> tuple[float, float]:
        """Return column and row of the centre of the pixel with the highest cosine to (D,).

        Of equal ones, the first by rows. Pixels without a length have a cosine of 0.
        """
        products = upsampled(self.grid @ descriptor, self.size)
        has_length = self.lengths > 0
        cosine = np.where(has_length, products / np.where(has_length, self.lengths, 1), 0)
        row, column = divmod(int(cosine.argmax()), self.size[1])
        return column + 0.5, row + 0.5


def squared_lengths(features: Doubles, size: tuple[int, int]) -> Doubles:
    """Return the squared lengths (H, W) of a map (h, w, D) upsampled bilinearly to `size`.

    With cells a, b to the left and right of a pixel and weights 1 - t and t, a row's value is
    (1 - t)² aa + 2 t (1 - t) ab + t² bb, and ab + ba between two rows; rows combine alike.
    """
    (height, width), (rows, columns) = size, features.shape[:2]
    left, right, t = neighbours(columns, (np.arange(width) + 0.5) / width)
    upper, lower, u = neighbours(rows, (np.arange(height) + 0.5) / height)
    below = features[np.minimum(np.arange(rows) + 1, rows - 1)]
    within = _row_products(features, features, left, right, t)
    between = _row_products(features, below, left, right, t)
    u = u[:, None]
    squares = (1 - u) ** 2 * within[upper] + 2 * u * (1 - u) * between[upper] + u**2 * within[lower]
    return np.asarray(squares, np.float64)


def _row_products(first: Doubles, second: Doubles, left: Ints, right: Ints, t: Doubles) -> Doubles:
    """Return the products (h, W) of rows of two maps (h, w, D), both upsampled along them."""
    products = first @ second.transpose(0, 2, 1)
    return np.asarray(
        (1 - t) ** 2 * products[:, left, left]
        + t * (1 - t) * (products[:, left, right] + products[:, right, left])
        + t**2 * products[:, right, right],
        np.float64,
    )
