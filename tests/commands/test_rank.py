"""`bob-bench rank`: orders by descriptions, their agreement with the probe, and that they are none
of the leaderboard's.
"""

import json
from pathlib import Path

import pytest

from bob.errors import OK, USAGE
from bob.leaderboards.description_order import description_names
from bob.records.store import RecordStore
from tests.builders.leaderboard_records import record
from tests.leaderboards.test_description_agreement import described
from tests.leaderboards.test_description_agreement import records as agreeing


@pytest.fixture
def results(tmp_path: Path) -> None:
    """RankMe orders a, b, d, c, and the probe a, b, c, d; N-LEEP orders c, b, a and lacks d."""
    for each in (*agreeing(), described("pixels", 99.0, family="baseline")):
        RecordStore(tmp_path / "results").write(each, {})


@pytest.mark.usefixtures("results")
def test_every_order_is_printed_with_its_agreement(bob) -> None:
    code, out, err = bob("rank", "--by", "rankme,nleep")
    assert code == OK, err
    first, second = out.split("nleep on elpv")
    assert "rank_me on elpv" in first and "pixels" not in out
    places = [first.index(f" {name} ") for name in "abdc"]
    assert places == sorted(places)
    assert "Kendall's tau with top1 of linear over 4 backbones: 0.67." in first
    assert "over 3 backbones: -1.00." in second
    assert "A description is no result" in second


@pytest.mark.usefixtures("results")
def test_json_holds_values_and_what_was_measured(bob) -> None:
    code, out, err = bob("rank", "--by", "rank_me", "--json")
    assert code == OK, err
    (order,) = json.loads(out)
    assert [each["name"] for each in order["backbones"]] == ["a", "b", "d", "c"]
    assert [each["measured"] for each in order["backbones"]] == [0.9, 0.8, 0.6, 0.7]
    assert order["agreement"]["tau"] == pytest.approx(4 / 6)


def test_without_descriptions_the_task_is_named(bob, tmp_path: Path) -> None:
    RecordStore(tmp_path / "results").write(record("a"), {})
    code, _, err = bob("rank")
    assert code == USAGE
    assert "no backbone has log_me or h_score or nleep or rank_me; run the task diagnostics" in err


def test_names_need_no_separators_and_others_are_refused(bob) -> None:
    assert description_names("LogME, h-score,logme") == ["log_me", "h_score"]
    code, _, err = bob("rank", "--by", "logmee")
    assert code == USAGE
    assert "--by 'logmee' is no description of features; did you mean 'logme'?" in err


def test_two_backbones_have_an_order_and_no_agreement(bob, tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "results")
    for name in ("a", "b"):
        store.write(described(name, 1.0 + (name == "b")), {})
    code, out, err = bob("rank", "--by", "rankme")
    assert code == OK, err
    assert out.index(" b ") < out.index(" a ")
    assert "Its agreement with the probe needs 3 backbones" in " ".join(out.split())
