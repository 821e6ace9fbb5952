"""Metrics of few-shot curves, by hand and against scipy."""

import numpy as np
import pytest
from scipy import stats

from bob.errors import UndefinedError
from bob.metrics.fewshot import area_per_draw, few_shot_top1, label_efficiency, top1_per_draw
from bob.metrics.intervals import interval
from bob.outcomes import FewShotCurves


def test_metrics_by_hand() -> None:
    """Log-widths from 1 to 2 and from 2 to 8 shots are as 1 to 2, so that the area is
    (1 · (.2 + .4) / 2 + 2 · (.4 + .8) / 2) / 3 = 0.5, and 0.6 for the constant.
    """
    outcome = FewShotCurves(np.array([[0.2, 0.4, 0.8], [0.6, 0.6, 0.6]]), np.array([1, 2, 8]))
    assert area_per_draw(outcome) == pytest.approx([0.5, 0.6])
    assert label_efficiency(outcome) == pytest.approx(0.55)
    assert few_shot_top1(outcome.at(2)) == pytest.approx(0.5)
    assert top1_per_draw(outcome.take(np.array([1, 1, 0])).at(8)) == pytest.approx([0.6, 0.6, 0.8])


@pytest.mark.parametrize("seed", range(5))
def test_area_and_interval_agree_with_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shots = np.cumsum(rng.integers(1, 5, size=5))
    outcome = FewShotCurves(rng.random((10, 5)), shots)
    expected = [
        np.trapezoid(row, np.log(shots)) / np.log(shots[-1] / shots[0]) for row in outcome.top1
    ]
    assert area_per_draw(outcome) == pytest.approx(expected)
    value, low, high, kind = interval("label_efficiency", outcome, seed=0)
    assert (low, high) == pytest.approx(
        stats.t.interval(0.95, 9, np.mean(expected), stats.sem(expected))
    )
    assert value == pytest.approx(np.mean(expected)) and kind == "t"


def test_undefined_metrics_give_the_reason() -> None:
    curve = FewShotCurves(np.zeros((2, 2)), np.array([1, 2]))
    message = "few_shot_top1 needs an outcome at a single number of shots; this one has 2"
    with pytest.raises(UndefinedError, match=message):
        few_shot_top1(curve)
    with pytest.raises(
        UndefinedError, match="label_efficiency needs at least two numbers of shots"
    ):
        label_efficiency(curve.at(1))
    with pytest.raises(UndefinedError, match="there are no draws"):
        label_efficiency(curve.take(np.array([], int)))
