"""Solve one task on features that are at hand: the one place where protocols are run."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.dataset import Dataset
from bob.engine.scores import scores
from bob.errors import UndefinedError
from bob.numerics.arrays import Ints
from bob.protocols import FeatureNeed, Inputs, Needs, Result, ResultPart, protocol_named
from bob.protocols.attribute_groups import with_groups
from bob.protocols.concept_frequency import with_concepts
from bob.records.record import Score
from bob.records.store import SHOWN
from bob.specs import TaskSpec


@dataclass(frozen=True, eq=False)
class Solution:
    """The scores of one task, and what they were computed from."""

    task: TaskSpec
    scores: tuple[Score, ...]
    """Every metric of every part and seed."""
    results: Mapping[int, Result]
    """Seed → outcomes per example, and in `detail` what was chosen."""
    seconds: float
    """What the protocol took, all seeds together."""

    @property
    def score(self) -> Score:
        """The ranking metric of the first seed."""
        return self.scores[0]

    def details(self) -> tuple[dict[str, Any], ...]:
        """Return what the protocol chose, per seed, and what a reader of the scores must know."""
        return tuple(
            {"seed": seed, **result.detail, "caveats": [*result.caveats]}
            for seed, result in self.results.items()
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return per-example arrays, by SEED.NAME or SEED.SUFFIX.NAME.

        They are those of the headline, of the parts that are stored, and of the examples to show.
        """
        shown = {
            f"{seed}.{SHOWN}.{name}": np.asarray(values)
            for seed, result in self.results.items()
            for name, values in result.shown.items()
        }
        return shown | {
            f"{seed}.{part.suffix}.{name}" if part.suffix else f"{seed}.{name}": np.asarray(values)
            for seed, result in self.results.items()
            for i, part in enumerate(result.parts)
            if part.outcome is not None and (i == 0 or part.stored)
            for name, values in part.outcome.to_arrays().items()
        }


def solve_task(
    task: TaskSpec,
    dataset: Dataset,
    needs: Needs,
    inputs: Inputs,
    seeds: Sequence[int],
    device: str,
) -> Solution:
    """Solve a task for every seed, or for the first one where the result does not depend on it.

    Where a protocol raises UndefinedError, all its scores are undefined, for that reason.
    """
    protocol = protocol_named(task.protocol)
    uses_seed = protocol.uses_seed(task.settings, dataset)
    by_name = {
        need.name: need
        for need in needs
        if isinstance(need, FeatureNeed) and need.images.corruption is None
    }

    def positions(images: str) -> Ints:
        return inputs.features(by_name[images]).positions

    start = time.perf_counter()
    results: dict[int, Result] = {}
    for seed in seeds if uses_seed else seeds[:1]:
        try:
            problem = protocol.build(task.settings, dataset, needs, inputs, seed)
            result = protocol.solve(problem, task.settings, solver_device(device))
            grouped = with_groups(result, dataset, positions)
            results[seed] = with_concepts(grouped, dataset, positions)
        except UndefinedError as error:
            results[seed] = Result((ResultPart(None, undefined=str(error)),), {})
    seconds = time.perf_counter() - start
    train = dataset.splits.get("train")
    counts = None
    if train is not None and train.labels is None:
        counts = np.bincount(train.y[train.y >= 0], minlength=len(dataset.classes))
    all_scores = [
        score
        for seed, result in results.items()
        for part in result.parts
        for score in scores(part, task.metrics, seed if uses_seed else None, counts)
    ]
    return Solution(task, tuple(all_scores), results, seconds)


def solver_device(device: str) -> str:
    """Return the device of protocols: that of the forward pass, except for Apple's mps.

    It has no float64.
    """
    return "cpu" if device == "mps" else device
