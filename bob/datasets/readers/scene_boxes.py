"""The boxes and masks of the drawings of a composed scene: of what is visible of each."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bob.datasets.boxes import ImageBoxes

NOBODY = -1
LEAST_VISIBLE = 0.25
"""Share of a drawing's pixels in the image below which it is ignored: too little is left of it."""


@dataclass(eq=False)
class VisibleDrawings:
    """Which drawing is uppermost at each pixel of a scene, while drawings are laid."""

    uppermost: NDArray[np.int16]
    """(H, W) number of the drawing that a pixel belongs to, or NOBODY."""
    labels: list[int] = field(default_factory=list)
    pixels: list[int] = field(default_factory=list)
    """Pixels in the image that belonged to each drawing when it was laid."""

    @classmethod
    def of_size(cls, height: int, width: int) -> "VisibleDrawings":
        """Return a scene without drawings."""
        return cls(np.full((height, width), NOBODY, np.int16))

    def add(self, label: int, covered: NDArray[np.bool_], touched: NDArray[np.bool_]) -> None:
        """Lay a drawing on those before: the pixels that belong to it, and those it touches."""
        self.uppermost[touched] = NOBODY
        self.uppermost[covered] = len(self.labels)
        self.labels.append(label)
        self.pixels.append(int(covered.sum()))

    def boxes(self) -> ImageBoxes:
        """Return the boxes of the drawings that are visible, in the order in which they were laid.

        Those of which less than `LEAST_VISIBLE` is left are ignored.
        """
        visible = self._visible_pixels()
        numbers = np.flatnonzero(visible)
        return ImageBoxes(
            (self.uppermost.shape[0], self.uppermost.shape[1]),
            np.array([_box(self.uppermost == k) for k in numbers], np.float64).reshape(-1, 4),
            np.array(self.labels, np.int64)[numbers],
            visible[numbers].astype(np.float64),
            visible[numbers] < LEAST_VISIBLE * np.array(self.pixels)[numbers],
            np.zeros(len(numbers), bool),
        )

    def masks(self) -> NDArray[np.bool_]:
        """Return the pixels (n, H, W) of the drawings of `boxes`.

        A pixel that a later drawing covers in part belongs to none.
        """
        numbers = np.flatnonzero(self._visible_pixels())
        return np.asarray(self.uppermost == numbers[:, None, None])

    def _visible_pixels(self) -> NDArray[np.int64]:
        """Return how many pixels (drawings,) each has that are visible."""
        return np.bincount(self.uppermost[self.uppermost != NOBODY], minlength=len(self.labels))


def _box(shown: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return the edges of the smallest box around some pixels (H, W)."""
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
