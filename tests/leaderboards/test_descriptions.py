"""Descriptions of features are shown in every table, and nothing is ranked by them."""

from pathlib import Path

from bob.leaderboards import make_board, to_markdown, write_leaderboard
from bob.leaderboards.cells import BoardColumn
from bob.leaderboards.render.latex import to_latex
from bob.leaderboards.render.tidy_table import tidy
from bob.records.record import Record
from tests.builders.leaderboard_records import record, score, task

DESCRIPTIONS = BoardColumn("diagnostics", "elpv")


def described(name: str, rank: float) -> Record:
    return record(
        name,
        task=task("diagnostics", metrics=("rank_me",)),
        scores=(score("rank_me", rank, low=rank - 1, high=rank + 1),),
    )


def records() -> list[Record]:
    return [
        *(record(name, value) for name, value in (("a", 0.9), ("b", 0.8))),
        *(described(name, value) for name, value in (("a", 100.0), ("b", 200.0))),
    ]


def test_descriptions_are_left_out_of_the_ranking() -> None:
    board = make_board(records())
    assert board.overall.settings == (BoardColumn("linear", "elpv"),)
    assert board.overall.pool[0] == "a"
    assert "describes features" in board.overall.excluded_settings[DESCRIPTIONS]
    assert not board.by_task["diagnostics"].standings
    assert board.verdicts[DESCRIPTIONS].best is None


def test_descriptions_are_in_every_table_and_none_is_best(tmp_path: Path) -> None:
    board = make_board(records())
    markdown, latex = to_markdown(board), to_latex(board)
    assert "200.000" in markdown and "**200" not in markdown
    assert "200.000" in latex and r"\textbf{200" not in latex
    assert set(tidy(board)["metric"]) == {"top1", "rank_me"}
    write_leaderboard(records(), tmp_path)
    assert "rank_me" in (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
