"""How far the features of shifted sets are from those of train: a description beside `ood`.

The Fréchet distance and PRDC (precision, recall, density, coverage; `bob.numerics.set_distances`)
of each shifted test set to train images, and of the test images in distribution at the same number
of images, since both depend on it: each set gives the same number of evenly spaced rows. Features
are divided by the root of the total variance of these train rows, so that the Fréchet distance does
not depend on their scale. The headline is the mean over the shifted sets.

No label is read and nothing is ranked. The distance does not predict the accuracy that is lost
(Guillory et al. 2021, arXiv:2107.03315); `leaderboard.md` has its rank correlation with that loss
over the backbones at hand.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.numerics.arrays import Doubles, Floats
from bob.outcomes import ShiftDistances
from bob.protocols.caveats import features_checked
from bob.protocols.classification import CLASS_KINDS
from bob.protocols.needs import FeatureNeed, Inputs, Needs, require_splits
from bob.protocols.ood import features_of_shifts, require_shifts
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.numbers import Count
from bob.specs.yaml import Closed


class ShiftDistanceSettings(Closed):
    """Settings of the distances."""

    k: Count
    """The reach of an image is the distance to its k-th nearest other image of its set."""
    most_rows: Count
    """Most rows of a set that are read, evenly spaced."""
    parts: Annotated[int, Field(ge=2)]
    """Parts of the rows that are left out in turn, for intervals."""


@dataclass(frozen=True, eq=False)
class ShiftDistanceProblem:
    """Features of train images, of test images, and of each shifted set."""

    train: Floats
    """(N, D)"""
    test: Floats
    """(Q, D)"""
    shifts: Mapping[str, Floats]
    """Name → (M, D); at least one."""


class ShiftDistance(Protocol[ShiftDistanceSettings, ShiftDistanceProblem]):
    """The distance of every shifted set to train, beside that of the test images."""

    name = "shift_distance"
    settings = ShiftDistanceSettings
    kinds = CLASS_KINDS
    outcomes = (ShiftDistances,)

    def needs(
        self, settings: ShiftDistanceSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        require_splits(dataset, "train", "test")
        names = ["train", "test", *require_shifts(dataset, "shift")]
        return [FeatureNeed(backbone, ImageSet(name)) for name in names]

    def build(
        self,
        settings: ShiftDistanceSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> ShiftDistanceProblem:
        train, test = (
            inputs.features(need).rows for need in needs[:2] if isinstance(need, FeatureNeed)
        )
        shifts = features_of_shifts(dataset, needs, inputs)
        return ShiftDistanceProblem(train, test, {name: of.rows for name, of in shifts.items()})

    def solve(
        self, problem: ShiftDistanceProblem, settings: ShiftDistanceSettings, device: str
    ) -> Result:
        sets = {"train": problem.train, "test": problem.test, **problem.shifts}
        checked = features_checked(**sets)
        if checked:
            reason = "distances between sets need features that differ"
            return Result((ResultPart(None, undefined=reason),), {}, checked)
        parts, of_shifts, rows = [], [], {}
        for name, shifted in problem.shifts.items():
            count = min(
                settings.most_rows, *(len(x) for x in (problem.train, problem.test, shifted))
            )
            train, test, other = (
                evenly_spaced(x, count) for x in (problem.train, problem.test, shifted)
            )
            to_shift, to_test = (distances(train, y, settings) for y in (other, test))
            parts.append(ResultPart(to_shift, name, facets={"shift": name}))
            parts.append(
                ResultPart(to_test, f"test_{name}", facets={"shift": "test", "rows_of": name})
            )
            of_shifts.append(to_shift)
            rows[name] = count
        mean = ShiftDistances(
            np.mean([one.value for one in of_shifts], axis=0),
            np.mean([one.without for one in of_shifts], axis=0),
        )
        return Result((ResultPart(mean), *parts), {"rows": rows}, checked)


def evenly_spaced(x: Floats, count: int) -> Doubles:
    """Return `count` evenly spaced rows of x (N, D), in float64."""
    at = np.linspace(0, len(x) - 1, count).astype(np.int64)
    return x[at].astype(np.float64)


def distances(x: Doubles, y: Doubles, settings: ShiftDistanceSettings) -> ShiftDistances:
    """Return the distances of y (n, D) to x (n, D), of all rows and without each part."""
    scale = np.abs(x).max()  # so that no square leaves float64's range
    x, y = x / scale, y / scale
    spread = math.sqrt(float(x.var(0, ddof=1).sum())) if len(x) > 1 else 0.0
    if not spread:
        nothing = np.full(len(ShiftDistances.NAMES), math.nan)
        return ShiftDistances(nothing, np.tile(nothing, (settings.parts, 1)))
    x, y = x / spread, y / spread
    part = np.arange(len(x)) % settings.parts
    without = [_distances(x[part != j], y[part != j], settings.k) for j in range(settings.parts)]
    return ShiftDistances(_distances(x, y, settings.k), np.stack(without))


def _distances(x: Doubles, y: Doubles, k: int) -> Doubles:
    """Return the values of `ShiftDistances` of rows y (n, D) to x (n, D)."""
    from bob.numerics.set_distances import frechet_distance, prdc

    return np.array([frechet_distance(x, y), *prdc(x, y, k)])


PROTOCOL = ShiftDistance()
