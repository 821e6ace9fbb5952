"""Estimates of plans: by hand, and by the measured speed of the fastest runtime."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bob.backbones.card_data import Card
from bob.engine import estimate as module
from bob.engine.estimate import Estimate, estimate, statistics_bytes
from bob.engine.work import DECODE_SECONDS, PROBE_SECONDS
from bob.extraction.runtimes.choices import Choice, ChoiceFile
from bob.plan import Cell, Forward, Pass, Plan, Workspace
from bob.plan.request import Machine, Places, RunSettings
from tests.builders.protocols import BASELINE

IMAGES, EAGER_SECONDS = 100, 0.1
CARD = Card(
    weights_hash="w",
    forward={},
    geometry={},
    normalisation={},
    precision="float32",
    shape=(3,),
    params=0,
    gflops=None,
    weights_mib=0.0,
    peak_mib=None,
    seconds_per_image=EAGER_SECONDS,
    device="cpu",
)
AUTO = Machine(runtime="auto", offline=True)
OPENVINO = Choice("openvino", 4, 0.02)


def make_plan() -> Plan:
    """Return a plan of one cell, for which 100 images lack features of one output."""
    forward = Forward(backbone="raw_pixels", outputs={"default": "digest"})
    return Plan(
        settings=RunSettings(fresh=True),
        backbones={"raw_pixels": BASELINE},
        tasks={},
        datasets={},
        passes=(
            Pass(
                dataset="d",
                images={"split": "train"},
                split="train",
                fingerprint="f",
                count=IMAGES,
                forwards=(forward,),
            ),
        ),
        cells=(Cell(backbone="raw_pixels", task="knn", dataset="d", key="k"),),
    )


def estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remembered: Choice | None, machine: Machine
) -> Estimate:
    """Estimate the plan for a backbone of 3 features that takes eager PyTorch 0.1 s per image.

    Without a remembered choice, runtimes are expected to take a fifth less than eager PyTorch.
    """
    monkeypatch.setattr(ChoiceFile, "load", lambda self: remembered)
    monkeypatch.setattr(module, "expected_seconds", lambda eager, *_: 0.8 * eager)
    monkeypatch.setattr(Workspace, "card", lambda self, spec: CARD)
    plan = make_plan()
    workspace = Workspace(Places(tmp_path, tmp_path), plan.settings, machine, {})
    return estimate(plan, workspace)


def test_an_estimate_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers decode 100 images, a runtime embeds them at 0.02 s each, and one cell is scored.

    3 float32 values per image take 12 bytes.
    """
    forecast = estimated(tmp_path, monkeypatch, OPENVINO, replace(AUTO, workers=2))
    assert (forecast.rows, forecast.work.decoded) == (IMAGES, IMAGES)
    assert forecast.work.seconds == pytest.approx(
        PROBE_SECONDS + IMAGES * (DECODE_SECONDS / 2 + 0.02)
    )
    assert forecast.disk_bytes == IMAGES * 12


@pytest.mark.parametrize(
    ("remembered", "changes", "expected"),
    [
        (OPENVINO, {"runtime": "auto"}, 2.0),
        (OPENVINO, {"runtime": "openvino"}, 2.0),
        (OPENVINO, {"runtime": "onnxruntime"}, 8.0),
        (OPENVINO, {"runtime": "eager"}, 8.0),
        (None, {"runtime": "auto"}, 8.0),
        (OPENVINO, {"runtime": "auto", "devices": ("cpu", "cpu")}, 1.0),
    ],
)
def test_the_speed_of_the_fastest_runtime_counts_where_that_runtime_is_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    remembered: Choice | None,
    changes: dict[str, object],
    expected: float,
) -> None:
    machine = replace(AUTO, **changes)  # type: ignore[arg-type]
    seconds = estimated(tmp_path, monkeypatch, remembered, machine).work.seconds
    assert seconds - PROBE_SECONDS - IMAGES * DECODE_SECONDS == pytest.approx(expected)


def test_statistics_count_as_sums_and_as_a_row_for_each_image() -> None:
    """Sums have their full size when they are empty; arrays without rows grow with the images."""
    empty = {
        "gram": np.zeros((4, 4)),
        "grid": np.zeros(2, np.int64),
        "counts": np.zeros((0, 3, 5), np.int64),
        "positions": np.zeros(0, np.int64),
    }
    # 16 + 2 values of 8 bytes in each of 2 shards; 15 + 1 values of 8 bytes for each of 100 images
    assert statistics_bytes(empty, shards=2, images=100) == 2 * 18 * 8 + 100 * 16 * 8
