"""Similarities of features that the records allow to show, in a clustered order."""

from pathlib import Path

from bob.leaderboards.board import Board
from bob.leaderboards.gather import gather
from bob.leaderboards.similarities import clustered, similarity_matrices
from bob.records.similarities import keep_similarities
from bob.records.store import RecordStore
from tests.builders.leaderboard_records import dataset, facts, record
from tests.builders.similarities import similar_pair, similarities

FOUR = similarities(
    similar_pair("a", "b", 0.2),
    similar_pair("a", "c", 0.9),
    similar_pair("b", "d", 0.8),
    similar_pair("c", "d", None),
)


def test_alike_backbones_are_beside_each_other() -> None:
    """a with c at 0.9 and b with d at 0.8 are joined first; unknown pairs count as 0."""
    ((matrix,), notes) = similarity_matrices([FOUR], [record(name) for name in "abcd"])
    assert notes == []
    assert {frozenset(matrix.names[:2]), frozenset(matrix.names[2:])} == {
        frozenset("ac"),
        frozenset("bd"),
    }
    assert matrix.values("cka")[0] in (0.9, 0.8)
    assert sum(pair is None for pair in matrix.pairs) == 2  # a with d, and b with c
    assert clustered(["x", "y"], {}) == ["x", "y"]


def test_backbones_of_other_features_are_left_out_with_a_note() -> None:
    records = [record(name) for name in "abc"]
    stale = record("d", backbone=facts("d", weights_hash="newer"))
    ((matrix,), (note,)) = similarity_matrices([FOUR], [*records, stale])
    assert set(matrix.names) == set("abc")
    assert note.startswith("similarity on elpv, test: left out d, whose records are of other")


def test_other_images_are_left_out_with_a_note() -> None:
    records = [record(name, dataset=dataset(fingerprint="print-2")) for name in "abcd"]
    matrices, (note,) = similarity_matrices([FOUR], records)
    assert matrices == [] and "left out, as the records are of other images" in note


def test_backbones_and_datasets_without_records_are_left_out() -> None:
    """A single backbone has no pair."""
    for records in ([], [record("a")], [record(name, dataset=dataset("photos")) for name in "ab"]):
        assert similarity_matrices([FOUR], records) == ([], [])


def board_of(results: Path) -> Board:
    return gather([results]).board()


def test_a_results_folder_s_similarities_are_on_its_board(tmp_path: Path) -> None:
    for name in "ab":
        RecordStore(tmp_path).write(record(name), {})
    assert board_of(tmp_path).similarities == ()
    path = keep_similarities(tmp_path, similarities(similar_pair("a", "b", 0.5)))
    (matrix,) = board_of(tmp_path).similarities
    assert (matrix.names, matrix.values("cka")) == (("a", "b"), [0.5])
    path.write_text("damaged", encoding="utf-8")
    board = board_of(tmp_path)
    assert board.similarities == ()
    assert any(str(path) in note for note in board.notes)
