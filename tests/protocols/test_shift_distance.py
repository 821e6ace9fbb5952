"""Distances of shifted sets: what is compared, intervals, and that nothing is ranked."""

from typing import Any

import numpy as np
import pytest

from bob.datasets.dataset import Shift
from bob.errors import NotApplicableError, UndefinedError
from bob.leaderboards.metric_traits import metric_traits
from bob.metrics import metric_named
from bob.metrics.intervals import interval
from bob.numerics.set_distances import frechet_distance, prdc
from bob.outcomes import ShiftDistances
from bob.protocols.shift_distance import (
    PROTOCOL,
    ShiftDistanceProblem,
    ShiftDistanceSettings,
)
from tests.builders.protocols import BASELINE, make_inputs
from tests.builders.splits import digests, features_from, make_dataset, make_split

SETTINGS = ShiftDistanceSettings(k=5, most_rows=500, parts=5)


def problem(**changes: Any) -> ShiftDistanceProblem:
    """Return sets of one distribution, and one that is shifted by 1 in every direction."""
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(n, 4)).astype(np.float32) for n in (120, 80, 60)]
    sets = {"train": rows[0], "test": rows[1], "shifts": {"far": rows[2] + 1, "near": rows[2]}}
    return ShiftDistanceProblem(**{**sets, **changes})


def values(part: Any) -> dict[str, float]:
    return {name: metric_named(name).function(part.outcome) for name in ShiftDistances.NAMES}


def test_sets_of_one_size_are_compared() -> None:
    """Of 120 train rows 60 are taken, evenly spaced: the definitions on these rows."""
    data = problem()
    result = PROTOCOL.solve(data, SETTINGS, "cpu")
    parts = {part.suffix: part for part in result.parts}
    assert set(parts) == {"", "far", "test_far", "near", "test_near"}
    train = data.train[np.linspace(0, 119, 60).astype(int)].astype(np.float64)
    shifted = data.shifts["far"].astype(np.float64)
    spread = np.trace(np.cov(train, rowvar=False))
    far = values(parts["far"])
    assert far["frechet_distance"] == pytest.approx(frechet_distance(train, shifted) / spread)
    of_prdc = [far[name] for name in ShiftDistances.NAMES[1:]]
    assert of_prdc == pytest.approx(prdc(train, shifted, 5))
    assert result.detail == {"rows": {"far": 60, "near": 60}}
    mean = np.mean([values(parts[name])["frechet_distance"] for name in ("far", "near")])
    assert values(parts[""])["frechet_distance"] == pytest.approx(mean)


def test_a_shift_is_farther_than_the_test_images() -> None:
    parts = {part.suffix: values(part) for part in PROTOCOL.solve(problem(), SETTINGS, "cpu").parts}
    assert parts["far"]["frechet_distance"] > 3 * parts["test_far"]["frechet_distance"]
    assert parts["far"]["prdc_precision"] < parts["test_far"]["prdc_precision"]
    assert parts["near"]["frechet_distance"] < 2 * parts["test_near"]["frechet_distance"]


def test_the_scale_of_features_does_not_matter() -> None:
    one = problem()
    other = ShiftDistanceProblem(
        64 * one.train, 64 * one.test, {name: 64 * x for name, x in one.shifts.items()}
    )
    first, second = (PROTOCOL.solve(data, SETTINGS, "cpu").outcome for data in (one, other))
    assert first.value == pytest.approx(second.value)


def test_every_distance_has_an_interval_and_ranks_nothing() -> None:
    outcome = PROTOCOL.solve(problem(), SETTINGS, "cpu").outcome
    for name in ShiftDistances.NAMES:
        value, low, high, _ = interval(name, outcome, 0)
        assert low is not None and high is not None and low <= value <= high
        assert metric_traits(name).describes and not metric_traits(name).is_share


def test_equal_features_and_few_rows_are_undefined() -> None:
    equal = PROTOCOL.solve(problem(train=np.ones((120, 4), np.float32)), SETTINGS, "cpu")
    assert equal.parts[0].undefined and equal.caveats
    few = problem(test=problem().test[:6])
    outcome = PROTOCOL.solve(few, SETTINGS, "cpu").outcome
    assert metric_named("prdc_recall").function(outcome) >= 0
    tiny = PROTOCOL.solve(problem(test=problem().test[:5]), SETTINGS, "cpu").outcome
    with pytest.raises(UndefinedError, match="prdc_recall is undefined for these features"):
        metric_named("prdc_recall").function(tiny)


def test_shifted_sets_are_needed_and_read() -> None:
    splits = {name: make_split(digests(8, name), [0, 1] * 4) for name in ("train", "test")}
    with pytest.raises(NotApplicableError, match="has no test set of the same classes"):
        PROTOCOL.needs(SETTINGS, make_dataset(splits), BASELINE)
    shifts = {
        "line": Shift(make_split(digests(4, "line"), [0, 1] * 2), "shift"),
        "other": Shift(make_split(digests(4, "other"), [-1] * 4), "near"),
    }
    data = make_dataset(splits, shifts=shifts)
    needs = PROTOCOL.needs(SETTINGS, data, BASELINE)
    assert [need.name for need in needs] == ["train", "test", "line"]
    rows = {
        name: np.full((4, 2), i, np.float32) for i, name in enumerate(("train", "test", "line"))
    }
    inputs = make_inputs({name: features_from(of_set) for name, of_set in rows.items()})
    built = PROTOCOL.build(SETTINGS, data, needs, inputs, 0)
    assert built.train[0, 0] == 0 and built.test[0, 0] == 1
    assert {name: x[0, 0] for name, x in built.shifts.items()} == {"line": 2}
