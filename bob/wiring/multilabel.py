"""The probe for several labels: on sets of labels, and on single ones as sets of one (MedMNIST quotes the ROC-AUC of both)."""

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset, Split
from bob.datasets.splits import automatic_test
from bob.errors import DatasetError
from bob.protocols.multilabel import MultilabelProblem, multilabel
from bob.protocols.protocol import Result
from bob.specs import BackboneSpec, TaskSpec
from bob.specs.settings.multilabel import MultilabelSettings
from bob.wiring.classification import CLASSIFIED, by_split
from bob.wiring.wired import FeaturesOf, Need, Needs, Wired, require_splits


def _needs(task: TaskSpec, dataset: Dataset, backbone: BackboneSpec) -> Needs:
    require_splits(task, dataset, "train", "test")
    return [
        Need(backbone, name, dataset.splits[name]) for name in CLASSIFIED if name in dataset.splits
    ]


def _solve(
    task: TaskSpec, dataset: Dataset, needs: Needs, features_of: FeaturesOf, seed: int, device: str
) -> Result:
    settings = task.settings
    assert isinstance(settings, MultilabelSettings)
    features = by_split(needs, features_of)
    seen = {name: dataset.splits[name].take(found.positions) for name, found in features.items()}
    labels = {name: marks(split, len(dataset.classes)) for name, split in seen.items()}
    x, y, held = features["train"].rows, labels["train"], np.zeros(len(seen["train"]), bool)
    if "val" in seen:
        held = np.repeat([False, True], [len(x), len(seen["val"])])
        x, y = np.concatenate([x, features["val"].rows]), np.concatenate([y, labels["val"]])
    else:
        held = _held_out(seen["train"], settings.held_out, seed)
    return multilabel(
        MultilabelProblem(x, y, held, features["test"].rows, labels["test"]), settings
    )


def marks(split: Split, classes: int) -> NDArray[np.bool_]:
    """(N, C) which classes each image has."""
    if split.labels is not None:
        return split.labels
    single: NDArray[np.bool_] = split.y[:, None] == np.arange(classes)
    return single


def _held_out(train: Split, share: float, seed: int) -> NDArray[np.bool_]:
    """Stratified by the first label of each image."""
    try:
        return automatic_test(train.y, train.content, train.groups, share, seed)
    except DatasetError as error:
        raise DatasetError(
            f"no train images can be held out to choose the penalty on: {error}"
        ) from error


def _draws(_: TaskSpec, dataset: Dataset) -> bool:
    return "val" not in dataset.splits


MULTILABEL = Wired(_needs, _solve, _draws)
