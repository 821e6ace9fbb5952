"""Every shipped task on features of any scale, on equal features, and on features that no score can
be right for.
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bob.engine.solve import solve_task
from bob.errors import UndefinedError
from bob.features.store import Features
from bob.metrics import metric_named
from bob.numerics.arrays import Floats
from bob.protocols import FeatureNeed, Inputs, Result, TextNeed, protocol_named
from bob.specs import TaskSpec
from tests.builders.protocols import make_inputs
from tests.builders.segmentation import statistics_of
from tests.protocols.test_conformance import (
    TASKS,
    dataset_of,
    features,
    maps,
    needs_of,
    reads_rows,
    result_of,
)

Change = Callable[[Floats], Floats]
FACTORS = (1e-25, 1e-8, 1e25)
"""Powers of ten, by which grids of C and of penalties move in whole steps."""
FACTORS_OF_TRAINING = (2.0**-83,)
"""A power of two, which rounds nothing: training step by step amplifies rounding."""
TRAINED = {"detect_fcos", "detect_masks", "segment_sgd"}
"""Protocols that standardise features and then train for seconds."""


each_task_of_rows = pytest.mark.parametrize(
    "task", [task for task in TASKS.values() if reads_rows(task)], ids=lambda t: t.name
)
"""Tasks that read one row per image. Maps are summed in the pass, which refuses what is not finite;
tests/protocols/test_segment.py has constant ones."""


def solve_changed(task: TaskSpec, change: Change) -> Result:
    """Return the result of a shipped task on changed features, or on changed maps of patches."""
    protocol, needs, data = protocol_named(task.protocol), needs_of(task), dataset_of(task)
    inputs = (
        changed(change)
        if reads_rows(task)
        else statistics_of(needs, data, lambda split, at: change(maps(split, at)))
    )
    problem = protocol.build(task.settings, data, needs, inputs, 0)
    return protocol.solve(problem, task.settings, "cpu")


def changed(change: Change) -> Inputs:
    def read(need: FeatureNeed | TextNeed) -> Features:
        original = features(need)
        return replace(original, parts=[change(original.rows)])

    return Inputs(read, make_inputs({}).statistics)


def values(result: Result, task: TaskSpec) -> dict[str, float]:
    """Return every value of every part."""
    return {name: value for name, (value, _) in counted_values(result, task).items()}


def counted_values(result: Result, task: TaskSpec) -> dict[str, tuple[float, int]]:
    """Return every value of every part, and of how many examples it is."""
    found: dict[str, tuple[float, int]] = {}
    for part in result.parts:
        names = {"all": task.metrics, "ranking": task.metrics[:1]}.get(str(part.metrics))
        for name in names or part.metrics:
            metric = metric_named(name)
            if part.outcome is not None and isinstance(part.outcome, metric.outcome):
                with contextlib.suppress(UndefinedError):
                    value = metric.function(part.outcome), len(part.outcome)
                    found[f"{name} {part.suffix}"] = value
    return found


def is_binned(name: str) -> bool:
    """Return whether a value is a calibration error over bins."""
    return "ece" in name.split()[0].split("_")


def reasons(result: Result) -> set[str]:
    """Return why parts are undefined, without those of groups, which are of few images here."""
    return {
        part.undefined
        for part in result.parts
        if part.undefined is not None and "attribute" not in part.facets
    }


@pytest.mark.parametrize(
    ("task", "factor"),
    [
        pytest.param(task, factor, id=f"{task.name}-{factor:.0e}")
        for task in TASKS.values()
        for factor in (FACTORS_OF_TRAINING if task.protocol in TRAINED else FACTORS)
    ],
)
def test_features_of_any_scale_have_the_same_scores(task: TaskSpec, factor: float) -> None:
    """Up to the rounding of the products, of which log-loss shows the most.

    Calibration errors jump where rounding moves a probability to the next bin: the gap of one of N
    examples, at most 1, leaves the sum over a bin for another, which changes the error by 2 / N.
    """
    reference = result_of(task.name)
    if task.protocol == "long_tail":  # the shipped tail leaves three held-out rows, all right
        settings = task.settings.model_copy(update={"imbalance": 4.0})
        task = task.model_copy(update={"settings": settings})
        reference = solve_changed(task, lambda rows: rows)
    result = solve_changed(task, lambda rows: rows * np.float32(factor))
    expected = {
        name: pytest.approx(value, rel=2e-3, abs=2 / count if is_binned(name) else 1e-6)
        for name, (value, count) in counted_values(reference, task).items()
    }
    assert values(result, task) == expected
    assert result.caveats == reference.caveats
    for name in ("c_at_edge", "l2_at_edge"):
        assert not result.detail.get(name)
    assert result.detail.get("converged", True)


def ap_of_chance(positives: int, items: int) -> float:
    """Return the expected AP of a random order: p / n of the orders have a positive at place j, and
    then (j - 1) (p - 1) / (n - 1) of the places before it have one.
    """
    j = np.arange(1, items + 1)
    before = (j - 1) * (positives - 1) / (items - 1)
    return float(((before + 1) / j).mean())


CHANCE = {
    "linear": 1 / 6,
    "ridge": 1 / 6,
    "learning_curve": 1 / 6,
    "knn": 1 / 6,
    "knn_euclidean": 1 / 6,
    "resize_normalise": 1 / 6,
    "zeroshot": 1 / 6,
    "fewshot": 1 / 6,
    "fewshot_big_vision": 1 / 6,
    "episodes": 1 / 5,
    "corruptions": None,
    "ood": 6 / 30,
    "ood_detection": 1 / 2,
    "multilabel": 1 / 6,
    "retrieval": ap_of_chance(15, 95),
    "retrieval_instance": float(np.mean([ap_of_chance(p - 1, 95) for p in [14] * 70 + [13] * 26])),
    "retrieval_landmarks": None,
    "image_text": 1 / 96,
    "anomaly": 1 / 2,
    "one_class": 1 / 2,
    "anomaly_levels": None,
    "centroid": 1 / 6,
    "calibration": float(np.log(6)),
    "compression": 1 / 6,
    "cluster": 0,
    "regress": None,
    "groups": None,
    "diagnostics": None,
    "long_tail": 1 / 6,
    "shift_distance": None,
    "triplets": 1 / 2,
    "incremental": float(np.mean([1 / k for k in range(1, 7)])),
}
"""Headline scores of features that are all equal, among 6 classes of 16 test images: a constant
prediction is right for one class in 6 (errors: wrong for 5), 5-way guesses for one in 5, a pair of
an image in distribution and one that is not is a tie, and so is every ranking. The shifted set has
6 of 30 images in each of 5 classes, and the 96 images 7 emoji. Of the 64 images that are corrupted,
a class has 10 or 11.
"""

DESCRIPTIONS = {
    "diagnostics": "descriptions need train features that differ",
    "shift_distance": "distances between sets need features that differ",
}
OF_GAUSSIANS = {
    "ood_detection": "train features that vary within a class",
    "anomaly": "normal train features that vary",
    "one_class": "normal train features that vary within each class",
    "anomaly_levels": "normal train features that vary",
}


@each_task_of_rows
def test_equal_features_score_chance_and_are_marked(task: TaskSpec) -> None:
    """All rows and texts are (0.1, ..., 0.8) / 3, which sums and means round."""
    row = np.arange(1, 9, dtype=np.float32) / np.float32(30)
    equal = changed(lambda rows: np.tile(row, (len(rows), 1)))
    solution = solve_task(task, dataset_of(task), needs_of(task), equal, [0], "cpu")
    result = solution.results[0]
    if task.name == "retrieval_whitened":
        reason = "whitening needs train features that differ; the 72 rows here are all equal"
        assert {score.undefined for score in solution.scores} == {reason}
        return
    expected = CHANCE[task.name]
    if expected is not None:
        assert solution.score.value == pytest.approx(expected)
    if task.name == "corruptions":
        assert solution.score.value in (53 / 64, 54 / 64)
    undefined = reasons(result) - reasons(result_of(task.name))
    if task.name in DESCRIPTIONS:
        assert undefined == {DESCRIPTIONS[task.name]}
    elif task.name in OF_GAUSSIANS:
        assert undefined == {f"Mahalanobis distances need {OF_GAUSSIANS[task.name]}"}
    else:
        assert not undefined
    assert any("features are equal" in caveat for caveat in result.caveats)
    assert list(result.caveats) == solution.details()[0]["caveats"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@each_task_of_rows
def test_features_that_are_not_finite_leave_every_score_undefined(
    task: TaskSpec, bad: float
) -> None:
    def spoiled(rows: Floats) -> Floats:
        rows = rows.copy()
        rows[3, 2] = bad
        return rows

    with pytest.raises(UndefinedError, match=r"the \w+ features hold NaN or infinity in 1 of \d+"):
        solve_changed(task, spoiled)
    solution = solve_task(task, dataset_of(task), needs_of(task), changed(spoiled), [0], "cpu")
    assert len(solution.scores) == len(task.metrics)
    (reason,) = {score.undefined for score in solution.scores}
    assert "features hold NaN or infinity in 1 of" in str(reason)
    assert all(score.value is None for score in solution.scores)
