"""`bob-bench fuse`: probes on the stored features of several backbones together."""

import csv
import json
from pathlib import Path

import pytest

from bob.errors import OK, USAGE
from tests.builders.photos import make_photos

TWO = "raw_pixels,channel_statistics"


@pytest.fixture
def stored(bob, tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    make_photos(photos, per_class=30, classes=2, side_px=8)
    code, _, err = bob("run", "--data", photos, "--backbones", TWO, "--tasks", "knn")
    assert code == OK, err
    return photos


def test_backbones_are_fused_and_the_gain_is_stated(bob, stored: Path) -> None:
    code, out, err = bob("fuse", TWO, "--data", stored, "--json")
    assert code == OK, err
    fusion = json.loads(out)
    assert set(fusion["backbones"]) == set(TWO.split(","))
    assert set(fusion["fusions"]) == {"average", "concatenation"}
    single = fusion["backbones"][fusion["best_single"]]["top1"]
    fused = fusion["fusions"][fusion["mode"]]["top1"]
    assert fusion["gain"]["value"] == pytest.approx(fused - single)
    code, out, _ = bob("fuse", TWO, "--data", stored)
    text = " ".join(out.split())
    assert code == OK and f"Gain of {fusion['mode']} over {fusion['best_single']}" in text
    assert "is ranked on no leaderboard" in text


def test_one_backbone_is_refused(bob, stored: Path) -> None:
    code, _, err = bob("fuse", "raw_pixels", "--data", stored)
    assert code == USAGE and "selects one backbone; name two or more" in err


def test_a_recorded_fusion_is_shown_with_summed_costs_and_no_verdict(
    bob, stored: Path, tmp_path: Path
) -> None:
    arguments = ("--data", stored)
    for _ in range(2):  # again, which writes the same record
        code, out, err = bob("fuse", TWO, *arguments, "--json", "--record")
        assert code == OK and "recorded: " in err
    fusion = json.loads(out)
    code, _, err = bob("run", *arguments, "--backbones", TWO, "--tasks", "linear")
    assert code == OK, err
    fused = " + ".join(fusion["backbones"])
    rows = list(csv.DictReader((tmp_path / "results/leaderboard.csv").read_text().splitlines()))
    of = {row["backbone"]: row for row in rows if row["metric"] == "top1"}
    assert of[fused]["family"] == "fused" and len(of) == 3
    assert float(of[fused]["value"]) == fusion["fusions"][fusion["mode"]]["top1"]
    assert of[fused]["fused"] == fused and of[fused]["verdict"] == ""
    singles = [of[name] for name in fusion["backbones"]]
    assert int(of[fused]["width"]) == sum(int(row["width"]) for row in singles)
    assert int(of[fused]["test"]) == int(singles[0]["test"])
    assert f"*{fused} (fused)*" in (tmp_path / "results/leaderboard.md").read_text()
