"""Records of any length make files of ordinary length; ordinary records are shown in full."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bob.leaderboards.abridge import short_list, short_mapping, short_text
from bob.leaderboards.write import write_leaderboard
from bob.records.record import Record
from tests.builders.leaderboard_records import dataset, facts, failed, record, score, task

MANY = 300_000
LONG: dict[str, Any] = {
    "a long list": {"path": [0.5] * MANY},
    "many entries": {f"key {i}": i for i in range(MANY)},
    "a long text": {"note": "x" * MANY},
    "a long name": {"x" * MANY: 1},
    "nested lists": {"steps": [{"c": [i] * 10} for i in range(MANY // 10)]},
    "one deep list": {"steps": [[["x" * MANY]]]},
}


def seeds_and_scores(details: dict[str, Any]) -> Record:
    """Return a record of 20 scores, in each of whose rows the details would be repeated."""
    scores = (score("top1", 0.5, 0), *(score(f"top1_k{k}", 0.5, 0) for k in range(1, 20)))
    return record("a", seeds=(0,), scores=scores, details=(details,))


@pytest.mark.parametrize("kind", LONG)
def test_long_details_are_shown_by_their_size(tmp_path: Path, kind: str) -> None:
    of_backbone = facts("a", geometry={"input_px": 224, **LONG[kind]})
    of_dataset = dataset(split_origin=LONG[kind], notes=("x" * MANY, *("y",) * MANY))
    records = [
        seeds_and_scores(LONG[kind]),
        record("b", dataset=of_dataset, backbone=of_backbone, task=task(name="x", **LONG[kind])),
        failed("c", "x" * MANY),
        record("d", scores=(score("top1", None, undefined="x" * MANY),)),
        failed("e", "x" * MANY, status="not_applicable"),
    ]
    sizes = {path.name: path.stat().st_size for path in write_leaderboard(records, tmp_path)}
    assert sizes["leaderboard.html"] < 350_000  # of which the scripts are 220,000
    assert sizes["leaderboard.md"] < 30_000
    assert sizes["leaderboard.csv"] < 4 * MANY + 100_000  # each reason once, details never


def test_what_is_left_out_is_counted() -> None:
    values = {"path": list(range(201)), "short": list(range(200)), "text": "x" * 201, "c": 0.5}
    assert short_mapping(values) == {
        "path": "201 entries",
        "short": list(range(200)),
        "text": "x" * 200 + "… (201 characters)",
        "c": 0.5,
    }
    many = short_mapping({str(i): i for i in range(53)})
    assert len(many) == 51 and many["..."] == "3 more entries"
    assert short_list(["a"] * 50) == ["a"] * 50 and short_list(["a"] * 52)[-1] == "2 more"
    assert short_text("x" * 2000) == "x" * 2000


def test_ordinary_details_are_shown_in_full(tmp_path: Path) -> None:
    details = {
        "c": 0.1,
        "converged": True,
        "grid": {"c": [10.0**i for i in range(45)], "top1": [0.5] * 45},
        "note": None,
    }
    write_leaderboard([seeds_and_scores(details)], tmp_path)
    chosen = pd.read_csv(tmp_path / "leaderboard.csv")["chosen"]
    assert len(chosen) == 20 and all(json.loads(text) == details for text in chosen)
