"""Sheets of one record: mistakes, confusion, nearest neighbours and retrieval misses."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image

from bob.datasets.dataset import Dataset, Split
from bob.errors import BobError
from bob.features.key import FeatureKey
from bob.features.store import KEY_FILE, Features, FeatureStore
from bob.numerics.arrays import Ints
from bob.outcomes import ClassPredictions
from bob.outcomes.retrieval import RetrievalResults
from bob.pictures.pick import confident_mistakes, confusion, misses, most_confused, nearest
from bob.pictures.sheet import Tile, confusion_sheet, sheet
from bob.records.record import Record

MISTAKES = 24
"""Images on the sheet of mistakes."""
COLUMNS = 6
"""Images per row of the sheet of mistakes."""
QUERIES = 8
"""Rows on the sheets of neighbours and of misses."""
NEIGHBOURS = 5
CLASSES = 30
"""Most classes of a confusion matrix; of more classes, the most often confused are shown."""

_NO_FEATURES = (
    "the features of this record are no longer stored; run the same backbone, task and dataset "
    "again to recompute them."
)

Sheets = Iterator[tuple[str, Image.Image]]
"""Names and images of sheets."""


@dataclass(frozen=True)
class View:
    """A record with its images and features, as far as they are available."""

    record: Record
    dataset: Dataset | None
    store: FeatureStore
    note: Callable[[str], None]
    """Receives the reason for each sheet that cannot be drawn."""

    @property
    def title(self) -> str:
        """Task, dataset and backbone of the record."""
        return f"{self.record.task.name} on {self.record.dataset_name}, {self.record.backbone_name}"

    def class_name(self, label: int) -> str:
        """Return the name of a class, or its index where the dataset is unavailable."""
        return self.dataset.classes[label] if self.dataset else str(label)

    def split(self, *names: str) -> tuple[str, Split] | None:
        """Return the first split of the dataset that has one of these names, and its name."""
        for name, split in (self.dataset.splits if self.dataset else {}).items():
            if name in names:
                return name, split
        return None

    def features(self, split: Split) -> Features | None:
        """Return the stored features of a split by the record's backbone; None if there are none.

        Any stored features fit whose key has the images, weights, output, precision and geometry
        of the record.
        """
        backbone, parent = self.record.backbone, split.origin.split if split.origin else split
        if backbone is None:
            return None
        for path in sorted(self.store.root.glob(f"*/*/{KEY_FILE}")):
            key = _key(path)
            if key is None or key.images != parent.images_fingerprint:
                continue
            same_backbone = (key.weights_hash, key.output, key.precision, key.geometry) == (
                backbone.weights_hash,
                backbone.output,
                backbone.precision,
                backbone.geometry,
            )
            if same_backbone and (features := self._read(key)) is not None:
                return features.view(split.origin.positions) if split.origin else features
        return None

    def _read(self, key: FeatureKey) -> Features | None:
        try:
            return self.store.read(key)
        except BobError:
            return None


def _key(path: Path) -> FeatureKey | None:
    values = json.loads(path.read_bytes())
    if set(values) != {field.name for field in fields(FeatureKey)}:
        return None
    return FeatureKey(**{**values, "shape": tuple(values["shape"])})


def _scored_positions(n: int, view: View, split: Split) -> Ints | None:
    """Return the positions (n,) in the split of the n scored examples.

    None where images were unreadable and the features that say which are no longer stored.
    """
    if n == len(split):
        return np.arange(n)
    features = view.features(split)
    if features is None or len(features.positions) != n:
        view.note(
            "no sheets of images: some images of this record were unreadable, and its features, "
            "which say which, are no longer stored."
        )
        return None
    return features.positions


# ---- classification


def classifier_sheets(outcome: ClassPredictions, view: View) -> Sheets:
    """Yield the confusion matrix, the most confident mistakes, and their nearest train images."""
    counts = confusion(outcome)
    shown = most_confused(counts, CLASSES)
    yield (
        "confusion",
        confusion_sheet(
            f"{view.title}: rows are true classes, columns are predicted classes",
            counts[np.ix_(shown, shown)],
            [view.class_name(c) for c in shown],
        ),
    )
    name_and_split = view.split("test")
    if name_and_split is None:
        return
    _, test = name_and_split
    positions = _scored_positions(len(outcome), view, test)
    wrong = confident_mistakes(outcome, MISTAKES)
    if not len(wrong):
        view.note("no sheet of mistakes: every prediction is correct.")
    if positions is None or not len(wrong):
        return
    tiles = [Tile(_image(test, positions[i]), _mistake(outcome, view, i), False) for i in wrong]
    rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    yield "mistakes", sheet(f"{view.title}: the most confident mistakes", rows)
    yield from _neighbours(positions[wrong[:QUERIES]], test, view)


def _mistake(outcome: ClassPredictions, view: View, i: int) -> tuple[str, str]:
    """Return the caption of a wrong prediction."""
    confidence = "" if outcome.confidence is None else f" ({100 * outcome.confidence[i]:.0f} %)"
    return (
        f"is {view.class_name(int(outcome.y[i]))}",
        f"predicted {view.class_name(int(outcome.predicted[i]))}{confidence}",
    )


def _neighbours(positions: Ints, test: Split, view: View) -> Sheets:
    """Yield the train images with the highest cosine to the test images at these positions."""
    name_and_split = view.split("train")
    queries = view.features(test)
    gallery = view.features(name_and_split[1]) if name_and_split else None
    if queries is None or gallery is None or name_and_split is None:
        view.note(f"no sheet of neighbours: {_NO_FEATURES}")
        return
    _, train = name_and_split
    row_of = {int(position): row for row, position in enumerate(queries.positions)}
    rows = [row_of[int(position)] for position in positions]
    index, similarity = nearest(queries.rows[rows], gallery.rows, NEIGHBOURS)
    lines = []
    for position, items, cosines in zip(positions.tolist(), index, similarity, strict=True):
        label = int(test.y[position])
        caption = f"is {view.class_name(label)}", test.ids[position]
        lines.append(
            [
                Tile(_image(test, position), caption),
                *(
                    _train_tile(train, int(gallery.positions[item]), cosine, label, view)
                    for item, cosine in zip(items, cosines, strict=True)
                ),
            ]
        )
    yield "neighbours", sheet(f"{view.title}: mistakes and their nearest train images", lines)


def _train_tile(train: Split, position: int, cosine: float, query_label: int, view: View) -> Tile:
    label = int(train.y[position])
    caption = view.class_name(label), f"cosine {cosine:.3f}"
    return Tile(_image(train, position), caption, label == query_label)


# ---- retrieval


def retrieval_sheets(outcome: RetrievalResults, view: View) -> Sheets:
    """Yield the queries with the lowest average precision, and what ranks first for them."""
    query_side = view.split("query") or view.split("test")
    gallery_side = view.split("gallery") or view.split(
        str(view.record.task.settings.get("gallery", "test"))
    )
    if query_side is None or gallery_side is None:
        return
    (query_name, query_split), (gallery_name, gallery_split) = query_side, gallery_side
    queries, gallery = view.features(query_split), view.features(gallery_split)
    worst = misses(outcome, QUERIES)
    if queries is None or gallery is None:
        view.note(f"no sheet of misses: {_NO_FEATURES}")
        return
    if not len(worst):
        view.note("no sheet of misses: for every query, all positives rank first.")
        return
    rows = outcome.query[worst]
    index, similarity = nearest(
        queries.rows[rows], gallery.rows, NEIGHBOURS, rows if query_name == gallery_name else None
    )
    lines = []
    for row, items, cosines, i in zip(rows, index, similarity, worst, strict=True):
        position = int(queries.positions[row])
        summary = f"AP {outcome.ap[i]:.2f}, first hit at {1 / outcome.reciprocal_rank[i]:.3g}"
        lines.append(
            [
                Tile(_image(query_split, position), (query_split.ids[position], summary)),
                *(
                    _retrieved_tile(gallery_split, int(gallery.positions[item]), s, position, view)
                    for item, s in zip(items, cosines, strict=True)
                ),
            ]
        )
    yield (
        "misses",
        sheet(f"{view.title}: queries with the lowest AP, and what ranks first", lines),
    )


def _retrieved_tile(
    gallery: Split, position: int, cosine: float, query_position: int, view: View
) -> Tile:
    """Return a gallery image, with a frame for right or wrong where there are judgements."""
    judgements = view.dataset.judgements if view.dataset else None
    right = None
    if judgements is not None:
        positives = [
            lists[query_position] for level, lists in judgements.items() if level != "junk"
        ]
        right = any(position in level for level in positives)
    return Tile(_image(gallery, position), (gallery.ids[position], f"cosine {cosine:.3f}"), right)


def _image(split: Split, position: int) -> Image.Image:
    """Return an image as it is embedded."""
    image = split.decode(int(position))
    return image if split.alter is None else split.alter(int(position), image)
