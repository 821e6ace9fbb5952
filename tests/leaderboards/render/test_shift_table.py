"""One table shows each backbone on each test set, in distribution first."""

import io

from rich.console import Console

from bob.leaderboards.board import make_board
from bob.leaderboards.render.shift_table import shift_columns
from bob.leaderboards.render.terminal import MOST_SHIFT_TABLES, to_terminal
from bob.records.record import Record
from tests.builders.leaderboard_records import dataset, record, score, task


def shifted(name: str, test: float, google: float, poly: float) -> Record:
    scores = (
        score("shifted_top1", (google + poly) / 2),
        score("drop_google", test - google, facets={"shift": "google"}),
        score("top1_google", google, facets={"shift": "google"}),
        score("top1_test", test, facets={"shift": "test"}),
        score("top1_test_google", 0.5, facets={"shift": "test", "classes_of": "google"}),
        score("top1_poly", poly, facets={"shift": "poly"}),
    )
    facts = task("ood", metrics=("shifted_top1", "drop", "top1"))
    return record(name, task=facts, scores=scores)


def printed(records: list[Record]) -> list[list[str]]:
    board = make_board(records, lambda record: None)
    console = Console(file=io.StringIO(), width=100, color_system=None)
    for column in shift_columns("ood", board):
        console.print(column.table())
    text = console.file.getvalue().replace("┃", "│")  # type: ignore[attr-defined]
    lines = [line for line in text.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]


def test_values_and_intervals_of_each_test_set() -> None:
    head, *rows = printed([shifted("a", 0.9, 0.5, 0.6), shifted("b", 0.8, 0.7, 0.62)])
    assert head == ["backbone", "params (M)", "test", "google", "poly"]
    assert [row[0] for row in rows] == ["b", "a"]  # mean over the shifts: 66 % and 55 %
    assert rows[1][2:] == ["90.0 [88.0–92.0]", "50.0 [48.0–52.0]", "60.0 [58.0–62.0]"]


def test_the_best_rows_of_a_long_table_and_how_many_are_left_out() -> None:
    records = [shifted(name, 0.9, *means) for name, *means in ROWS]
    (column,) = shift_columns("ood", make_board(records))
    console = Console(file=io.StringIO(), width=100)
    console.print(column.table(most_rows=1))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "best" in text and "worse" not in text and "worst" not in text
    assert "Not shown: 2 more rows; leaderboard.csv has all." in text


ROWS = (("worse", 0.5, 0.6), ("best", 0.8, 0.7), ("worst", 0.2, 0.1))


def test_of_many_datasets_the_terminal_names_those_without_a_table() -> None:
    names = [f"set{i:02d}" for i in range(MOST_SHIFT_TABLES + 2)]
    records = [
        shifted("a", 0.9, 0.5, 0.6).model_copy(
            update={"dataset": dataset(name), "dataset_name": name}
        )
        for name in names
    ]
    console = Console(file=io.StringIO(), width=100)
    console.print(to_terminal(make_board(records)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("on each test set") == MOST_SHIFT_TABLES
    assert f"Not shown: ood on {names[-2]}, {names[-1]}; leaderboard.csv has all." in text


def test_tasks_without_shifts_have_no_such_table() -> None:
    assert printed([record("a", task=task("ood"))]) == []
