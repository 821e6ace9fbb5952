"""Corruptions: clean train and test images, and the test images under every corruption."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bob.datasets.corruptions import CORRUPTION_FAMILIES, corrupted_split, missing_library
from bob.datasets.dataset import Dataset, Split
from bob.datasets.splits import stratified_subset
from bob.errors import NotApplicableError
from bob.features.store import Features
from bob.protocols.corruptions import corruptions
from bob.protocols.protocol import Result
from bob.specs import BackboneSpec, TaskSpec
from bob.specs.settings import CorruptionsSettings
from bob.wiring.classification import by_split, classification_needs, draws, held_out_by, problem
from bob.wiring.wired import FeaturesOf, Need, Needs, Wired


def corruptions_needs(task: TaskSpec, dataset: Dataset, backbone: BackboneSpec) -> list[Need]:
    """The clean splits as every probe sees them, and for each corruption the chosen test images at all severities."""
    settings = _settings(task)
    if lacking := missing_library():
        raise NotApplicableError(f"task {task.name!r}: {lacking}")
    clean = classification_needs(task, dataset, backbone)
    test = dataset.splits["test"]
    chosen = test.take(_positions(settings, test))
    altered = [
        Need(
            backbone,
            corruption,
            corrupted_split(chosen, corruption, settings.severities, settings.side_px),
        )
        for family in settings.families
        for corruption in CORRUPTION_FAMILIES[family]
    ]
    return [*clean, *altered]


def solve_corruptions(
    task: TaskSpec, dataset: Dataset, needs: Needs, features_of: FeaturesOf, seed: int, device: str
) -> Result:
    """The protocol's answer, on the test images that could be read."""
    settings = _settings(task)
    features = by_split(needs, features_of)
    positions = _positions(settings, dataset.splits["test"])
    features["test"] = features["test"].view(positions)
    chosen = dataclasses.replace(
        dataset, splits={**dataset.splits, "test": dataset.splits["test"].take(positions)}
    )
    asked = problem(chosen, features, held_out_by(task), seed)
    kept = features["test"].positions
    tests = _rows(
        [need for need in needs if isinstance(need, Need)][len(features) :],
        features_of,
        kept,
        len(positions),
    )
    return corruptions(
        asked, tests, {family: CORRUPTION_FAMILIES[family] for family in settings.families}, settings, device
    )


def _rows(
    needs: list[Need], features_of: FeaturesOf, kept: NDArray[np.int64], images: int
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Corruption and its rows (S, Q, D), of the images at `kept` (Q,)."""
    for need in needs:
        found = features_of(need)
        yield need.name, _of_readable(found, kept, images, len(need.split) // images)


def _of_readable(
    found: Features, kept: NDArray[np.int64], images: int, severities: int
) -> NDArray[np.float32]:
    at = (np.arange(severities)[:, None] * images + kept).ravel()
    rows: NDArray[np.float32] = found.view(at).rows.reshape(severities, len(kept), -1)
    return rows


def _positions(settings: CorruptionsSettings, test: Split) -> NDArray[np.int64]:
    """The test images that are corrupted."""
    everything = np.arange(len(test))
    return (
        everything
        if settings.images is None
        else stratified_subset(test.y, test.content, settings.images)
    )


def _settings(task: TaskSpec) -> CorruptionsSettings:
    assert isinstance(task.settings, CorruptionsSettings)
    return task.settings


CORRUPTIONS = Wired(corruptions_needs, solve_corruptions, draws)
