"""A table of scores prints what ranks each task, and keeps every column."""

import pandas as pd

from bob.leaderboards import tidy
from bob.leaderboards.render.score_table import ScoreTable
from tests.builders.leaderboard_records import failed, record, task


def scores() -> ScoreTable:
    """Two tasks, one of which ranks by a metric of which less is better, and a failed cell."""
    risk = task("calibration", metrics=("ece",))
    return ScoreTable(
        tidy(
            [
                record("a", 0.25),
                record("b", 0.75),
                record("a", 0.01, task=risk),
                record("b", 0.02, task=risk),
                failed("c", "out of memory"),
            ]
        )
    )


def test_the_best_of_each_task_comes_first_and_a_cell_without_a_score_last() -> None:
    lines = str(scores()).splitlines()
    fields = [line.split() for line in lines[1:-1]]
    assert lines[0].split() == [
        *("backbone", "task", "dataset", "metric", "value", "low", "high", "n", "status")
    ]
    assert [(row[0], row[1]) for row in fields] == [
        ("a", "calibration"),
        ("b", "calibration"),
        ("b", "linear"),
        ("a", "linear"),
        ("c", "linear"),
    ]
    assert [row[4] for row in fields] == ["0.010", "0.020", "0.750", "0.250", "–"]
    assert fields[-1][-1] == "failed"
    assert lines[-1].startswith("5 of 5 scores, those that rank their tasks, and 9 of ")


def test_every_column_is_there_and_selections_are_ordinary_frames() -> None:
    table = scores()
    plain = tidy([record("a", 0.25)])
    assert {"params", "licence", "record_key", *plain.columns} <= {*table.columns}
    for frame in (table[:], table.head(2), table[["backbone", "value"]], table.copy()):
        assert type(frame) is pd.DataFrame
    assert "record_key" in table[:].to_string()


def test_html_is_as_short_and_an_empty_table_is_an_ordinary_one() -> None:
    html = scores()._repr_html_()
    assert html is not None and html.count("<tr") == 6 and "record_key" not in html
    empty = ScoreTable(tidy([]))
    assert str(empty).startswith("Empty")


def test_parts_of_a_task_are_not_printed() -> None:
    table = scores()
    table["facet_k"] = [float("nan"), 5.0, *[float("nan")] * (len(table) - 2)]
    assert len(table.headlines()) == len(table) - 1


def test_a_column_of_seeds_is_printed_where_there_are_several() -> None:
    table = scores()
    assert "seed" not in table.headlines().columns
    table["seed"] = range(len(table))
    assert "seed" in table.headlines().columns
