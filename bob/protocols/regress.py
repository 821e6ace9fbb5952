"""Ridge regression of a number that each image has: an age, a count, a share of defects.

Closed form on standardised features with a free intercept (`bob.numerics.linear.ridge_path`). The
penalty is chosen by the squared error on held-out train rows and counts per train example, so that
it means the same in the refit on all of train. scikit-learn's `Ridge` after `StandardScaler` gives
the same predictions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bob.datasets.dataset import Dataset, Split
from bob.datasets.image_sets import ImageSet
from bob.datasets.splits import automatic_test
from bob.errors import DatasetError, NotApplicableError, UndefinedError
from bob.features.store import Features
from bob.numerics.arrays import Bools, Doubles, Floats
from bob.outcomes import RegressionResults
from bob.protocols.caveats import features_checked
from bob.protocols.classification import CLASS_KINDS, SPLITS, features_by_split
from bob.protocols.needs import FeatureNeed, Inputs, Needs, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.protocols.ridge import RidgeSettings, penalty_at_edge
from bob.specs import BackboneSpec


class RegressionSettings(RidgeSettings):
    """Settings of regression: those of the ridge probe."""


@dataclass(frozen=True, eq=False)
class RegressionProblem:
    """Features and numbers. The penalty is chosen on held-out train rows; test is read once."""

    x: Floats
    """(N, D)"""
    target: Doubles
    """(N,)"""
    held_out: Bools
    """(N,)"""
    test_x: Floats
    """(Q, D)"""
    test_target: Doubles
    """(Q,)"""


class RidgeRegression(Protocol[RegressionSettings, RegressionProblem]):
    """The penalty with the lowest held-out squared error, refit on all rows."""

    name = "regress"
    settings = RegressionSettings
    kinds = CLASS_KINDS
    outcomes = (RegressionResults,)

    def needs(
        self, settings: RegressionSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        require_splits(dataset, "train", "test")
        if dataset.target is None:
            raise NotApplicableError(
                f"needs a number for each image; dataset {dataset.name!r} has none. Name it in a "
                "column 'target' of a table, or as 'target' in the dataset's entry."
            )
        for name in SPLITS:
            if name in dataset.splits:
                _targets(dataset, name, dataset.splits[name])
        return [FeatureNeed(backbone, ImageSet(name)) for name in SPLITS if name in dataset.splits]

    def build(
        self,
        settings: RegressionSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> RegressionProblem:
        features = features_by_split(needs, inputs)
        train = dataset.splits["train"].take(features["train"].positions)
        x, target = features["train"].rows, _targets(dataset, "train", train)
        if "val" in features:
            val_x, val_target = _read(dataset, "val", features["val"])
            held = np.repeat([False, True], [len(x), len(val_x)])
            x, target = np.concatenate([x, val_x]), np.concatenate([target, val_target])
        else:
            held = _held_out(train, settings.held_out, seed)
        return RegressionProblem(x, target, held, *_read(dataset, "test", features["test"]))

    def solve(
        self, problem: RegressionProblem, settings: RegressionSettings, device: str
    ) -> Result:
        from bob.numerics.linear.ridge_path import fit_path, scores

        checked = features_checked(train=problem.x, test=problem.test_x)
        first, last, count = settings.log10_l2
        grid, held = 10.0 ** np.linspace(first, last, count), problem.held_out
        x, target = problem.x, problem.target[:, None]
        fits = fit_path(x[~held], target[~held], 1, grid * (~held).sum(), device=device)
        errors = [float(((scores(fit, x[held]) - target[held]) ** 2).mean()) for fit in fits]
        best = min(range(count), key=lambda i: (errors[i], -grid[i]))
        (fit,) = fit_path(x, target, 1, [grid[best] * len(target)], device=device)
        predicted = scores(fit, problem.test_x)[:, 0]
        detail = {
            "l2_per_example": float(grid[best]),
            "l2_at_edge": count > 1 and best in (0, count - 1),
            "held_out_squared_error": errors[best],
            "held_out_rows": int(held.sum()),
        }
        outcome = RegressionResults(problem.test_target, predicted)
        return Result((ResultPart(outcome),), detail, checked or penalty_at_edge(grid, best))

    def uses_seed(self, settings: RegressionSettings, dataset: Dataset) -> bool:
        return "val" not in dataset.splits


def _read(dataset: Dataset, name: str, features: Features) -> tuple[Floats, Doubles]:
    """Return the rows and the numbers of the readable images of a split."""
    split = dataset.splits[name].take(features.positions)  # type: ignore[index]
    return features.rows, _targets(dataset, name, split)


def _targets(dataset: Dataset, name: str, split: Split) -> Doubles:
    """Return the numbers (N,) of a split; NotApplicableError where one is missing or no number."""
    assert dataset.target is not None
    values = split.attributes.get(dataset.target)
    if values is None:
        raise NotApplicableError(
            f"needs a number for each image; {name} of dataset {dataset.name!r} has no "
            f"{dataset.target!r}."
        )
    return np.array([_number(value, split.ids, i, dataset) for i, value in enumerate(values)])


def _number(value: str, ids: Sequence[str], i: int, dataset: Dataset) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise NotApplicableError(
            f"needs a number for each image; {dataset.target!r} of {ids[i]!r} in dataset "
            f"{dataset.name!r} is {value!r}."
        )
    return number


def _held_out(train: Split, share: float, seed: int) -> Bools:
    """Return the train rows (N,) to choose on, stratified by class where there are classes."""
    y = np.maximum(train.y, 0)
    try:
        return automatic_test(y, train.content, train.groups, share, seed)
    except DatasetError as error:
        raise UndefinedError("no train images can be held out to choose the penalty on") from error


PROTOCOL = RidgeRegression()
