"""The registry of metrics."""

from collections.abc import Iterator

import pytest

import bob.metrics
from bob.errors import ConfigError
from bob.metrics import METRICS, Metric, metric_named, register
from bob.outcomes import ClassPredictions


def share_of_class_0(outcome: ClassPredictions) -> float:
    return float((outcome.predicted == 0).mean())


METRIC = Metric(
    share_of_class_0,
    ClassPredictions,
    interval="wilson",
    higher_is_better=True,
    summary="for this test",
)


@pytest.fixture
def registered() -> Iterator[Metric]:
    register(METRIC)
    yield METRIC
    del bob.metrics._registered[METRIC.name]


def test_a_registered_metric_is_found_by_its_name(registered: Metric) -> None:
    assert METRICS["share_of_class_0"] is metric_named("share_of_class_0") is registered


def test_registering_the_same_metric_twice_has_no_effect(registered: Metric) -> None:
    names = list(METRICS)
    register(registered)
    assert list(METRICS) == names


def test_the_name_of_another_metric_is_an_error() -> None:
    def top1(outcome: ClassPredictions) -> float:
        return 0.0

    other = Metric(
        top1, ClassPredictions, interval="wilson", higher_is_better=True, summary="for this test"
    )
    message = r"metric 'top1' of tests\..*: the name is already taken by .* bob\.metrics\.class"
    with pytest.raises(ConfigError, match=message):
        register(other)
    assert METRICS["top1"].function is not top1


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown metric 'top-1'; did you mean 'top1'\?"):
        metric_named("top-1")


def test_a_metric_without_what_its_interval_reads_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"'share_of_class_0': .* kind 'score' needs 'shares'"):
        Metric(
            share_of_class_0,
            ClassPredictions,
            interval="score",
            higher_is_better=True,
            summary="for this test",
        )


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_every_metric_is_documented(metric: Metric) -> None:
    assert metric.summary and metric.function.__doc__
    assert metric_named(metric.name) is metric
