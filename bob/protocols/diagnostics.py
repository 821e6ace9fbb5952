"""Descriptions of train features: effective dimensions, and transferability scores.

RankMe, participation ratio, TwoNN and α-ReQ need no label; LogME, the H-score, TransRate, N-LEEP
and the share of images whose nearest other image has the same class do. `bob.numerics.diagnostics`
has formulas and sources. Nothing is trained and no test image is read.

They are descriptions: the leaderboard shows them and ranks nothing by them. The exact probe costs
seconds once features are stored, and these scores order backbones worse than it
(docs/explanation/further_tasks.md).

Features are divided by the root of their mean squared length, on which TransRate depends.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.numerics.arrays import Doubles, Floats, Ints
from bob.outcomes import FeatureDiagnostics
from bob.protocols.caveats import features_checked
from bob.protocols.classification import (
    CLASS_KINDS,
    SPLITS,
    features_by_split,
    require_single_labels,
    require_trained_classes,
)
from bob.protocols.needs import FeatureNeed, Inputs, Needs, require_splits
from bob.protocols.protocol import Protocol, Result, ResultPart
from bob.specs import BackboneSpec
from bob.specs.numbers import Count
from bob.specs.yaml import Closed

COMPONENTS_PER_CLASS = 5
"""Components of N-LEEP's mixture (Li et al. 2021, arXiv:2011.11200)."""


class DiagnosticsSettings(Closed):
    """Settings of the descriptions."""

    most_rows: Count
    """Most train rows that are read, evenly spaced."""
    parts: Annotated[int, Field(ge=2)]
    """Parts of the rows that are left out in turn, for intervals."""


@dataclass(frozen=True, eq=False)
class DiagnosticsProblem:
    """Train features and classes."""

    x: Floats
    """(N, D)"""
    y: Ints
    """(N,)"""


class Diagnostics(Protocol[DiagnosticsSettings, DiagnosticsProblem]):
    """Every description of the train features."""

    name = "diagnostics"
    settings = DiagnosticsSettings
    kinds = CLASS_KINDS
    outcomes = (FeatureDiagnostics,)

    def needs(
        self, settings: DiagnosticsSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        require_splits(dataset, "train")
        require_single_labels(dataset, "train")
        require_trained_classes(dataset, SPLITS)
        return [FeatureNeed(backbone, ImageSet("train"))]

    def build(
        self,
        settings: DiagnosticsSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> DiagnosticsProblem:
        features = features_by_split(needs, inputs)["train"]
        y = dataset.splits["train"].y[features.positions]
        count = min(len(y), settings.most_rows)
        rows = np.unique(np.linspace(0, len(y) - 1, count).astype(np.int64))
        return DiagnosticsProblem(features.rows[rows], y[rows])

    def solve(
        self, problem: DiagnosticsProblem, settings: DiagnosticsSettings, device: str
    ) -> Result:
        checked = features_checked(train=problem.x)
        if checked:
            reason = "descriptions need train features that differ"
            return Result((ResultPart(None, undefined=reason),), {}, checked)
        x = problem.x.astype(np.float64)
        x /= np.abs(x).max()  # so that no square leaves float64's range
        x /= math.sqrt(float((x**2).sum(1).mean()))
        part = np.arange(len(x)) % settings.parts
        mixture = mixture_of(x, problem.y)
        without = []
        for j in range(settings.parts):
            rows = part != j
            of_rows = None if mixture is None else mixture[rows]
            without.append(describe(x[rows], problem.y[rows], of_rows))
        outcome = FeatureDiagnostics(describe(x, problem.y, mixture), np.stack(without))
        return Result((ResultPart(outcome),), {"rows": len(x)}, checked)


def mixture_of(x: Doubles, y: Ints) -> Doubles | None:
    """Return the responsibilities (N, 5 C) of a mixture with five components per class.

    None where a component would have fewer than two rows.
    """
    from bob.numerics.diagnostics import mixture_responsibilities

    components = COMPONENTS_PER_CLASS * len(np.unique(y))
    return mixture_responsibilities(x, components) if len(x) >= 2 * components else None


def describe(x: Doubles, y: Ints, mixture: Doubles | None) -> Doubles:
    """Return the values (S,) of `FeatureDiagnostics` of rows (N, D) of classes (N,).

    `mixture` (N, K) are their responsibilities under the mixture of all rows, which parts share:
    a new one of fewer rows would differ by its start more than by the rows. None is undefined.
    """
    from bob.numerics import diagnostics

    rows, centred = (diagnostics.decomposed(x, flag) for flag in (False, True))
    nearest, second, same = _neighbours(x.astype(np.float32), y)
    values = {
        "rank_me": diagnostics.rank_me(rows.eigenvalues),
        "participation_ratio": diagnostics.participation_ratio(centred.eigenvalues),
        "intrinsic_dimension": diagnostics.intrinsic_dimension(nearest, second),
        "alpha_req": diagnostics.alpha_req(centred.eigenvalues),
        "log_me": diagnostics.log_me(rows, y),
        "h_score": diagnostics.h_score(centred, y),
        "shrunk_h_score": diagnostics.h_score(centred, y, shrunk=True),
        "trans_rate": diagnostics.trans_rate(centred, y),
        "nleep": math.nan if mixture is None else diagnostics.nleep(mixture, y),
        "nearest_is_same": same,
    }
    return np.array([values[name] for name in FeatureDiagnostics.NAMES])


def _neighbours(x: Floats, y: Ints) -> tuple[Doubles, Doubles, float]:
    """Return distances (N,) to the two nearest other rows, and the share of equal classes.

    The class is that of the nearest row by cosine.
    """
    from bob.numerics.search.neighbours import exact_similarities, search

    if len(x) < 3:
        return np.zeros(len(x)), np.zeros(len(x)), math.nan
    others = _without_self(search(x, x, 3, metric="euclidean").index)
    nearest, second = (-exact_similarities(x, x, others[:, i], "euclidean") for i in (0, 1))
    by_cosine = _without_self(search(x, x, 2).index)[:, 0]
    return nearest, second, float((y[by_cosine] == y).mean())


def _without_self(index: Ints) -> Ints:
    """Return neighbours (N, k) without the row itself, or without the last, (N, k − 1)."""
    is_self = index == np.arange(len(index))[:, None]
    is_self[~is_self.any(1), -1] = True
    others: Ints = index[~is_self].reshape(len(index), -1)
    return others


PROTOCOL = Diagnostics()
