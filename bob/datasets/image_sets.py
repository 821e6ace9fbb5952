"""Sets of images named as plain data: a plan refers to them without opening a dataset."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bob.datasets.corruptions import corrupted_split
from bob.datasets.dataset import Dataset, Split
from bob.datasets.splits import automatic_test, stratified_order, stratified_subset
from bob.datasets.windows import Windows, windowed_split, windows_per_image
from bob.errors import DatasetError, nearest


@dataclass(frozen=True)
class Corruption:
    """One common corruption of a sample of a split, at several severities."""

    name: str
    severities: tuple[int, ...]
    side_px: int
    """Length to which the shorter side is resized before it is corrupted."""
    images: int | None = None
    """Size of the stratified sample; None is the whole split."""


@dataclass(frozen=True)
class OrderedBlock:
    """Consecutive images of a split in a seeded order, for a race."""

    order: Literal["random", "stratified", "listed"]
    """Uniformly random, on which a claim about a test set rests; `stratified_order`; or that of the
    split, which uses no seed."""
    seed: int
    start: int
    stop: int

    def positions(self, split: Split) -> NDArray[np.int64]:
        """Return the positions in the split of the block's images, in their order."""
        if self.order == "random":
            positions = np.random.default_rng(self.seed).permutation(len(split))
        elif self.order == "stratified":
            positions = stratified_order(split.y, split.content, self.seed)
        else:
            positions = np.arange(len(split))
        return positions[self.start : self.stop]


@dataclass(frozen=True)
class HoldOut:
    """The images of a split that are held out to choose a setting on, or those that are not."""

    share: float
    seed: int
    held_out: bool

    def positions(self, split: Split) -> NDArray[np.int64]:
        """Return the positions (n,) of the images, by their content; groups stay together."""
        y = np.zeros(len(split), np.int64)
        chosen = automatic_test(y, split.content, split.groups, self.share, self.seed)
        return np.flatnonzero(chosen == self.held_out)


@dataclass(frozen=True)
class ImageSet:
    """A split or a shift of a dataset, as it is, in part, or corrupted."""

    split: str
    """train, val, test, query, gallery, or the name of a shift."""
    corruption: Corruption | None = None
    block: OrderedBlock | None = None
    part: HoldOut | None = None
    """A part whose images are embedded without the others; None is all images."""
    windows: Windows | None = None
    """Windows of each image to take as images; None takes whole images."""

    @property
    def name(self) -> str:
        """The name of the set as a person reads it: `train`, `poly`, `gaussian_noise`."""
        if self.windows is not None:
            n = self.windows
            parts = f"{n} x {n} windows" if isinstance(n, int) else "centred squares"
            return f"{self.whole.name} in {parts}"
        if self.block is not None:
            block = self.block
            return f"{self.split} {block.start}-{block.stop} ({block.order} order)"
        if self.part is not None:
            return f"{self.split} ({'held out' if self.part.held_out else 'fitted'})"
        return self.split if self.corruption is None else self.corruption.name

    @property
    def whole(self) -> "ImageSet":
        """The set without windows."""
        return self if self.windows is None else replace(self, windows=None)

    def by_image(self, reasons: Mapping[int, str]) -> dict[int, str]:
        """Return reasons by the position of their image in the set without windows."""
        rows = windows_per_image(self.windows)
        return {position // rows: reason for position, reason in reasons.items()}

    def open(self, dataset: Dataset) -> Split:
        """Return the images; those of a corruption are S x N, severity by severity.

        Windows are image by image. DatasetError where no image of a part can be held out.
        """
        if self.windows is not None:
            return windowed_split(self.whole.open(dataset), self.windows)
        split = self._clean(dataset)
        if self.block is not None:
            return split.take(self.block.positions(split))
        if self.part is not None:
            return split.take(self.part.positions(split))
        if self.corruption is None:
            return split
        chosen = split.take(sample_positions(split, self.corruption.images))
        return corrupted_split(
            chosen, self.corruption.name, self.corruption.severities, self.corruption.side_px
        )

    def _clean(self, dataset: Dataset) -> Split:
        for name, split in dataset.splits.items():
            if name == self.split:
                return split
        if self.split in dataset.shifts:
            return dataset.shifts[self.split].split
        names = [*dataset.splits, *dataset.shifts]
        raise DatasetError(
            f"dataset {dataset.name!r} has no split or shift {self.split!r}"
            f"{nearest(self.split, names)} It has: {', '.join(names)}."
        )

    def plain(self) -> dict[str, Any]:
        """Return the set as JSON-ready values."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "ImageSet":
        """Return the set that `plain` wrote."""
        corruption = values.get("corruption")
        if corruption is not None:
            severities = tuple(corruption["severities"])
            corruption = Corruption(**{**corruption, "severities": severities})
        block, part = values.get("block"), values.get("part")
        return cls(
            values["split"],
            corruption,
            None if block is None else OrderedBlock(**block),
            None if part is None else HoldOut(**part),
            values.get("windows"),
        )


def sample_positions(split: Split, images: int | None) -> NDArray[np.int64]:
    """Return the positions (n,) of a stratified sample of a split, or of all its images."""
    if images is None:
        return np.arange(len(split))
    return stratified_subset(split.y, split.content, images)
