"""Classifiers on train and test features: linear probe, k-NN and what else takes a `Problem`."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset, Split, SplitName
from bob.datasets.splits import automatic_test, stratified_folds
from bob.errors import DatasetError, NotApplicableError
from bob.features.store import Features
from bob.protocols.protocol import Problem, Result
from bob.specs import BackboneSpec, TaskSpec
from bob.wiring.wired import FeaturesOf, Need, Needs, Wired, require_splits

CLASSIFIED: tuple[SplitName, ...] = ("train", "val", "test")


def classifier(solve: Callable[[Problem, Any, str], Result]) -> Wired:
    """The wiring of a protocol that takes a problem, its settings and a device."""

    def answer(
        task: TaskSpec,
        dataset: Dataset,
        needs: Needs,
        features_of: FeaturesOf,
        seed: int,
        device: str,
    ) -> Result:
        features = by_split(needs, features_of)
        return solve(problem(dataset, features, held_out_by(task), seed), task.settings, device)

    return Wired(classification_needs, answer, draws)


def classification_needs(task: TaskSpec, dataset: Dataset, backbone: BackboneSpec) -> list[Need]:
    """Every split that is fitted, chosen or scored on."""
    require_splits(task, dataset, "train", "test")
    if dataset.splits["train"].labels is not None:
        raise NotApplicableError(
            f"task {task.name!r} needs one label per image; those of dataset {dataset.name!r} have several."
        )
    return [
        Need(backbone, name, dataset.splits[name]) for name in CLASSIFIED if name in dataset.splits
    ]


def by_split(needs: Needs, features_of: FeaturesOf) -> dict[SplitName, Features]:
    """The features of train, val and test by their names."""
    return {name: features_of(need) for name in CLASSIFIED for need in needs if need.name == name}


def draws(task: TaskSpec, dataset: Dataset) -> bool:
    """Whether held-out examples are drawn from train: not where nothing is chosen, nor where there is a val split."""
    return held_out_by(task) is not None and "val" not in dataset.splits


def held_out_by(task: TaskSpec) -> float | int | None:
    """The share of train that the task's settings, or those of its probe, hold out, or the number of folds; None where nothing is chosen."""
    settings = getattr(task.settings, "probe", None) or task.settings
    by: float | int | None = getattr(settings, "folds", None) or getattr(settings, "held_out", None)
    return by


def problem(
    dataset: Dataset,
    features: Mapping[SplitName, Features],
    held_out: float | int | None,
    seed: int,
) -> Problem:
    """Features with roles. Choices are made on the val split where there is one, else a stratified share or folds of train, groups kept whole."""
    train, test = (
        dataset.splits["train"].take(features["train"].positions),
        dataset.splits["test"].take(features["test"].positions),
    )
    x, y, mask, fold = features["train"].rows, train.y, np.zeros(len(train), bool), None
    if "val" in dataset.splits:
        val = dataset.splits["val"].take(features["val"].positions)
        mask = np.repeat([False, True], [len(train), len(val)])
        x, y = np.concatenate([x, features["val"].rows]), np.concatenate([y, val.y])
    elif isinstance(held_out, int):
        fold = _drawn(stratified_folds, train, held_out, seed)
    elif held_out is not None:
        mask = _drawn(automatic_test, train, held_out, seed)
    return Problem(x, y, mask, features["test"].rows, test.y, len(dataset.classes), fold)


def _drawn(
    draw: Callable[..., NDArray[Any]], train: Split, by: float | int, seed: int
) -> NDArray[Any]:
    try:
        return draw(train.y, train.content, train.groups, by, seed)
    except DatasetError as error:
        raise DatasetError(
            f"no train images can be held out to choose settings on: each of the {len(np.unique(train.y))} classes has a single train image "
            "(or one group). Give at least two per class, or a val split."
        ) from error
