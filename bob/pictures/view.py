"""A record with its images and stored features, as far as they are available."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from PIL import Image

from bob.datasets.dataset import Dataset, Split
from bob.errors import BobError
from bob.features.key import FeatureKey
from bob.features.store import KEY_FILE, Features, FeatureStore
from bob.numerics.arrays import Ints
from bob.outcomes import ClassPredictions
from bob.pictures.page import PageSection, Picture, thumbnail
from bob.records.record import Record

NO_FEATURES = (
    "the features of this record are no longer stored; run the same backbone, task and dataset "
    "again to recompute them."
)

Sections = Iterator[PageSection]


@dataclass(frozen=True)
class View:
    """A record with its images and features, as far as they are available."""

    record: Record
    dataset: Dataset | None
    store: FeatureStore
    note: Callable[[str], None]
    """Receives the reason for each section that cannot be shown."""

    @property
    def scope(self) -> str:
        """Task and dataset of the record."""
        return f"{self.record.task.name} on {self.record.dataset_name}"

    def class_name(self, label: int) -> str:
        """Return the name of a class, or its index where the dataset is unavailable."""
        return self.dataset.classes[label] if self.dataset else str(label)

    def split(self, *names: str) -> Split | None:
        """Return the first split of the dataset that has one of these names."""
        splits = self.dataset.splits if self.dataset else {}
        return next((split for name, split in splits.items() if name in names), None)

    def features(self, split: Split) -> Features | None:
        """Return the stored features of a split by the record's backbone; None if there are none.

        Any stored features fit whose key has the images, their background, and the weights, output,
        precision and geometry of the record.
        """
        backbone, parent = self.record.backbone, split.origin.split if split.origin else split
        if backbone is None:
            return None
        identity = (
            *(parent.images_fingerprint, parent.alpha_used, backbone.weights_hash),
            *(backbone.output, backbone.precision, backbone.geometry),
        )
        for path in sorted(self.store.root.glob(f"*/*/{KEY_FILE}")):
            key = _key(json.loads(path.read_bytes()))
            if key is not None and _identity(key) == identity:
                features = self._read(key)
                if features is not None:
                    return features.view(split.origin.positions) if split.origin else features
        return None

    def _read(self, key: FeatureKey) -> Features | None:
        try:
            return self.store.read(key)
        except BobError:
            return None


def _key(values: dict[str, Any]) -> FeatureKey | None:
    """Return a key of features; None for that of statistics, or of another version."""
    if set(values) != {field.name for field in fields(FeatureKey)}:
        return None
    return FeatureKey(**{**values, "shape": tuple(values["shape"])})


def _identity(key: FeatureKey) -> tuple[object, ...]:
    return key.images, key.alpha, key.weights_hash, key.output, key.precision, key.geometry


def scored_positions(n: int, view: View, split: Split) -> Ints | None:
    """Return the positions (n,) in the split of the n scored examples.

    None where images were unreadable and the features that say which are no longer stored.
    """
    if n == len(split):
        return np.arange(n)
    features = view.features(split)
    if features is None or len(features.positions) != n:
        view.note(
            "no images: some images of this record were unreadable, and its features, which say "
            "which, are no longer stored."
        )
        return None
    return features.positions


def picture(split: Split, position: int, *lines: str, right: bool | None = None) -> Picture:
    """Return an image as it is embedded, with a caption."""
    position = int(position)
    return Picture(thumbnail(image_at(split, position)), split.ids[position], lines, right)


def image_at(split: Split, position: int) -> Image.Image:
    """Return an image as it is embedded, before it is cropped."""
    image = split.decode(position)
    return image if split.alter is None else split.alter(position, image)


def prediction(outcome: ClassPredictions, i: int, view: View) -> str:
    """Return the predicted class of an example, with its probability where there is one."""
    confidence = "" if outcome.confidence is None else f" ({100 * outcome.confidence[i]:.0f} %)"
    return view.class_name(int(outcome.predicted[i])) + confidence
