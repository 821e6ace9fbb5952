"""Tables of the terminal: no line is wider than the terminal, and no number is cut."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from bob.leaderboards.render.fitted_table import (
    CellText,
    FittedTable,
    Layout,
    RowText,
    _cell,
    _cell_width,
    wrapped,
)


def table(rows: int, datasets: int) -> FittedTable:
    """Return a table whose values are all different."""
    return FittedTable(
        title="linear: top1",
        legend="",
        headings=tuple(f"dataset_number_{i}_of_many" for i in range(datasets)),
        rows=tuple(
            RowText(
                name=f"vit_base_patch16_{row}.augreg_in21k_ft_in1k",
                kind="(baseline)" if row == 0 else "",
                about="86.6",
                cells=tuple(
                    CellText(f"{10 + row}.{i}", f"[{row}.1–{row}.9]", "≈") for i in range(datasets)
                ),
                mean=f"{50 + row}.5",
            )
            for row in range(rows)
        ),
        more_rows=0,
        has_mean=datasets > 1,
    )


def printed(content: FittedTable, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(content)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 80, 120, 250])
@pytest.mark.parametrize("datasets", [1, 3, 40])
def test_every_line_fits_and_every_number_is_whole(width: int, datasets: int) -> None:
    lines = printed(table(7, datasets), width)
    assert max(map(len, lines)) <= width
    cells = [re.split("[┃│]", line)[1:-1] for line in lines if line[:1] == "│"]
    values = {match for row in cells for cell in row[1:] for match in re.findall(r"\d+\.\d+", cell)}
    expected = {f"{10 + row}.{i}" for row in range(7) for i in range(datasets)}
    # first values of every row are there, and nothing that is no value, limit, mean or parameter
    assert {f"{10 + row}.0" for row in range(7)} <= values
    limits = {f"{row}.{digit}" for row in range(7) for digit in (1, 9)}
    assert values <= expected | limits | {f"{50 + row}.5" for row in range(7)} | {"86.6"}


@pytest.mark.parametrize("layout", [Layout(1), Layout(1, stacked=True), Layout(1, intervals=False)])
@pytest.mark.parametrize("value", ["9.5", "n/a", "漢字"])
@pytest.mark.parametrize("interval", ["", "[9.0–10.0]"])
@pytest.mark.parametrize("mark", ["", "≈"])
def test_a_cell_is_as_wide_as_its_widest_line(
    layout: Layout, value: str, interval: str, mark: str
) -> None:
    cell = CellText(value, interval, mark)
    assert _cell_width(cell, layout) == max(map(cell_len, _cell(cell, layout).plain.split("\n")))


def test_what_is_dropped_is_named_below_the_table() -> None:
    lines = " ".join(" ".join(printed(table(3, 40), 80)).split())
    assert "Not shown: parameters, confidence intervals, " in lines
    assert re.search(r"\d+ datasets \(dataset_number_\d+_of_many", lines)
    assert "leaderboard.md has all" in lines


def test_a_wide_terminal_drops_nothing() -> None:
    lines = " ".join(printed(table(3, 2), 200))
    assert "Not shown" not in lines and "[2.1–2.9]" in lines and "86.6" in lines


def test_names_are_wrapped_after_separators() -> None:
    assert wrapped("vit_base_patch16.augreg", 10).split("\n") == ["vit_base_", "patch16.", "augreg"]
