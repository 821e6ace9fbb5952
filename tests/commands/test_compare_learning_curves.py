"""`bob-bench compare` says whether more train images would turn the order of two backbones."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bob.metrics.learning_curve import data_efficiency
from bob.outcomes import LearningCurve
from bob.records.store import RecordStore
from tests.builders.leaderboard_records import dataset, record, score, task

Bob = Callable[..., tuple[int, str, str]]
IMAGES = 1000
WRONG = {"early": [110, 100, 90, 81], "late": [960, 480, 240, 120], "never": [980, 960, 940, 920]}
"""Wrong answers after training on 100, 200, 400 and 800 images."""


@pytest.fixture
def curves(tmp_path: Path) -> Path:
    """A results folder with the learning curves of three backbones."""
    results = tmp_path / "results"
    for name, wrong in WRONG.items():
        right = np.arange(IMAGES)[:, None] >= np.array(wrong)
        curve = LearningCurve(right, np.array([100, 200, 400, 800]))
        efficiency = score("data_efficiency", data_efficiency(curve), n=IMAGES)
        of_task = task("learning_curve", metrics=("data_efficiency", "top1"))
        stored = record(name, task=of_task, dataset=dataset("photos"), scores=(efficiency,))
        arrays = {f"0.{key}": values for key, values in curve.to_arrays().items()}
        RecordStore(results).write(stored, arrays)
    return results


def test_a_steeper_curve_is_said_to_overtake(curves: Path, bob: Bob) -> None:
    """early is right on 3.9 points more of the images; each doubling halves the errors of late."""
    code, out, _ = bob("compare", "early", "late", "--results", str(curves))
    assert code == 0
    text = " ".join(out.split())
    assert "10 times the 800 train images would likely turn the order: A - B is +3.9" in text


def test_an_order_that_stays_is_said_to(curves: Path, bob: Bob) -> None:
    code, out, _ = bob("compare", "early", "never", "--results", str(curves), "--json")
    assert code == 0
    (later,) = json.loads(out)["more_train_images"]
    assert (later["dataset"], later["verdict"]) == ("photos", "stays")
    assert later["now"] == pytest.approx(0.839) and 0 < later["low"] <= later["later"]


def test_a_plan_says_which_images_a_decision_needs(curves: Path, bob: Bob) -> None:
    flags = ("plan", "--separate", "early,late", "--results", str(curves))
    code, out, _ = bob(*flags)
    assert code == 0
    text = " ".join(out.split())
    assert "A: early; B: late" in text and "a power of 80 %" in text
    assert "10 times the 800 train images would likely turn the order" in text
    values = json.loads(bob(*flags, "--json")[1])
    assert [each["verdict"] for each in values["more_train_images"]] == ["turns"]
    assert [each["dataset"] for each in values["test_images"]] == ["photos"]


def test_two_different_backbones_are_separated(curves: Path, bob: Bob) -> None:
    with pytest.raises(SystemExit):
        bob("plan", "--separate", "early,early", "--results", str(curves))
    code, _, err = bob("plan", "--separate", "early,erly", "--results", str(curves))
    assert code == 2 and "erly" in err
