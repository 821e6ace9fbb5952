"""Tasks on features alone: what they may need, and their solution."""

import contextlib
from collections.abc import Sequence

from bob.datasets.dataset import Dataset
from bob.engine.scoring_memory import score_memory
from bob.engine.solve import Solution, solve_task
from bob.errors import NotApplicableError
from bob.features.shard import Arrays
from bob.features.store import Features
from bob.numerics.threads import one_computing_thread
from bob.precomputed.rows import Examples
from bob.protocols import FeatureNeed, Inputs, Need, StatisticsNeed, TextNeed, needs_of_task
from bob.specs import BackboneSpec, TaskSpec

UNKNOWN_BACKBONE = BackboneSpec(
    name="features", family="domain", loader="python", architecture="features:precomputed"
)
"""Stands for the model that computed the features."""


def feature_needs(task: TaskSpec, dataset: Dataset) -> list[FeatureNeed]:
    """Return the features that a task needs of a dataset's images.

    NotApplicableError, which begins with the task's name, where the task does not apply to the
    dataset, or where it needs more than features of unchanged images: corruptions, another
    preprocessing or output, statistics or texts.
    """
    features: list[FeatureNeed] = []
    for need in needs_of_task(task, dataset, UNKNOWN_BACKBONE):
        if not isinstance(need, FeatureNeed) or not _is_available(need):
            raise NotApplicableError(_unavailable(task, need), subject="backbone")
        features.append(need)
    return features


def _is_available(need: FeatureNeed) -> bool:
    """Whether a need is of unchanged images, and of the one output that was computed."""
    return need.backbone == UNKNOWN_BACKBONE and need.images.corruption is None


def _unavailable(task: TaskSpec, need: Need) -> str:
    source = "a text tower" if isinstance(need, TextNeed) else "images"
    return f"task {task.name!r}: needs {source} for {need.name!r}; only features are available."


def solve_on_features(
    task: TaskSpec,
    examples: Examples,
    needs: Sequence[FeatureNeed],
    seeds: Sequence[int],
    device: str,
) -> Solution:
    """Solve a task on precomputed features, of which `feature_needs` are the `needs`.

    A small problem has one thread, as in a run: so its scores are the same to the last digit.
    """
    features: dict[FeatureNeed | TextNeed, Features] = {
        need: examples.features(need) for need in needs
    }
    statistics: dict[StatisticsNeed, Arrays] = {}
    inputs = Inputs(features.__getitem__, statistics.__getitem__)
    rows, width = sum(map(len, examples.tables)), examples.tables[0].x.shape[1]
    is_small = not score_memory(rows, width)
    with one_computing_thread() if is_small else contextlib.nullcontext():
        return solve_task(task, examples.dataset, needs, inputs, seeds, device)
