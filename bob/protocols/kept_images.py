"""Arrays of few test images, for pages that show them: a sample, and the images with worst scores.

Predictions of all images would take gigabytes. A pass keeps those of a sample, which is the same
for all backbones, and those of the images on which the head is worst; shards keep their own, of
which the merged statistics keep the worst of all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Split
from bob.extraction.accumulators import extend_images
from bob.features.shard import Arrays
from bob.numerics.arrays import Ints

SAMPLED = 32
WORST = 32
PREFIX = "kept_"


@dataclass(frozen=True, eq=False)
class KeptImages:
    """Chooses images, and adds arrays of them to statistics under names with a prefix.

    Beside arrays of an accumulator's own are the `position` of each of K images, its `score` and
    whether it is `sampled`.
    """

    sampled: Ints
    """Positions of the sample."""

    @classmethod
    def of(cls, split: Split) -> "KeptImages":
        """Return the choice for a split; the sample has the lowest digests."""
        order = sorted(range(len(split)), key=lambda i: (split.content[i], i))
        return cls(np.array(order[:SAMPLED], np.int64))

    def start(self, empty: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return statistics of no image; `empty` arrays (0, ...) have the shapes of its arrays."""
        own = {
            "position": np.zeros(0, np.int64),
            "score": np.zeros(0),
            "sampled": np.zeros(0, bool),
        }
        return {PREFIX + name: values for name, values in {**own, **empty}.items()}

    def add(
        self,
        statistics: dict[str, NDArray[Any]],
        position: int,
        score: float,
        arrays: Mapping[str, NDArray[Any]],
    ) -> None:
        """Keep an image where it is sampled or among the worst; higher scores are better.

        An image whose score is NaN is not among the worst.
        """
        facts = {"position": position, "score": score, "sampled": position in self.sampled}
        values = {name: np.asarray(value) for name, value in {**facts, **arrays}.items()}
        extend_images(statistics, {PREFIX + name: value[None] for name, value in values.items()})
        statistics |= _chosen(kept_of(statistics))

    def merge(self, parts: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
        """Return what is kept of the images of all shards, in their order."""
        names = [name for name in parts[0] if name.startswith(PREFIX)]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in names}
        return _chosen(kept_of(joined))


def kept_images(split: Split, windows: int) -> KeptImages:
    """Return the choice for the images of a split, or for those of which it has n x n windows."""
    return KeptImages.of(split.take(np.arange(0, len(split), windows**2)) if windows > 1 else split)


def kept_of(statistics: Arrays) -> dict[str, NDArray[Any]]:
    """Return the kept arrays among statistics, by their names without the prefix."""
    return {
        name.removeprefix(PREFIX): values
        for name, values in statistics.items()
        if name.startswith(PREFIX)
    }


def _chosen(kept: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the sampled and the worst images, ordered by position."""
    positions, scores = kept["position"], kept["score"]
    worst = np.lexsort((positions, scores))[:WORST]  # NaN comes last
    chosen = kept["sampled"].copy()
    chosen[worst[~np.isnan(scores[worst])]] = True
    order = np.argsort(positions, kind="stable")
    order = order[chosen[order]]
    return {PREFIX + name: values[order] for name, values in kept.items()}
