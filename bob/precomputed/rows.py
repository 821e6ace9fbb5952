"""Rows of files as the features that tasks ask for: found by the ids of a dataset's examples."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import xxhash
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset, Split
from bob.errors import NotApplicableError
from bob.features.store import Effort, Features
from bob.precomputed.columns import ROWS, Block
from bob.specs import BackboneSpec
from bob.wiring import Need, TextNeed

NO_ROW = "has no row in the file"


@dataclass(frozen=True, eq=False)
class Examples:
    """A dataset, and where each of its examples is in a file."""

    dataset: Dataset
    blocks: Sequence[Block]
    places: Mapping[str, int]
    """Id → row, counted through all blocks."""
    notes: tuple[str, ...] = ()
    """What a reader of the scores should know of the file."""
    known: bool = False
    """Whether the dataset is one of images that are known here, and no name for what the file holds."""

    _digests: dict[Split, str] = field(default_factory=dict, init=False)
    """Remembered, since every task asks for them."""

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *(len(block) for block in self.blocks)])

    def at(self, split: Split) -> NDArray[np.int64]:
        """(N,) the row of each example of a split, -1 where there is none."""
        return np.fromiter((self.places.get(name, -1) for name in split.ids), np.int64, len(split))

    def rows(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        """(M, D) the rows at (M,) places."""
        found = np.empty((len(at), self.blocks[0].x.shape[1]), np.float32)
        for start, end, block in zip(self._starts, self._starts[1:], self.blocks, strict=False):
            inside = (start <= at) & (at < end)
            if inside.any():
                found[inside] = block.rows(at[inside] - start)
        return found

    def features(self, need: Need | TextNeed, backbone: BackboneSpec) -> Features:
        """The rows of a split; NotApplicableError for what needs the images themselves."""
        split = require_plain(need, backbone).split
        at = self.at(split)
        return Features(
            self.rows(at[at >= 0]), np.flatnonzero(at >= 0), self.without_row(split), Effort()
        )

    def without_row(self, split: Split) -> dict[int, str]:
        """Position → that the example has no row."""
        return {i: f"{split.ids[i]}: {NO_ROW}" for i in np.flatnonzero(self.at(split) < 0).tolist()}

    def digest(self, need: Need | TextNeed, backbone: BackboneSpec) -> str:
        """Hex digest of a split's rows as float32, in the order of its examples, those without a row among them."""
        split = require_plain(need, backbone).split
        if split not in self._digests:
            self._digests[split] = self._digest(self.at(split))
        return self._digests[split]

    def _digest(self, at: NDArray[np.int64]) -> str:
        found = xxhash.xxh3_128(
            f"{self.blocks[0].x.shape[1]} {np.flatnonzero(at < 0).tolist()}".encode()
        )
        for chunk in _chunks(at[at >= 0]):
            found.update(self.rows(chunk).data)
        return found.hexdigest()


def require_plain(need: Need | TextNeed, backbone: BackboneSpec) -> Need:
    """A need of images as they are, seen by the backbone as it is; features cannot give any other."""
    if not isinstance(need, Need) or need.backbone != backbone or need.split.alter is not None:
        raise NotApplicableError(
            f"{need.name} needs images; features are all there is.", of="backbone"
        )
    return need


def _chunks(at: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(at), ROWS):
        yield at[start : start + ROWS]
