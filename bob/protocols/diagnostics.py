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
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from bob.numerics.diagnostics import Decomposition
    from bob.numerics.search.nearest_others import NearestOthers
    from bob.numerics.search.similarity import MetricName

LEAST_ROWS = 3
"""Rows without which no row has two other ones."""
METRICS: "tuple[MetricName, MetricName]" = ("euclidean", "cosine")
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
        described = DescribedRows.of(x, problem.y)
        part = np.arange(len(x)) % settings.parts
        parts = (np.flatnonzero(part != j) for j in range(settings.parts))
        without = [described.values_of(rows) for rows in parts]
        outcome = FeatureDiagnostics(described.values(), np.stack(without))
        return Result((ResultPart(outcome),), {"rows": len(x)}, checked)


@dataclass(frozen=True, eq=False)
class DescribedRows:
    """Rows to describe, with what is computed once for all of them and for parts of them."""

    x: Doubles
    """(N, D)"""
    y: Ints
    """(N,)"""
    centred: "Decomposition"
    mixture: Doubles | None
    """Responsibilities (N, K) under the mixture of all rows, which parts share: one of fewer rows
    would differ by its start more than by the rows. None where a component would have fewer than
    two rows."""
    by_distance: "NearestOthers | None"
    by_cosine: "NearestOthers | None"
    """None of fewer than three rows."""

    @classmethod
    def of(cls, x: Doubles, y: Ints) -> "DescribedRows":
        """Prepare rows (N, D) of classes (N,)."""
        from bob.numerics.diagnostics import decomposed, mixture_responsibilities
        from bob.numerics.search.nearest_others import NearestOthers

        centred, components = decomposed(x, centred=True), COMPONENTS_PER_CLASS * len(np.unique(y))
        enough = len(x) >= 2 * components
        mixture = mixture_responsibilities(centred, components) if enough else None
        singles = x.astype(np.float32)
        by_distance, by_cosine = (
            NearestOthers.of(singles, metric) if len(x) >= LEAST_ROWS else None
            for metric in METRICS
        )
        return cls(x, y, centred, mixture, by_distance, by_cosine)

    def values(self) -> Doubles:
        """Return the values (S,) of `FeatureDiagnostics`."""
        return self._values(np.arange(len(self.x)), self.centred)

    def values_of(self, rows: Ints) -> Doubles:
        """Return the values (S,) of the rows at ascending positions (M,) alone."""
        from bob.numerics.diagnostics import decomposed

        return self._values(rows, decomposed(self.x[rows], centred=True))

    def _values(self, rows: Ints, centred: "Decomposition") -> Doubles:
        from bob.numerics import diagnostics

        if not centred.eigenvalues.any():  # a single row, or equal ones
            return np.full(len(FeatureDiagnostics.NAMES), math.nan)
        y, mean = self.y[rows], self.x[rows].mean(0)
        uncentred = diagnostics.Uncentred.of(centred, mean)
        nearest, second, same = self._neighbours(rows)
        nleep = math.nan if self.mixture is None else diagnostics.nleep(self.mixture[rows], y)
        values = {
            "rank_me": diagnostics.rank_me(uncentred.eigenvalues),
            "participation_ratio": diagnostics.participation_ratio(centred.eigenvalues),
            "intrinsic_dimension": diagnostics.intrinsic_dimension(nearest, second),
            "alpha_req": diagnostics.alpha_req(centred.eigenvalues),
            "log_me": diagnostics.log_me(uncentred, y),
            "h_score": diagnostics.h_score(centred, y),
            "shrunk_h_score": diagnostics.h_score(centred, y, shrunk=True),
            "trans_rate": diagnostics.trans_rate(centred, y),
            "nleep": nleep,
            "nearest_is_same": same,
        }
        return np.array([values[name] for name in FeatureDiagnostics.NAMES])

    def _neighbours(self, rows: Ints) -> tuple[Doubles, Doubles, float]:
        """Return distances (M,) to the two nearest other rows, and the share of equal classes.

        The class is that of the nearest row by cosine.
        """
        from bob.numerics.search.neighbours import exact_similarities

        if self.by_distance is None or self.by_cosine is None or len(rows) < LEAST_ROWS:
            return np.zeros(len(rows)), np.zeros(len(rows)), math.nan
        x, others = self.by_distance.rows, self.by_distance.among(rows, 2)
        nearest, second = (
            -exact_similarities(x, x[rows], others[:, i], "euclidean") for i in (0, 1)
        )
        alike = self.by_cosine.among(rows, 1)[:, 0]
        return nearest, second, float((self.y[alike] == self.y[rows]).mean())


PROTOCOL = Diagnostics()
