"""The grid of the page's cells: columns × backbones, column by column.

Column order keeps the values of one column contiguous.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bob.leaderboards.cells import BoardCell, BoardColumn
from bob.leaderboards.page.encode import float64s

STATUS = {"ok": "o", "failed": "f", "undefined": "u", "not_applicable": "a", "dropped": "d"}
"""Letter of each status; a dot stands for a cell without a record."""

CellGrid = Mapping[tuple[BoardColumn, str], BoardCell]
"""(Column, name of a backbone) → cell."""


def grid(columns: Sequence[BoardColumn], names: Sequence[str], cells: CellGrid) -> dict[str, Any]:
    """Return values, interval limits and status of all columns × backbones.

    `n` and `seeds` hold the most common number of each column; `exceptions` maps the index of
    every cell that differs from them to its (n, seeds).
    """
    placed = [cells.get((column, name)) for column in columns for name in names]
    common = [
        _most_common_counts([cells[column, name] for name in names if (column, name) in cells])
        for column in columns
    ]
    return {
        "value": float64s(cell.value if cell else None for cell in placed),
        "low": float64s(cell.low if cell else None for cell in placed),
        "high": float64s(cell.high if cell else None for cell in placed),
        "status": "".join(STATUS[cell.status] if cell else "." for cell in placed),
        "n": [n for n, _ in common],
        "seeds": [seeds for _, seeds in common],
        "exceptions": {
            str(index): counts for index, counts in _exceptions(placed, common, len(names))
        },
        "reasons": _reasons(placed),
    }


def _counts(cell: BoardCell) -> tuple[int, int]:
    return cell.n or 0, cell.seeds


def _most_common_counts(cells: Sequence[BoardCell]) -> tuple[int, int]:
    """Return the most common (n, seeds) of the cells that have a value; ties go to the smaller."""
    frequency = Counter(_counts(cell) for cell in cells if cell.value is not None)
    if not frequency:
        return 0, 0
    return min(frequency, key=lambda counts: (-frequency[counts], counts))


def _exceptions(
    placed: Sequence[BoardCell | None], common: Sequence[tuple[int, int]], width: int
) -> Iterator[tuple[int, tuple[int, int]]]:
    for index, cell in enumerate(placed):
        if cell and cell.value is not None and _counts(cell) != common[index // width]:
            yield index, _counts(cell)


def _reasons(placed: Sequence[BoardCell | None]) -> dict[str, Any]:
    """Return the distinct reasons for missing values, and which of them applies to each cell."""
    reasons = {
        index: cell.reason or "no reason given"
        for index, cell in enumerate(placed)
        if cell and cell.value is None
    }
    numbers = {text: number for number, text in enumerate(dict.fromkeys(reasons.values()))}
    return {
        "texts": list(numbers),
        "by_cell": {str(index): numbers[text] for index, text in reasons.items()},
    }
