"""Descriptions of train features as a task: intervals, leave-outs, and that nothing is ranked."""

import numpy as np
import pytest

from bob.errors import UndefinedError
from bob.leaderboards.metric_traits import metric_traits
from bob.metrics.descriptions import METRICS, nearest_is_same
from bob.metrics.intervals import interval
from bob.outcomes import FeatureDiagnostics
from bob.protocols.diagnostics import (
    PROTOCOL,
    DescribedRows,
    DiagnosticsProblem,
    DiagnosticsSettings,
)
from tests.builders.protocols import BASELINE, make_inputs
from tests.builders.splits import digests, features_from, make_dataset, make_split

SETTINGS = DiagnosticsSettings(most_rows=500, parts=5)


def problem(n: int = 200, width: int = 40) -> DiagnosticsProblem:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 4
    rows = 2 * np.eye(4, width)[y] + rng.normal(size=(n, width))
    return DiagnosticsProblem(rows.astype(np.float32), y)


def test_every_description_has_a_value_and_an_interval() -> None:
    outcome = PROTOCOL.solve(problem(), SETTINGS, "cpu").outcome
    metrics = [metric for metric in METRICS if metric.outcome is FeatureDiagnostics]
    assert tuple(metric.name for metric in metrics) == FeatureDiagnostics.NAMES
    for metric in metrics:
        value, low, high, _ = interval(metric.name, outcome, 0)
        assert low is not None and high is not None and low < value < high, metric.name


def test_nearest_rows_are_those_of_all_pairs() -> None:
    data = problem()
    outcome = PROTOCOL.solve(data, SETTINGS, "cpu").outcome
    rows = data.x / np.linalg.norm(data.x, axis=1, keepdims=True)
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -2)
    assert nearest_is_same(outcome) == (data.y[cosines.argmax(1)] == data.y).mean()


def test_equal_rows_are_told_from_the_row_itself() -> None:
    data = problem(60)
    rows = np.repeat(data.x, 2, 0).astype(np.float64)
    doubled = DescribedRows.of(rows, np.repeat(data.y, 2)).values()
    assert doubled[FeatureDiagnostics.NAMES.index("nearest_is_same")] == 1
    assert np.isnan(doubled[FeatureDiagnostics.NAMES.index("intrinsic_dimension")])


@pytest.mark.parametrize(
    "x", [[[1.0, 2.0], [3.0, 1.0]], [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [2.0, 5.0]]]
)
def test_rows_that_leave_nothing_to_describe_without_one_have_no_limits(
    x: list[list[float]],
) -> None:
    """Two rows, or equal ones and another: all variance is in one direction."""
    data = DiagnosticsProblem(np.array(x, np.float32), np.arange(len(x)) % 2)
    outcome = PROTOCOL.solve(data, SETTINGS, "cpu").outcome
    value, *limits, _ = interval("participation_ratio", outcome, 0)
    assert value == pytest.approx(1) and limits == [None, None]


def test_nleep_needs_two_rows_per_component() -> None:
    """Four classes have 20 components; 39 rows are too few."""
    enough, few = (PROTOCOL.solve(problem(n, 6), SETTINGS, "cpu").outcome for n in (40, 39))
    assert interval("nleep", enough, 0)[0] < 0
    with pytest.raises(UndefinedError, match="nleep is undefined for these features"):
        interval("nleep", few, 0)


def test_nothing_is_ranked_by_a_description() -> None:
    for metric in METRICS:
        traits = metric_traits(metric.name)
        assert traits.describes and not traits.is_share
    assert not metric_traits("top1").describes


def test_rows_are_evenly_spaced() -> None:
    splits = {"train": make_split(digests(10), [0, 1] * 5)}
    dataset = make_dataset(splits)
    needs = PROTOCOL.needs(SETTINGS, dataset, BASELINE)
    rows = np.arange(20, dtype=np.float32).reshape(10, 2)
    settings = SETTINGS.model_copy(update={"most_rows": 4})
    inputs = make_inputs({"train": features_from(rows)})
    built = PROTOCOL.build(settings, dataset, needs, inputs, 0)
    assert built.x[:, 0].tolist() == [0, 6, 12, 18]


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="value must have shape"):
        FeatureDiagnostics(np.zeros(2), np.zeros((5, 2)))
