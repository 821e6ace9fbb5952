"""Anomalies at several depths: distances against scikit-learn, laws, and which layers are read."""

from collections.abc import Mapping

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from bob.errors import NotApplicableError, UndefinedError
from bob.metrics.ood_detection import auroc
from bob.numerics.arrays import Floats
from bob.outcomes import OodScores
from bob.protocols import FeatureNeed
from bob.protocols.anomaly_levels import (
    PROTOCOL,
    AnomalyLevelsProblem,
    AnomalyLevelsSettings,
    Level,
)
from bob.protocols.protocol import Result, ResultPart
from tests.builders.protocols import BASELINE, TWO_TOWERS, make_inputs
from tests.builders.splits import features_from, make_dataset, make_split

SETTINGS = AnomalyLevelsSettings(levels=3)
INSIDE = np.arange(40) < 25


def make_problem(widths: tuple[int, ...] = (6, 50)) -> AnomalyLevelsProblem:
    """Return 30 normal train rows and 40 test rows at each layer; the last 15 are anomalies."""
    rng = np.random.default_rng(0)
    levels = {}
    for i, width in enumerate(widths):
        spread = rng.normal(size=(width, width))
        normal, test = rng.normal(size=(30, width)) @ spread, rng.normal(size=(40, width)) @ spread
        test[~INSIDE] += rng.normal(size=width) * np.sqrt(width)
        levels[-1 - i] = Level(normal.astype(np.float32), test.astype(np.float32))
    return AnomalyLevelsProblem(levels, INSIDE, ("fine",))


def parts_of(problem: AnomalyLevelsProblem) -> dict[str, ResultPart]:
    return {part.suffix: part for part in PROTOCOL.solve(problem, SETTINGS, "cpu").parts}


def score(part: ResultPart) -> np.ndarray:
    assert isinstance(part.outcome, OodScores)
    return part.outcome.score


def test_distances_are_those_of_scikit_learn_and_averaged_without_squares() -> None:
    """One layer has more rows than features, one fewer."""
    problem = make_problem()
    expected = {
        layer: np.sqrt(
            LedoitWolf()
            .fit(level.normal_x.astype(np.float64))
            .mahalanobis(level.test_x.astype(np.float64))
        )
        for layer, level in problem.levels.items()
    }
    parts = parts_of(problem)
    assert set(parts) == {"", "layer-1", "layer-2"}
    for layer, distance in expected.items():
        assert score(parts[f"layer{layer}"]) == pytest.approx(-distance, rel=1e-5)
        assert parts[f"layer{layer}"].facets == {"layer": layer}
    total = (expected[-1] + expected[-2]) / 2
    assert score(parts[""]) == pytest.approx(-total, rel=1e-5)
    outcome = parts[""].outcome
    assert isinstance(outcome, OodScores)
    assert auroc(outcome) == pytest.approx(roc_auc_score(~INSIDE, total))


def changed(problem: AnomalyLevelsProblem, change: Mapping[int, Floats]) -> AnomalyLevelsProblem:
    levels = {
        layer: Level(
            np.asarray(level.normal_x @ change[layer], np.float32),
            np.asarray(level.test_x @ change[layer], np.float32),
        )
        for layer, level in problem.levels.items()
    }
    return AnomalyLevelsProblem(levels, problem.inside, problem.normal)


def test_no_layer_s_scale_or_rotation_decides() -> None:
    problem = make_problem()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    other = changed(problem, {-1: 1000 * turn, -2: 0.01 * np.eye(50)})
    assert score(parts_of(other)[""]) == pytest.approx(score(parts_of(problem)[""]), rel=1e-3)


def test_a_layer_whose_rows_do_not_vary_does_not_count() -> None:
    problem = make_problem()
    equal = Level(np.ones((30, 4), np.float32), np.ones((40, 4), np.float32))
    levels = {-1: problem.levels[-1], -2: equal}
    parts = parts_of(AnomalyLevelsProblem(levels, INSIDE, ("fine",)))
    assert np.array_equal(score(parts[""]), score(parts["layer-1"]))
    assert (
        parts["layer-2"].undefined == "Mahalanobis distances need normal train features that vary"
    )
    only = parts_of(AnomalyLevelsProblem({-1: equal}, INSIDE, ("fine",)))
    assert only[""].outcome is None and only[""].undefined is not None


def solved(available: int) -> tuple[list[FeatureNeed], Result]:
    """Return the needs of a backbone with so many layers, and the result.

    Train and test hold a normal class and another one; rows are 0 and 1 for layer -1, and so on.
    """
    splits = {
        name: make_split([f"{name}{i}" for i in range(6)], [0, 0, 0, 0, 1, 1])
        for name in ("train", "test")
    }
    data = make_dataset(splits, normal=(0,))
    needs = [n for n in PROTOCOL.needs(SETTINGS, data, BASELINE) if isinstance(n, FeatureNeed)]
    read = needs[: 2 * available]
    rows = np.array([[0.0], [1], [2], [3], [9], [8]], np.float32)
    inputs = make_inputs({name: features_from(rows) for name in ("train", "test")})
    return needs, PROTOCOL.solve(PROTOCOL.build(SETTINGS, data, read, inputs, 0), SETTINGS, "cpu")


def test_layers_count_from_the_last_and_only_that_one_is_required() -> None:
    needs, result = solved(available=2)
    outputs = [(str(need.backbone.output), need.name, need.optional) for need in needs]
    assert outputs == [
        ("mean_patch@-1", "train", False),
        ("mean_patch@-1", "test", False),
        ("mean_patch@-2", "train", True),
        ("mean_patch@-2", "test", True),
        ("mean_patch@-3", "train", True),
        ("mean_patch@-3", "test", True),
    ]
    assert result.detail["layers"] == [-1, -2]
    assert result.detail["normal_train_images"] == 4
    assert auroc(result.outcome) == 1


def test_what_is_normal_and_single_layers_must_be_readable() -> None:
    splits = {name: make_split("abcd", [0, 0, 1, 1]) for name in ("train", "test")}
    with pytest.raises(NotApplicableError, match="needs to know what is normal"):
        PROTOCOL.needs(SETTINGS, make_dataset(splits), BASELINE)
    declared = make_dataset(splits, normal=(0,))
    with pytest.raises(NotApplicableError, match="needs single layers; backbone 'mine': loader"):
        PROTOCOL.needs(SETTINGS, declared, TWO_TOWERS)
    none = {-1: Level(np.empty((0, 2), np.float32), np.ones((2, 2), np.float32))}
    with pytest.raises(UndefinedError, match="none of the normal train images could be read"):
        PROTOCOL.solve(AnomalyLevelsProblem(none, INSIDE[:2], ("a",)), SETTINGS, "cpu")
