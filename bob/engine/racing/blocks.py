"""Features of the first images of a race's order: embedded in blocks, or rows of full splits."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Split, SplitName
from bob.datasets.image_sets import ImageSet, OrderedBlock
from bob.engine.racing.schedule import RaceStep
from bob.extraction.blocks import BLOCK_IMAGES
from bob.features.key import FeatureKey
from bob.features.shard import Effort
from bob.features.store import Features, FeatureStore
from bob.numerics.arrays import Ints
from bob.numerics.memo import Memo
from bob.plan import Forward, Pass, Workspace
from bob.specs import BackboneSpec

KEPT_SPLITS = 3
"""Full splits whose features stay in memory: train, val and test of one backbone."""


@dataclass(eq=False)
class RaceBlocks:
    """The blocks of one dataset in a race, and their features.

    A block that is stored is read, so that a race that was killed resumes with the same rows. Else
    its rows are those of the full split where this is stored; else it is embedded.
    """

    dataset: str
    workspace: Workspace
    steps: Sequence[RaceStep]
    seed: int
    full: Memo[Features] = field(default_factory=lambda: Memo(KEPT_SPLITS))
    """Features of full splits, by the digest of their key."""

    def __post_init__(self) -> None:
        self.store: FeatureStore = self.workspace.places.features()
        self._splits: dict[tuple[str, int], Split] = {}
        self._orders: dict[tuple[str, str], Ints] = {}

    def passes(
        self, counts: Mapping[str, int], specs: Mapping[str, BackboneSpec]
    ) -> Iterator[Pass]:
        """Yield the passes that are missing for the first images of each split.

        counts: split → number of images; specs: backbones by their name in a plan.
        """
        for split, count in counts.items():
            for images in self._sets(split, count):
                lacking = {n: spec for n, spec in specs.items() if self._is_lacking(spec, images)}
                yield from self.passes_over(images, lacking)

    def passes_over(self, images: ImageSet, specs: Mapping[str, BackboneSpec]) -> Iterator[Pass]:
        """Yield the pass over a block for the backbones that lack it, if there are any."""
        lacking = {n: s for n, s in specs.items() if self.store.missing(self._key(s, images))}
        if lacking:
            yield self._pass(images, lacking)

    def images(self, counts: Mapping[str, int], spec: BackboneSpec) -> int:
        """Return how many of the first images of each split the race embeds with a backbone.

        Those that it has embedded already count, and those of full splits stored before do not.
        """
        return sum(
            _size(images)
            for split, count in counts.items()
            for images in self._sets(split, count)
            if self._is_stored(self._key(spec, images)) or self._is_lacking(spec, images)
        )

    def features(self, spec: BackboneSpec, split: str, count: int) -> Features:
        """Return the features of the first `count` images of a split.

        Positions count in the race's order. StoreError where features are missing, as those of a
        backbone that failed are.
        """
        parts: list[NDArray[np.float32]] = []
        positions, bad, effort, start = [], dict[int, str](), Effort(), 0
        for images in self._sets(split, count):
            features = self.read(spec, images)
            parts += features.parts
            positions.append(start + features.positions)
            bad |= {start + at: reason for at, reason in features.bad.items()}
            effort += features.effort
            start += _size(images)
        of_blocks = Features(parts, np.concatenate(positions), bad, effort)
        return of_blocks if start == count else of_blocks.view(np.arange(count))

    def split(self, name: str, count: int) -> Split:
        """Return the first `count` images of a split in the race's order."""
        if (name, count) not in self._splits:
            positions = self._positions(self._block(name, 0, count))
            self._splits[name, count] = self._full_split(name).take(positions)
        return self._splits[name, count]

    def _sets(self, split: str, count: int) -> Iterator[ImageSet]:
        """Yield the blocks that hold the first `count` images of a split."""
        cuts = sorted({0, *(step.counts[split] for step in self.steps), self._size_of(split)})
        for start, stop in pairwise(cuts):
            if start < count:
                yield self._block(split, start, stop)

    def sample(self, split: str) -> ImageSet:
        """Return the first images of a split in its own order, which a run embeds together."""
        return ImageSet(split, block=OrderedBlock("listed", 0, 0, self.sample_size(split)))

    def sample_size(self, split: str) -> int:
        """Return the number of images of the sample of a split."""
        return min(BLOCK_IMAGES, self._size_of(split))

    def order(self, split: str, count: int) -> Ints:
        """Return the positions (count,) in a split of its first images in the race's order."""
        return self._positions(self._block(split, 0, count))

    def full_key(self, spec: BackboneSpec, split: str) -> FeatureKey:
        """Return the key of the features of a full split."""
        return self._key(spec, ImageSet(split))

    def is_full(self, spec: BackboneSpec, split: str) -> bool:
        """Whether the features of a full split are stored."""
        return self._is_stored(self.full_key(spec, split))

    def forget(self, spec: BackboneSpec, split: str) -> None:
        """Remove the blocks of a split, which are rows of the full split as well."""
        for images in (*self._sets(split, self._size_of(split)), self.sample(split)):
            self.store.forget(self._key(spec, images))

    def _full_split(self, name: str) -> Split:
        return self.workspace.dataset(self.dataset).splits[cast(SplitName, name)]

    def _size_of(self, split: str) -> int:
        return len(self._full_split(split))

    def _block(self, split: str, start: int, stop: int) -> ImageSet:
        order: Literal["random", "stratified"] = "random" if split == "test" else "stratified"
        return ImageSet(split, block=OrderedBlock(order, self.seed, start, stop))

    def _key(self, spec: BackboneSpec, images: ImageSet) -> FeatureKey:
        return self.workspace.feature_key(self.dataset, spec, images)

    def _is_stored(self, key: FeatureKey) -> bool:
        return self.store.stored_images(key) == key.count

    def _is_lacking(self, spec: BackboneSpec, images: ImageSet) -> bool:
        """Whether a block has to be embedded: it is absent or damaged, and so is the full split."""
        is_missing = bool(self.store.missing(self._key(spec, images)))
        return is_missing and not self.is_full(spec, images.split)

    def read(self, spec: BackboneSpec, images: ImageSet) -> Features:
        """Return the features of a block. StoreError where they are missing."""
        key, full = self._key(spec, images), self._key(spec, ImageSet(images.split))
        if self._is_stored(key) or not self._is_stored(full):
            return self.store.read(key)
        features = self.full.result((full.digest(),), lambda: self.store.read(full))
        return features.view(self._positions(images))

    def _positions(self, images: ImageSet) -> Ints:
        """Return the positions of a block's images in their split, whose order is made once."""
        block = images.block
        assert block is not None
        if (images.split, block.order) not in self._orders:
            split = self._full_split(images.split)
            everything = dataclasses.replace(block, start=0, stop=len(split))
            self._orders[images.split, block.order] = everything.positions(split)
        return self._orders[images.split, block.order][block.start : block.stop]

    def _pass(self, images: ImageSet, specs: Mapping[str, BackboneSpec]) -> Pass:
        name, split = self.workspace.full_split(self.dataset, images)
        forwards = [
            Forward(backbone=name, outputs={str(spec.output): self._key(spec, images).digest()})
            for name, spec in specs.items()
        ]
        return Pass(
            dataset=self.dataset,
            images=images.plain(),
            split=name,
            fingerprint=split.images_fingerprint,
            count=len(split),
            forwards=tuple(forwards),
        )


def _size(images: ImageSet) -> int:
    assert images.block is not None
    return images.block.stop - images.block.start
