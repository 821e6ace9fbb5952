"""A record down to its images: sheets of mistakes, confusion, nearest neighbours and retrieval misses."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bob.datasets.content.images import decode
from bob.datasets.dataset import Dataset, Split
from bob.errors import BobError
from bob.features.key import FeatureKey
from bob.features.store import Features, FeatureStore
from bob.outcomes import ClassPredictions
from bob.outcomes.retrieval import RetrievalResults
from bob.pictures.pick import confident_mistakes, confusion, misses, most_confused, nearest
from bob.pictures.sheet import Tile, confusion_sheet, sheet
from bob.records.record import Record

MISTAKES = 24
"""Pictures on the sheet of mistakes."""
ACROSS = 6
QUERIES = 8
"""Rows on the sheets of neighbours and misses."""
NEIGHBOURS = 5
CLASSES = 30
"""Rows of a confusion matrix at most; of more classes, those most often confused."""

Sheets = Iterator[tuple[str, Image.Image]]
"""Names and images. What cannot be drawn is told on standard error."""


@dataclass(frozen=True)
class View:
    """A record with its images and features, as far as they are at hand."""

    record: Record
    dataset: Dataset | None
    store: FeatureStore

    @property
    def title(self) -> str:
        return f"{self.record.task.name} on {self.record.dataset_name}, {self.record.backbone_name}"

    def name_of(self, label: int) -> str:
        return self.dataset.classes[label] if self.dataset else str(label)

    def split(self, *names: str) -> tuple[str, Split] | None:
        """The first of these splits that the dataset has."""
        return next(
            (
                (name, split)
                for name, split in (self.dataset.splits if self.dataset else {}).items()
                if name in names
            ),
            None,
        )

    def features(self, split: Split) -> Features | None:
        """The stored rows that the record's backbone has for a split, found by what their keys say; None where they are no longer stored."""
        facts, whole = self.record.backbone, split.origin.split if split.origin else split
        for path in sorted(self.store.root.glob("*/*/key.json")) if facts else []:
            key = _key(path)
            if key is None or facts is None or key.images != whole.images_fingerprint:
                continue
            known = (key.weights_hash, key.output, key.precision, key.geometry) == (
                facts.weights_hash,
                facts.output,
                facts.precision,
                facts.geometry,
            )
            if known and (found := self._read(key)) is not None:
                return found.view(split.origin.positions) if split.origin else found
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


def _note(text: str) -> None:
    sys.stderr.write(f"note: {text}\n")


def _positions(n: int, view: View, split: Split) -> NDArray[np.int64] | None:
    """Where each of n scored examples is in its split; None where images were left out and the features that say which are gone."""
    if n == len(split):
        return np.arange(n)
    found = view.features(split)
    if found is None or len(found.positions) != n:
        _note(
            "images were left out of this record, and its features, which say which, are not stored any more."
        )
        return None
    return found.positions


# ---- classification


def of_classifier(outcome: ClassPredictions, view: View) -> Sheets:
    """Confusion, the most confident mistakes, and the train images most alike to these."""
    counts = confusion(outcome)
    shown = most_confused(counts, CLASSES)
    yield (
        "confusion",
        confusion_sheet(
            f"{view.title}: rows are true classes, columns what they were taken for",
            counts[np.ix_(shown, shown)],
            [view.name_of(c) for c in shown],
        ),
    )
    found = view.split("test")
    if found is None:
        return
    _, test = found
    positions = _positions(len(outcome), view, test)
    wrong = confident_mistakes(outcome, MISTAKES)
    if not len(wrong):
        _note("no mistakes to show.")
    if positions is None or not len(wrong):
        return
    tiles = [Tile(_image(test, positions[i]), _mistake(outcome, view, i), False) for i in wrong]
    rows = [tiles[start : start + ACROSS] for start in range(0, len(tiles), ACROSS)]
    yield "mistakes", sheet(f"{view.title}: the most confident mistakes", rows)
    yield from _neighbours(wrong[:QUERIES], positions, test, view)


def _mistake(outcome: ClassPredictions, view: View, i: int) -> tuple[str, ...]:
    sure = "" if outcome.confidence is None else f" ({100 * outcome.confidence[i]:.0f} %)"
    return (
        f"is {view.name_of(int(outcome.y[i]))}",
        f"taken for {view.name_of(int(outcome.predicted[i]))}{sure}",
    )


def _neighbours(
    wrong: NDArray[np.int64], positions: NDArray[np.int64], test: Split, view: View
) -> Sheets:
    """The train images most alike to mistakes, by cosine similarity of the stored features."""
    found = view.split("train")
    rows, asked = view.features(test), view.features(found[1]) if found else None
    if rows is None or asked is None or found is None:
        _note(
            "no neighbours: the features of this record are not stored any more; the run that made it computes them again."
        )
        return
    train = found[1]
    row_of = {int(position): row for row, position in enumerate(rows.positions)}
    own = [int(positions[i]) for i in wrong]
    index, similarity = nearest(rows.rows[[row_of[p] for p in own]], asked.rows, NEIGHBOURS)
    lines = [
        [Tile(_image(test, p), (f"is {view.name_of(int(test.y[p]))}", test.ids[p]))]
        + [
            _neighbour(train, int(asked.positions[j]), s, int(test.y[p]), view)
            for j, s in zip(near, alike, strict=True)
        ]
        for p, near, alike in zip(own, index, similarity, strict=True)
    ]
    yield "neighbours", sheet(f"{view.title}: mistakes, and the train images most alike", lines)


def _neighbour(train: Split, position: int, similarity: float, y: int, view: View) -> Tile:
    label = int(train.y[position])
    return Tile(
        _image(train, position), (view.name_of(label), f"cosine {similarity:.3f}"), label == y
    )


# ---- retrieval


def of_retrieval(outcome: RetrievalResults, view: View) -> Sheets:
    """Queries that find least, and what comes first for them by cosine similarity of the stored features."""
    asking = view.split("query") or view.split("test")
    asked = view.split("gallery") or view.split(
        str(view.record.task.settings.get("gallery", "test"))
    )
    if asking is None or asked is None:
        return
    rows, others = view.features(asking[1]), view.features(asked[1])
    worst = misses(outcome, QUERIES)
    if rows is None or others is None:
        _note(
            "no sheet of misses: the features of this record are not stored any more; the run that made it computes them again."
        )
        return
    if not len(worst):
        _note("no sheet of misses: every query finds all that it should first.")
        return
    queries = outcome.query[worst]
    same = asking[0] == asked[0]
    index, similarity = nearest(
        rows.rows[queries], others.rows, NEIGHBOURS, queries if same else None
    )
    lines = []
    for q, near, alike, i in zip(queries, index, similarity, worst, strict=True):
        p = int(rows.positions[q])
        about = f"AP {outcome.ap[i]:.2f}, first hit at {outcome.first[i] + 1}"
        first = Tile(_image(asking[1], p), (asking[1].ids[p], about))
        lines.append(
            [
                first,
                *(
                    _answer(asked[1], int(others.positions[j]), s, p, view)
                    for j, s in zip(near, alike, strict=True)
                ),
            ]
        )
    yield "misses", sheet(f"{view.title}: queries that find least, and what comes first", lines)


def _answer(gallery: Split, position: int, similarity: float, query: int, view: View) -> Tile:
    """Blue where judgements say that it answers the query; grey where there are none."""
    judged = view.dataset.judgements if view.dataset else None
    right = (
        None
        if judged is None
        else any(position in lists[query] for level, lists in judged.items() if level != "junk")
    )
    return Tile(
        _image(gallery, position), (gallery.ids[position], f"cosine {similarity:.3f}"), right
    )


def _image(split: Split, position: int) -> Image.Image:
    image = decode(split.read(int(position)), split.ids[int(position)])
    return image if split.alter is None else split.alter(int(position), image)
