"""The cells of the page: one place per column and backbone, column by column, so that a column's values lie together."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bob.leaderboard.cells import Cell, Column
from bob.leaderboard.page.encode import float64s

STATUS = {"ok": "o", "failed": "f", "undefined": "u", "not_applicable": "a"}
"""One letter per cell; a dot where there is no record."""

Held = Mapping[tuple[Column, str], Cell]


def grid(columns: Sequence[Column], names: Sequence[str], held: Held) -> dict[str, Any]:
    """Values, limits and states of every column × backbone; `n` and `seeds` hold each column's usual number, `odd` the cells that differ from it."""
    places = [held.get((column, name)) for column in columns for name in names]
    usual = [
        _usual([held[column, name] for name in names if (column, name) in held])
        for column in columns
    ]
    return {
        "value": float64s(cell.value if cell else None for cell in places),
        "low": float64s(cell.low if cell else None for cell in places),
        "high": float64s(cell.high if cell else None for cell in places),
        "status": "".join(STATUS[cell.status] if cell else "." for cell in places),
        "n": [n for n, _ in usual],
        "seeds": [seeds for _, seeds in usual],
        "odd": {str(place): counts for place, counts in _odd(places, usual, len(names))},
        "reasons": _reasons(places),
    }


def _counts(cell: Cell) -> tuple[int, int]:
    return cell.n or 0, cell.seeds


def _usual(cells: Sequence[Cell]) -> tuple[int, int]:
    """The commonest (n, seeds) of a column's cells that have a value."""
    found = Counter(_counts(cell) for cell in cells if cell.value is not None)
    return min(found, key=lambda counts: (-found[counts], counts)) if found else (0, 0)


def _odd(
    places: Sequence[Cell | None], usual: Sequence[tuple[int, int]], width: int
) -> Iterator[tuple[int, tuple[int, int]]]:
    for place, cell in enumerate(places):
        if cell and cell.value is not None and _counts(cell) != usual[place // width]:
            yield place, _counts(cell)


def _reasons(places: Sequence[Cell | None]) -> dict[str, Any]:
    """Why cells have no value: each text once, and which of them each such cell has."""
    said = {
        place: cell.reason or "no reason given"
        for place, cell in enumerate(places)
        if cell and cell.value is None
    }
    texts = {text: index for index, text in enumerate(dict.fromkeys(said.values()))}
    return {"texts": list(texts), "of": {str(place): texts[text] for place, text in said.items()}}
