"""Statistics that are summed over features while they are extracted, so that grids need no storage.

A protocol that reads the feature maps of patches (37 x 37 x 1,024 values an image) cannot store
them. It registers an accumulator instead: sums of products, class sums, histograms, a sub-sample.
The pass calls it with the features of a few images at a time, stores what it has summed over each
shard, and merges the shards when they are read. A killed pass therefore resumes at the first
missing shard, and sums of several devices or machines merge in the same way.

An accumulator may depend on statistics of earlier passes: one that counts the errors of a linear
head needs the sums from which the head is solved. Since the head is a function of these sums, the
keys of the sums identify it, and a plan can name the later statistics before any are computed.

Features that only a later pass reads (those of the points to be found in other images) are
*temporary arrays*: the engine removes them from the store once all that depends on them is stored.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Split
from bob.errors import ConfigError, nearest
from bob.features.key import FeatureKey, StatisticsKey
from bob.features.shard import Arrays

CHUNK_VALUES = 2**22
"""Features that are converted to float64 at once."""


class Accumulator(Protocol):
    """Sums statistics of some images' features."""

    def start(self, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return empty statistics for features of a shape (D,) or (H, W, D).

        Arrays of the data types in `bob.features.shard.DTYPES`.
        """

    def update(
        self,
        statistics: dict[str, NDArray[Any]],
        positions: NDArray[np.int64],
        features: NDArray[np.float32],
    ) -> None:
        """Add the features (n, *shape) of the images at `positions` (n,) to the statistics.

        The features are shared with others and must not be changed.
        """

    def merge(self, parts: Sequence[Arrays]) -> Arrays:
        """Combine the statistics of several shards, in the order of the images.

        With many shards, the result is itself a part of a later call, before further shards.
        """


@dataclass(frozen=True)
class AccumulatorSpec:
    """An accumulator as plain data: what a task needs, and part of the key of its statistics."""

    name: str
    version: int
    settings: tuple[tuple[str, Any], ...] = ()
    """Sorted pairs of JSON-ready values."""

    def facts(self) -> dict[str, Any]:
        """Return the spec as JSON-ready values."""
        return {"name": self.name, "version": self.version, "settings": dict(self.settings)}

    def key(self, features: FeatureKey, targets: str, after: tuple[str, ...] = ()) -> StatisticsKey:
        """Return the key of the statistics of some features and targets.

        `after` are the digests of the keys of the statistics on which they depend.
        """
        return StatisticsKey(features, self.facts(), targets, after)

    def create(self, split: Split, earlier: "Earlier | None" = None) -> Accumulator:
        """Make the accumulator for the images (and targets) of a split.

        `earlier` returns the statistics on which it depends; merging needs none.
        """
        return _factory(self.name)(dict(self.settings), split, earlier or _no_earlier)


Earlier = Callable[[], Sequence[Arrays]]
"""Returns the statistics of earlier passes, in the order in which a need names them."""
Factory = Callable[[Mapping[str, Any], Split, Earlier], Accumulator]
_FACTORIES: dict[str, Factory] = {}
_TEMPORARY: dict[str, tuple[str, ...]] = {}


def register_accumulator(name: str, factory: Factory, temporary: Sequence[str] = ()) -> None:
    """Make an accumulator available by name; ConfigError where the name is taken by another.

    `temporary` are the names of those of its arrays that only statistics of a later pass depend on.
    They are removed once these are stored: `merge` then gets parts without them, and so does the
    protocol in any case.
    """
    if _FACTORIES.setdefault(name, factory) is not factory:
        raise ConfigError(f"accumulator {name!r} exists already: choose another name.")
    _TEMPORARY[name] = tuple(temporary)


def temporary_arrays(name: str) -> tuple[str, ...]:
    """Return the names of the temporary arrays of an accumulator."""
    return _TEMPORARY.get(name, ())


def _no_earlier() -> Sequence[Arrays]:
    return ()


def _factory(name: str) -> Factory:
    if name not in _FACTORIES:
        raise ConfigError(f"unknown accumulator {name!r}{nearest(name, _FACTORIES)}")
    return _FACTORIES[name]


def add_arrays(parts: Sequence[Arrays]) -> Arrays:
    """Merge by addition: the usual `merge` of sums."""
    totals = {name: values.copy() for name, values in parts[0].items()}
    for part in parts[1:]:
        for name, total in totals.items():
            total += part[name]
    return totals


def extend_images(statistics: dict[str, NDArray[Any]], added: Mapping[str, NDArray[Any]]) -> None:
    """Append the rows of some images to the statistics of these names."""
    for name, values in added.items():
        statistics[name] = np.concatenate([statistics[name], values])


def join_images(parts: Sequence[Arrays], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Join arrays with a row for each image, in the order of their positions."""
    joined = {
        name: np.concatenate([part[name] for part in parts]) for name in ("positions", *names)
    }
    order = np.argsort(joined["positions"], kind="stable")
    return {name: values[order] for name, values in joined.items()}


def image_chunks(features: NDArray[np.float32], together: int = 1) -> Iterator[slice]:
    """Yield slices of the images (n, h, w, D) of a bounded number of values.

    Each has a multiple of the maps that are `together` one image.
    """
    images = CHUNK_VALUES // max(1, int(np.prod(features.shape[1:])))
    images = max(1, images // together) * together
    for start in range(0, len(features), images):
        yield slice(start, start + images)
