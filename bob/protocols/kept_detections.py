"""Detections of few test images, for pages that show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Split
from bob.features.shard import Arrays
from bob.metrics.boxes import average_precision
from bob.numerics.arrays import Bools
from bob.numerics.dense.detections import Detections
from bob.outcomes import ObjectMatches
from bob.protocols.kept_images import KeptImages

SHOWN_BOXES = 32
"""Detections that are kept of an image, by descending scores."""
AP50 = slice(0, 1)
"""The threshold by which the kept detections are right or wrong, and images are scored."""


@dataclass(frozen=True, eq=False)
class KeptDetections:
    """Keeps the detections of some test images: `boxes` (K, 32, 4) in pixels, `labels` (K, 32), -1
    where an image has fewer, and their `states` (K, 32) at an overlap of 0.5; and `masks`
    (K, 32, M, M / 8) of bits, where there are any: the cells of each box that belong to the object.
    """

    images: KeptImages
    mask_px: int | None = None
    """M; None without masks."""

    @classmethod
    def of(cls, split: Split, mask_px: int | None = None) -> "KeptDetections":
        """Return the choice for a split."""
        return cls(KeptImages.of(split), mask_px)

    def start(self) -> dict[str, NDArray[Any]]:
        """Return statistics of no image."""
        return self.images.start(
            {
                "boxes": np.zeros((0, SHOWN_BOXES, 4), np.float32),
                "labels": np.zeros((0, SHOWN_BOXES), np.int64),
                "states": np.zeros((0, SHOWN_BOXES), np.uint8),
                **({} if self.mask_px is None else {"masks": self._no_cells(0)}),
            }
        )

    def _no_cells(self, images: int) -> NDArray[np.uint8]:
        assert self.mask_px is not None
        return np.zeros((images, SHOWN_BOXES, self.mask_px, -(-self.mask_px // 8)), np.uint8)

    def add(
        self,
        statistics: dict[str, NDArray[Any]],
        position: int,
        found: Detections,
        outcome: ObjectMatches,
        cells: Bools | None = None,
    ) -> None:
        """Keep the detections of an image where it is sampled or among the worst.

        `outcome` is that of this image alone, and `cells` (n, M, M) are those of the masks.
        """
        boxes = np.zeros((SHOWN_BOXES, 4), np.float32)
        best = found.xyxy[:SHOWN_BOXES]
        boxes[: len(best)] = best
        shown: dict[str, NDArray[Any]] = {
            "boxes": boxes,
            "labels": outcome.labels[0, :SHOWN_BOXES],
            "states": outcome.states[0, :SHOWN_BOXES, 0, AP50.start],
        }
        if cells is not None:
            (shown["masks"],) = self._no_cells(1)
            shown["masks"][: len(best)] = np.packbits(cells[:SHOWN_BOXES], axis=-1)
        score = average_precision(outcome, "all", AP50, np.ones((1, 1)))[0]
        self.images.add(statistics, position, float(score), shown)

    def merge(self, parts: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
        """Return what is kept of the images of all shards."""
        return self.images.merge(parts)
