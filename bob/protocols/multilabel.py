"""A probe for images that can have several classes: ridge regression on targets of ±1 per class.

Features are standardised with train mean and standard deviation, intercepts are free, sums are
float64. The penalty, one for all classes, is the one with the highest mean average precision on
held-out train rows (the strongest of equals); then all of train is fitted again, and test is scored
once. Published probes for VOC 2007 (Kornblith et al. 2019, arXiv:1805.08974; ssl-transfer) fit a
logistic regression per class instead, on trainval without a held-out share after the choice:
numbers are close to theirs and not equal.

Images with one class each are label sets of one (MedMNIST quotes the ROC-AUC of both).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bob.datasets.dataset import Dataset, Split, SplitName
from bob.datasets.image_sets import ImageSet
from bob.datasets.splits import automatic_test
from bob.errors import DatasetError, UndefinedError
from bob.metrics.multilabel import label_ap
from bob.numerics.arrays import Bools, Doubles, Floats
from bob.outcomes import MultilabelPredictions
from bob.protocols.caveats import features_checked
from bob.protocols.classification import CLASS_KINDS, SPLITS, features_by_split, sampled
from bob.protocols.needs import FeatureNeed, Inputs, Needs, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.protocols.ridge import penalty_at_edge
from bob.specs import BackboneSpec
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

if TYPE_CHECKING:
    from bob.numerics.linear.ridge_path import RidgeFit

CONSTANT_BELOW = 1e-6
"""Ratio of standard deviation to mean at which a feature is constant up to float32 rounding."""


class MultilabelSettings(Closed):
    """Settings of the multi-label probe."""

    log10_l2: tuple[float, float, Count] = Field(strict=False)
    """First and last log10 of the penalty per train example, and the number of values."""
    held_out: Annotated[float, Field(gt=0, lt=1)]
    """Share of train on which the penalty is chosen where the dataset has no val split."""


@dataclass(frozen=True, eq=False)
class MultilabelProblem:
    """Features with their roles."""

    x: Floats
    """(N, D) train features, those of a val split among them."""
    labels: Bools
    """(N, C)"""
    held_out: Bools
    """(N,) the train rows on which the penalty is chosen."""
    test_x: Floats
    """(Q, D)"""
    test_labels: Bools
    """(Q, C)"""


class MultilabelProbe(Protocol[MultilabelSettings, MultilabelProblem]):
    """The penalty is chosen on held-out train rows; a refit on all of them is scored on test."""

    name = "multilabel"
    settings = MultilabelSettings
    kinds = CLASS_KINDS | {"multi-label"}
    outcomes = (MultilabelPredictions,)

    def needs(
        self, settings: MultilabelSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        require_splits(dataset, "train", "test")
        return [FeatureNeed(backbone, ImageSet(name)) for name in SPLITS if name in dataset.splits]

    def build(
        self,
        settings: MultilabelSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> MultilabelProblem:
        features = features_by_split(needs, inputs)
        splits: Mapping[SplitName, Split] = {
            name: dataset.splits[name].take(of_split.positions)
            for name, of_split in features.items()
        }
        labels = {name: label_sets(split, len(dataset.classes)) for name, split in splits.items()}
        x, y = features["train"].rows, labels["train"]
        if "val" in splits:
            held_out = np.repeat([False, True], [len(x), len(splits["val"])])
            x, y = np.concatenate([x, features["val"].rows]), np.concatenate([y, labels["val"]])
        else:
            held_out = _sample_held_out(splits["train"], settings.held_out, seed)
        return MultilabelProblem(x, y, held_out, features["test"].rows, labels["test"])

    def solve(
        self, problem: MultilabelProblem, settings: MultilabelSettings, device: str
    ) -> Result:
        checked = features_checked(train=problem.x, test=problem.test_x)
        first, last, count = settings.log10_l2
        grid, held = 10.0 ** np.linspace(first, last, count), problem.held_out
        fits = fit_path(problem.x[~held], problem.labels[~held], grid)
        held_out_ap = [
            _label_ap(predictions(fit, problem.x[held], problem.labels[held])) for fit in fits
        ]
        best = max(range(count), key=lambda i: (held_out_ap[i], grid[i]))
        (fit,) = fit_path(problem.x, problem.labels, grid[best : best + 1])
        detail = {
            "l2_per_example": float(grid[best]),
            "l2_at_edge": count > 1 and best in (0, count - 1),
            "held_out_label_ap": held_out_ap[best],
            "held_out_rows": int(held.sum()),
        }
        outcome = predictions(fit, problem.test_x, problem.test_labels)
        return Result((ResultPart(outcome),), detail, checked or penalty_at_edge(grid, best))

    def uses_seed(self, settings: MultilabelSettings, dataset: Dataset) -> bool:
        return "val" not in dataset.splits


def label_sets(split: Split, classes: int) -> NDArray[np.bool_]:
    """Return the label sets (N, C): which classes each image has."""
    if split.labels is not None:
        return split.labels
    single: NDArray[np.bool_] = split.y[:, None] == np.arange(classes)
    return single


def fit_path(x: Floats, labels: Bools, penalties: Doubles) -> "list[RidgeFit]":
    """Fit ridge regressions on targets of ±1, one for each penalty per example."""
    from bob.numerics.linear import ridge_path

    l2, targets = penalties * len(x), np.where(labels, 1.0, -1.0)
    return ridge_path.fit_path(x, targets, labels.shape[1], l2, constant_below=CONSTANT_BELOW)


def predictions(fit: "RidgeFit", x: Floats, labels: Bools) -> MultilabelPredictions:
    """Return the outcome of outputs (N, C) for rows (N, D) with label sets (N, C)."""
    from bob.numerics.linear import ridge_path

    return MultilabelPredictions(ridge_path.scores(fit, x).astype(np.float32), labels)


def _label_ap(outcome: MultilabelPredictions) -> float:
    """Return mean average precision, 0 where no class has both positives and negatives."""
    try:
        return label_ap(outcome)
    except UndefinedError:
        return 0.0


def _sample_held_out(train: Split, share: float, seed: int) -> NDArray[np.bool_]:
    """Sample held-out rows, stratified by the first label of each image."""
    try:
        return sampled(automatic_test, train, share, seed)
    except DatasetError as error:
        raise UndefinedError(
            f"no train images can be held out to choose the penalty on: {error}"
        ) from error


PROTOCOL = MultilabelProbe()
