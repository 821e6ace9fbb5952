"""Rows of feature files as the features that tasks need, matched to a dataset's examples by id."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import xxhash
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset, Split
from bob.datasets.image_sets import ImageSet
from bob.features.shard import Effort
from bob.features.store import Features
from bob.precomputed.columns import CHUNK_ROWS, FeatureTable
from bob.protocols import FeatureNeed

NO_ROW = "has no row in the file"


@dataclass(frozen=True, eq=False)
class Examples:
    """A dataset, and the row of each of its examples in a file."""

    dataset: Dataset
    tables: Sequence[FeatureTable]
    row_of_id: Mapping[str, int]
    """Id → row, counted through all tables."""
    notes: tuple[str, ...] = ()
    """What a reader of the scores should know about the file."""
    has_images: bool = False
    """Whether rows are matched to images; otherwise the file alone defines the dataset."""

    _digests: dict[ImageSet, str] = field(default_factory=dict, init=False)
    """Digests that were computed before, because every task reads them."""

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *(len(table) for table in self.tables)])

    def indices(self, split: Split) -> NDArray[np.int64]:
        """Return the row of each example of a split (N,), -1 where there is none."""
        rows = (self.row_of_id.get(name, -1) for name in split.ids)
        return np.fromiter(rows, np.int64, len(split))

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the rows (M, D) at indices (M,), with a small part of them in memory twice."""
        rows = np.empty((len(indices), self.tables[0].x.shape[1]), np.float32)
        for start, end, table in zip(self._starts, self._starts[1:], self.tables, strict=False):
            inside = np.flatnonzero((start <= indices) & (indices < end))
            for chunk in _chunks(inside):
                rows[chunk] = table.rows(indices[chunk] - start)
        return rows

    def features(self, need: FeatureNeed) -> Features:
        """Return the features of a split; examples without a row count as unreadable."""
        split = need.images.open(self.dataset)
        indices = self.indices(split)
        present = indices >= 0
        rows = self.rows(indices[present])
        return Features([rows], np.flatnonzero(present), self.without_row(split), Effort())

    def without_row(self, split: Split) -> dict[int, str]:
        """Return position → reason for each example of a split that has no row."""
        missing = np.flatnonzero(self.indices(split) < 0)
        return {i: f"{split.ids[i]}: {NO_ROW}" for i in missing.tolist()}

    def digest(self, need: FeatureNeed) -> str:
        """Return a hex digest of a split's rows as float32, in the order of its examples.

        It covers which examples have no row.
        """
        if need.images not in self._digests:
            indices = self.indices(need.images.open(self.dataset))
            self._digests[need.images] = self._digest(indices)
        return self._digests[need.images]

    def _digest(self, indices: NDArray[np.int64]) -> str:
        missing = np.flatnonzero(indices < 0).tolist()
        digest = xxhash.xxh3_128(f"{self.tables[0].x.shape[1]} {missing}".encode())
        for chunk in _chunks(indices[indices >= 0]):
            digest.update(self.rows(chunk).data)
        return digest.hexdigest()


def _chunks(indices: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(indices), CHUNK_ROWS):
        yield indices[start : start + CHUNK_ROWS]
