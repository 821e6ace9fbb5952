"""Detections of few test images, for pages that show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Split
from bob.features.shard import Arrays
from bob.metrics.boxes import average_precision
from bob.numerics.dense.detections import Detections
from bob.outcomes import BoxMatches
from bob.protocols.kept_images import KeptImages

SHOWN_BOXES = 32
"""Detections that are kept of an image, by descending scores."""
AP50 = slice(0, 1)
"""The threshold by which the kept detections are right or wrong, and images are scored."""


@dataclass(frozen=True, eq=False)
class KeptDetections:
    """Keeps the detections of some test images: `boxes` (K, 32, 4) in pixels, `labels` (K, 32), -1
    where an image has fewer, and their `states` (K, 32) at an overlap of 0.5."""

    images: KeptImages

    @classmethod
    def of(cls, split: Split) -> "KeptDetections":
        """Return the choice for a split."""
        return cls(KeptImages.of(split))

    def start(self) -> dict[str, NDArray[Any]]:
        """Return statistics of no image."""
        return self.images.start(
            {
                "boxes": np.zeros((0, SHOWN_BOXES, 4), np.float32),
                "labels": np.zeros((0, SHOWN_BOXES), np.int64),
                "states": np.zeros((0, SHOWN_BOXES), np.uint8),
            }
        )

    def add(
        self,
        statistics: dict[str, NDArray[Any]],
        position: int,
        found: Detections,
        outcome: BoxMatches,
    ) -> None:
        """Keep the detections of an image where it is sampled or among the worst.

        `outcome` is that of this image alone.
        """
        boxes = np.zeros((SHOWN_BOXES, 4), np.float32)
        best = found.xyxy[:SHOWN_BOXES]
        boxes[: len(best)] = best
        shown: dict[str, NDArray[Any]] = {
            "boxes": boxes,
            "labels": outcome.labels[0, :SHOWN_BOXES],
            "states": outcome.states[0, :SHOWN_BOXES, 0, AP50.start],
        }
        score = average_precision(outcome, "all", AP50, np.ones((1, 1)))[0]
        self.images.add(statistics, position, float(score), shown)

    def merge(self, parts: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
        """Return what is kept of the images of all shards."""
        return self.images.merge(parts)
