"""Records of several folders: the same key once, conflicts told and never averaged in."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bob.cli import main
from bob.leaderboard import cells
from bob.leaderboard.merge import merge
from bob.records.record import Record
from bob.records.store import RecordBook
from tests.builders.leaderboard_records import dataset, failed, record, score


def test_each_record_once_from_the_first_folder_that_has_it() -> None:
    both, only = record("a", 0.8), record("b", 0.7)
    again = both.model_copy(update={"provenance": {"created": "2027"}, "cost": None})
    merged = merge({"one": [both], "two": [again, only]})
    assert merged.records == (both, only) and merged.conflicts == ()
    assert list(merged.source.values()) == ["one", "two"]


def test_a_success_counts_before_a_failure() -> None:
    good = record("a", 0.8)
    lost = failed("a", key=good.key)
    merged = merge({"one": [lost], "two": [good]})
    assert (
        merged.records == (good,)
        and merged.conflicts == ()
        and list(merged.source.values()) == ["two"]
    )


def test_the_same_key_with_another_value_is_a_conflict() -> None:
    one, two = record("a", 0.8), record("a", 0.82)
    merged = merge({"one": [one], "two": [two]})
    assert merged.conflicts == (
        f"linear on elpv, a (key {one.key[:16]}): top1 is 0.8 in one and 0.82 in two",
    )
    (cell,) = cells(merged.records)
    assert (cell.status, cell.value) == ("undefined", None)
    assert cell.reason == f"conflict: {merged.conflicts[0]}"


@pytest.mark.parametrize(
    ("other", "conflict"),
    [(0.8 + 1e-9, False), (0.8 + 1e-4, True), (None, True)],
)
def test_rounding_is_no_conflict(other: float | None, conflict: bool) -> None:
    changed = record("a", scores=(score("top1", other, undefined=None if other else "why"),))
    assert bool(merge({"one": [record("a", 0.8)], "two": [changed]}).conflicts) == conflict


def test_a_score_that_one_lacks_is_a_conflict() -> None:
    one = record("a", scores=(score("top1", 0.8, 0), score("top1", 0.8, 1)))
    two = record("a", scores=(score("top1", 0.8, 0),))
    (text,) = merge({"one": [one], "two": [two]}).conflicts
    assert text.endswith("top1, seed 1, is 0.8 in one and missing in two")


def test_the_same_weights_under_two_names_are_two_rows() -> None:
    one = record("a", 0.8)
    two = record("b", 0.8, key=one.key)
    assert len(merge({"one": [one], "two": [two]}).records) == 2


def folder(path: Path, *records: Record) -> Path:
    for one in records:
        RecordBook(path).write(one, {})
    return path


def test_the_command_merges_folders(
    bob: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    one, two = (
        folder(tmp_path / "one", record("a", 0.8), record("b", 0.7)),
        folder(tmp_path / "two", record("c", 0.6)),
    )
    code, _, _ = bob("leaderboard", one, two)
    assert code == 0
    assert pd.read_csv(tmp_path / "results" / "ranking.csv")["backbone"].tolist() == ["a", "b", "c"]
    assert not (one / "leaderboard.csv").exists()


def test_a_single_folder_gets_its_own_files_unless_told_otherwise(
    bob: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    one = folder(tmp_path / "one", record("a"))
    assert bob("leaderboard", one)[0] == 0  # with --results
    assert (tmp_path / "results" / "leaderboard.csv").exists() and not (
        one / "leaderboard.csv"
    ).exists()
    assert main(["leaderboard", str(one)]) == 0 and (one / "leaderboard.csv").exists()


def test_files_of_several_folders_go_to_the_usual_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        main(
            [
                "leaderboard",
                str(folder(tmp_path / "one", record("a"))),
                str(folder(tmp_path / "two", record("b"))),
            ]
        )
        == 0
    )
    assert (tmp_path / "results" / "leaderboard.csv").exists()
    assert main(["leaderboard"]) == 2  # files alone are no records


def test_a_conflict_makes_the_exit_code_1(
    bob: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    one, two = (
        folder(tmp_path / "one", record("a", 0.8)),
        folder(tmp_path / "two", record("a", 0.9)),
    )
    code, out, err = bob("leaderboard", one, two)
    assert code == 1 and "top1 is 0.8 in" in err and "the cell shows no value" in err
    assert "undefined" in out
    row = pd.read_csv(tmp_path / "results" / "leaderboard.csv").iloc[0]
    assert pd.isna(row["value"]) and "conflict" in row["undefined"]


def test_a_folder_without_records_is_told(
    bob: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, _, err = bob("leaderboard", folder(tmp_path / "one", record("a")), tmp_path / "nothing")
    assert (
        code == 2
        and "nothing: holds no records; a results folder has them in its folder `records`" in err
    )
    assert bob("leaderboard")[0] == 2  # nor are there any of one's own


def test_names_longer_than_a_file_name_are_kept_apart(tmp_path: Path) -> None:
    """Names of 300 characters and of 300 letters of two bytes each, alike up to the last."""
    book = RecordBook(tmp_path)
    names = ["wide" * 75 + end for end in "ab"] + ["\u05e9" * 300]
    for name in names:
        key = sha256(name.encode()).hexdigest()
        book.write(record(name, key=key, dataset=dataset(name)), {"0.right": np.ones(3)})
        found = book.find("linear", name, name, key)
        assert (
            found is not None
            and found.backbone_name == name
            and book.arrays(found)["0.right"].tolist() == [1, 1, 1]
        )
        assert [one.key for one in book.of(dataset=name, backbone=name)] == [key]
    assert sorted(one.backbone_name for one in book.read_all()[0]) == sorted(names)
