"""Learning curves: the ridge probe on all of train, half of it, a quarter, and so on.

They show how much of a backbone's lead is left with more labels, and whether more train images
would turn the order of two backbones (`bob.leaderboards.learning_curves`).

The probe is that of `bob.protocols.ridge`, its penalty chosen anew at each size. Parts are nested
and stratified: of each class, and of its held-out images, a share of 2^-h is kept, at least one
image. Images are kept in the order of their content, so that all backbones see the same ones,
whatever the order of files. Each size uses all test images.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from bob.datasets.dataset import Dataset
from bob.numerics.arrays import Ints
from bob.outcomes import ClassPredictions, LearningCurve
from bob.protocols.caveats import features_checked
from bob.protocols.classification import (
    ClassificationProblem,
    Classifier,
    answers_of,
    classification_problem,
    features_by_split,
    held_out_of,
)
from bob.protocols.needs import Inputs, Needs
from bob.protocols.protocol import Result, ResultPart
from bob.protocols.ridge import (
    ChosenRidge,
    RidgeSettings,
    fit_ridge,
    penalty_at_edge,
    predictions,
)


class LearningCurveSettings(RidgeSettings):
    """Settings of a learning curve: those of the ridge probe, and the number of sizes."""

    halvings: Annotated[int, Field(ge=1)]
    """How often train is halved: the smallest part is 2^-halvings of it."""


@dataclasses.dataclass(frozen=True, eq=False)
class NestedProblem(ClassificationProblem):
    """Features with their roles, and nested parts of train."""

    parts: tuple[Ints, ...] = ()
    """Positions of the train rows of each part, the smallest part first; the last one is train."""


class LearningCurves(Classifier[LearningCurveSettings]):
    """The accuracy of the ridge probe after training on nested parts of train."""

    name = "learning_curve"
    settings = LearningCurveSettings
    outcomes = (LearningCurve, ClassPredictions)

    def build(
        self,
        settings: LearningCurveSettings,
        dataset: Dataset,
        needs: Needs,
        inputs: Inputs,
        seed: int,
    ) -> NestedProblem:
        features = features_by_split(needs, inputs)
        problem = classification_problem(dataset, features, held_out_of(settings), seed)
        content = [
            dataset.splits[name].content[i]
            for name in ("train", "val")
            if name in features
            for i in features[name].positions
        ]
        strata = 2 * problem.y + problem.held_out
        values = {field.name: getattr(problem, field.name) for field in dataclasses.fields(problem)}
        return NestedProblem(**values, parts=nested_parts(strata, content, settings.halvings))

    def solve(
        self, problem: ClassificationProblem, settings: LearningCurveSettings, device: str
    ) -> Result:
        assert isinstance(problem, NestedProblem)
        checked = features_checked(train=problem.x, test=problem.test_x)
        outcomes, probes = list[ClassPredictions](), list[ChosenRidge]()
        for rows in problem.parts:
            part = dataclasses.replace(
                problem, x=problem.x[rows], y=problem.y[rows], held_out=problem.held_out[rows]
            )
            probes.append(fit_ridge(part, settings, device))
            outcomes.append(predictions(probes[-1].fit, problem))
        sizes = [len(rows) for rows in problem.parts]
        curve = LearningCurve.of_sizes([outcome.rank == 0 for outcome in outcomes], sizes)
        detail = {
            "train_images": sizes,
            "l2_per_example": [float(probe.grid[probe.best]) for probe in probes],
        }
        headline = ResultPart(curve, metrics=("data_efficiency",), chance=1 / problem.classes)
        of_sizes = [
            ResultPart(outcome, f"n{size}", ("top1",), {"train_images": size})
            for outcome, size in zip(outcomes, sizes, strict=True)
        ]
        answers = {f"n{sizes[-1]}": answers_of(outcomes[-1])}
        caveats = checked or penalty_at_edge(probes[-1].grid, probes[-1].best)
        return Result((headline, *of_sizes), detail, caveats, answers)


def nested_parts(strata: Ints, content: Sequence[str], halvings: int) -> tuple[Ints, ...]:
    """Return ascending positions of nested parts of N rows, the smallest part first.

    Of each stratum (N,) a part keeps the first rows by content, a share of 2^-h rounded up. A part
    that is as large as the next one is left out.
    """
    order = sorted(range(len(strata)), key=lambda i: (content[i], i))
    place, size = np.empty(len(strata), np.int64), np.bincount(strata)
    seen = np.zeros(len(size), np.int64)
    for i in order:
        place[i] = seen[strata[i]]
        seen[strata[i]] += 1
    parts = [np.arange(len(strata))]
    for halving in range(1, halvings + 1):
        kept = np.flatnonzero(place < -(-size[strata] // 2**halving))
        if len(kept) < len(parts[-1]):
            parts.append(kept)
    return tuple(reversed(parts))


PROTOCOL = LearningCurves()
