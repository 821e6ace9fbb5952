"""Needs of a protocol: features, statistics and texts of a dataset and a backbone, as data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.errors import NotApplicableError
from bob.extraction.accumulators import AccumulatorSpec
from bob.features.shard import Arrays
from bob.features.store import Features
from bob.specs import BackboneSpec


@dataclass(frozen=True)
class FeatureNeed:
    """The features of a set of images, as one backbone sees them."""

    backbone: BackboneSpec
    """The registry's entry, or a variant of it in output or preprocessing."""
    images: ImageSet
    optional: bool = False
    """Whether the need is dropped, rather than an error, where the backbone refuses the variant."""
    accepts_grids: bool = False
    """Whether feature maps (H, W, D) are accepted as well as rows (D,)."""
    max_bytes: int | None = None
    """Most that the features may take in the store; the task is not applicable beyond it."""

    @property
    def name(self) -> str:
        return self.images.name


@dataclass(frozen=True)
class StatisticsNeed:
    """Statistics that are accumulated over features while they are extracted."""

    backbone: BackboneSpec
    images: ImageSet
    accumulator: AccumulatorSpec
    optional: bool = False
    after: tuple["StatisticsNeed", ...] = ()
    """Statistics of earlier passes on which the accumulator depends, of the same forward pass."""

    @property
    def name(self) -> str:
        return f"{self.images.name} {self.accumulator.name}"


@dataclass(frozen=True)
class TextNeed:
    """The embeddings of texts by a backbone's text tower."""

    backbone: BackboneSpec
    name: str
    texts: tuple[str, ...] = field(repr=False)
    optional: bool = False

    def __hash__(self) -> int:
        """Hash without the texts, of which there can be 80,000; equality compares them."""
        return hash((self.backbone, self.name, len(self.texts)))


Need = FeatureNeed | StatisticsNeed | TextNeed
Needs = Sequence[Need]


@dataclass(frozen=True)
class Inputs:
    """Functions that give a protocol the data of its needs."""

    features: Callable[[FeatureNeed | TextNeed], Features]
    """Features of a need. Positions refer to its images; unreadable ones are absent."""
    statistics: Callable[[StatisticsNeed], Arrays]
    """Statistics of a need, merged over all images."""


def require_splits(dataset: Dataset, *names: str) -> None:
    """Raise NotApplicableError where the dataset lacks one of these splits."""
    if missing := [name for name in names if name not in dataset.splits]:
        raise NotApplicableError(
            f"needs {' and '.join(names)} images; dataset {dataset.name!r} has no {missing[0]} "
            "split."
        )
