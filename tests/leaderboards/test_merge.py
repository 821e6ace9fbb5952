"""Merging of folders: each record once, conflicts reported and never averaged."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bob.cli import main
from bob.leaderboards import board_cells
from bob.leaderboards.merge import merge
from bob.records.record import Record
from bob.records.store import RecordStore
from tests.builders.leaderboard_records import dataset, failed, record, score

Bob = Callable[..., tuple[int, str, str]]


def test_each_record_is_taken_once_from_the_first_folder() -> None:
    shared, single = record("a", 0.8), record("b", 0.7)
    copy = shared.model_copy(update={"provenance": {"created": "2027"}, "cost": None})
    merged = merge({"one": [shared], "two": [copy, single]})
    assert merged.records == (shared, single)
    assert merged.conflicts == ()
    assert list(merged.source.values()) == ["one", "two"]


def test_a_success_takes_precedence_over_a_failure() -> None:
    success = record("a", 0.8)
    failure = failed("a", key=success.key)
    merged = merge({"one": [failure], "two": [success]})
    assert merged.records == (success,)
    assert merged.conflicts == ()
    assert list(merged.source.values()) == ["two"]


def test_the_same_key_with_another_value_is_a_conflict() -> None:
    first, second = record("a", 0.8), record("a", 0.82)
    merged = merge({"one": [first], "two": [second]})
    assert merged.conflicts == (
        f"linear on elpv, a (key {first.key[:16]}): top1 is 0.8 in one and 0.82 in two",
    )
    (cell,) = board_cells(merged.records)
    assert (cell.status, cell.value) == ("undefined", None)
    assert cell.reason == f"conflict: {merged.conflicts[0]}"


@pytest.mark.parametrize(
    ("other", "conflict"),
    [(0.8 + 1e-9, False), (0.8 + 1e-4, True), (None, True)],
)
def test_rounding_errors_are_not_a_conflict(other: float | None, conflict: bool) -> None:
    changed = record("a", scores=(score("top1", other, undefined=None if other else "why"),))
    assert bool(merge({"one": [record("a", 0.8)], "two": [changed]}).conflicts) == conflict


def test_a_score_missing_from_one_record_is_a_conflict() -> None:
    first = record("a", scores=(score("top1", 0.8, 0), score("top1", 0.8, 1)))
    second = record("a", scores=(score("top1", 0.8, 0),))
    (message,) = merge({"one": [first], "two": [second]}).conflicts
    assert message.endswith("top1, seed 1, is 0.8 in one and missing in two")


def test_the_same_weights_under_two_names_are_two_rows() -> None:
    first = record("a", 0.8)
    second = record("b", 0.8, key=first.key)
    assert len(merge({"one": [first], "two": [second]}).records) == 2


def results_folder(path: Path, *records: Record) -> Path:
    for stored in records:
        RecordStore(path).write(stored, {})
    return path


def test_the_command_merges_folders(bob: Bob, tmp_path: Path) -> None:
    one = results_folder(tmp_path / "one", record("a", 0.8), record("b", 0.7))
    two = results_folder(tmp_path / "two", record("c", 0.6))
    assert bob("leaderboard", one, two)[0] == 0
    ranking = pd.read_csv(tmp_path / "results" / "ranking.csv")
    assert ranking["backbone"].tolist() == ["a", "b", "c"]
    assert not (one / "leaderboard.csv").exists()


def test_files_of_a_single_folder_go_into_it_unless_results_is_given(
    bob: Bob, tmp_path: Path
) -> None:
    one = results_folder(tmp_path / "one", record("a"))
    assert bob("leaderboard", one)[0] == 0  # the fixture passes --results
    assert (tmp_path / "results" / "leaderboard.csv").exists()
    assert not (one / "leaderboard.csv").exists()
    assert main(["leaderboard", str(one)]) == 0
    assert (one / "leaderboard.csv").exists()


def test_files_of_several_folders_go_to_the_default_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = results_folder(tmp_path / "one", record("a"))
    two = results_folder(tmp_path / "two", record("b"))
    assert main(["leaderboard", str(one), str(two)]) == 0
    assert (tmp_path / "results" / "leaderboard.csv").exists()
    assert main(["leaderboard"]) == 2  # the default folder has files but no records


def test_a_conflict_sets_the_exit_code_to_1(bob: Bob, tmp_path: Path) -> None:
    one = results_folder(tmp_path / "one", record("a", 0.8))
    two = results_folder(tmp_path / "two", record("a", 0.9))
    code, out, err = bob("leaderboard", one, two)
    assert code == 1
    assert "top1 is 0.8 in" in err
    assert "the cell shows no value" in err
    assert "undefined" in out
    row = pd.read_csv(tmp_path / "results" / "leaderboard.csv").iloc[0]
    assert pd.isna(row["value"])
    assert "conflict" in row["undefined"]


def test_a_folder_without_records_is_an_error(bob: Bob, tmp_path: Path) -> None:
    one = results_folder(tmp_path / "one", record("a"))
    code, _, err = bob("leaderboard", one, tmp_path / "nothing")
    assert code == 2
    assert "nothing: no records; a results folder has them in its subfolder `records`" in err
    assert bob("leaderboard")[0] == 2


def test_names_longer_than_a_file_name_are_kept_apart(tmp_path: Path) -> None:
    """Names of 301 characters that differ in the last one, and one of 300 two-byte letters."""
    store = RecordStore(tmp_path)
    names = ["wide" * 75 + end for end in "ab"] + ["\u05e9" * 300]
    for name in names:
        key = sha256(name.encode()).hexdigest()
        store.write(record(name, key=key, dataset=dataset(name)), {"0.right": np.ones(3)})
        stored = store.find("linear", name, name, key)
        assert stored is not None
        assert stored.backbone_name == name
        assert store.arrays(stored)["0.right"].tolist() == [1, 1, 1]
        selected = store.select(dataset=name, backbone=name)
        assert [selected_record.key for selected_record in selected] == [key]
    records, _ = store.read_all()
    assert sorted(stored.backbone_name for stored in records) == sorted(names)
