"""`bob-bench prerank`: an order in which to download backbones."""

import csv
import json
from pathlib import Path

import pytest

from bob.errors import OK, USAGE
from bob.records.store import RecordStore
from tests.builders.leaderboard_records import record

TABLE = """model,Birds,Cars,Pets,Food
resnet18.a1_in1k,30,27,24,21
resnet50.a1_in1k,40,36,32,28
resnet50.tv_in1k,50,45,40,35
resnet101.a1_in1k,80,72,64,56
convnext_tiny.fb_in1k,60,54,48,42
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of rank one, and records of three of its backbones with half its first column."""
    path = tmp_path / "paper.csv"
    path.write_text(TABLE, encoding="utf-8")
    for name, value in (
        ("resnet18_a1_in1k", 0.15),
        ("resnet50_a1_in1k", 0.2),
        ("resnet50_tv_in1k", 0.25),
    ):
        RecordStore(tmp_path / "results").write(record(name, value), {})
    return path


def test_the_order_is_printed_and_written(bob, table: Path, tmp_path: Path) -> None:
    code, out, err = bob("prerank", "--external", table, "--to", tmp_path / "order.csv")
    assert code == OK, err
    assert out.index("resnet101_a1_in1k") < out.index("convnext_tiny_in1k")
    assert "mean over the other columns" in out
    assert "only a run says which is best" in out
    with (tmp_path / "order.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["resnet101_a1_in1k", "convnext_tiny_in1k"]
    assert [float(row["value"]) for row in rows] == pytest.approx([0.4, 0.3], abs=1e-6)


def test_json_holds_the_order_and_its_errors(bob, table: Path) -> None:
    code, out, err = bob("prerank", "--external", table, "--tasks", "linear", "--json")
    assert code == OK, err
    result = json.loads(out)
    assert [each["name"] for each in result["order"]] == [
        "resnet101_a1_in1k",
        "convnext_tiny_in1k",
    ]
    assert [each["method"] for each in result["methods"]] == [
        "prediction",
        "mean over the other columns",
        "number of parameters",
    ]


def test_the_leaderboard_does_not_contain_predictions(bob, table: Path, tmp_path: Path) -> None:
    assert bob("prerank", "--external", table)[0] == OK
    assert bob("leaderboard")[0] == OK
    written = (tmp_path / "results" / "leaderboard.csv").read_text(encoding="utf-8")
    assert "resnet50_tv_in1k" in written
    assert "resnet101" not in written


def test_too_few_records_are_an_error(bob, table: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "results" / "records").rglob("resnet18*.json"):
        path.unlink()
    code, _, err = bob("prerank", "--external", table)
    assert code == USAGE
    assert "scores of at least 3 backbones of the tables are needed; the records have 2" in err
    assert "resnet18_a1_in1k" in err
