"""A protocol outside the package, as a package of its own announces it: one module, nothing else.

The nearest train row in one chosen dimension votes. It has settings, an outcome and a metric of its
own, so that nothing of the package knows any of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset
from bob.metrics import Metric
from bob.numerics.arrays import Bools
from bob.protocols import Inputs, Needs, Protocol, Result, ResultPart
from bob.protocols.classification import (
    CLASS_KINDS,
    ClassificationProblem,
    classification_needs,
    classification_problem,
    features_by_split,
)
from bob.specs import BackboneSpec
from bob.specs.yaml import Closed


class NearestInOneDimensionSettings(Closed):
    """Settings of the toy protocol."""

    dimension: int


@dataclass(frozen=True, eq=False)
class Hits:
    """Whether each test example was right."""

    right: Bools
    """(N,)"""

    def __len__(self) -> int:
        return len(self.right)

    def take(self, positions: NDArray[Any]) -> "Hits":
        return Hits(self.right[positions])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {"right": self.right}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Hits":
        return cls(arrays["right"])


def hit_rate(outcome: Hits) -> float:
    """Share of test examples that were right."""
    return float(outcome.right.mean())


class NearestInOneDimension(Protocol[NearestInOneDimensionSettings, ClassificationProblem]):
    """The nearest train row in one dimension votes."""

    name = "nearest_in_one_dimension"
    settings = NearestInOneDimensionSettings
    kinds = CLASS_KINDS
    outcomes = (Hits,)
    metrics = (
        Metric(
            hit_rate,
            Hits,
            interval="bootstrap",
            higher_is_better=True,
            summary="share of hits",
            per_example=lambda outcome: outcome.right.astype(np.float64),
        ),
    )

    def needs(
        self, settings: NearestInOneDimensionSettings, dataset: Dataset, backbone: BackboneSpec
    ) -> Needs:
        return classification_needs(dataset, backbone)

    def build(
        self,
        settings: NearestInOneDimensionSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> ClassificationProblem:
        return classification_problem(dataset, features_by_split(needs, inputs), None, seed)

    def solve(
        self, problem: ClassificationProblem, settings: NearestInOneDimensionSettings, device: str
    ) -> Result:
        train, test = (x[:, settings.dimension] for x in (problem.x, problem.test_x))
        nearest = np.abs(test[:, None] - train[None]).argmin(1)
        right = problem.y[nearest] == problem.test_y
        return Result((ResultPart(Hits(right)),), {"dimension": settings.dimension})


PROTOCOL = NearestInOneDimension()
TASK = """\
version: 1
protocol: nearest_in_one_dimension
summary: The nearest train row in one dimension votes.
settings: {dimension: 0}
metrics: [hit_rate]
datasets: ["group:samples"]
"""


def install(folder: Path) -> None:
    """Lay out what `pip install` of such a package leaves: a module and its metadata."""
    (folder / "toy_package.py").write_text(Path(__file__).read_text())
    info = folder / "toy_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[bob.protocols]\nnearest_in_one_dimension = toy_package:PROTOCOL\n"
    )
    tasks = folder / "tasks"
    tasks.mkdir()
    (tasks / "nearest.yaml").write_text(TASK)
