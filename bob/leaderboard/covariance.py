"""How the cells of a small sweep would move together over other test images: for tie groups that the page finds under its reader's limits."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bob.leaderboard.cells import Cell, Column
from bob.leaderboard.per_example import Evidence, is_rival
from bob.leaderboard.ranking import ENOUGH_DATASETS
from bob.statistics.aggregate import Floats

MOST_NUMBERS = 60_000
"""Entries that a page may carry, 320 KB as text; 70 backbones on 3 tasks of one dataset need 44,100."""


@dataclass(frozen=True)
class Covariance:
    """Of the cells of one dataset whose scores are means over the same examples."""

    cells: tuple[tuple[Column, str], ...]
    """Column and backbone, K of them."""
    values: Floats
    """(K, K) covariance of their scores over resampled examples."""


def covariances(cells: Iterable[Cell], evidence: Evidence) -> dict[str, Covariance]:
    """By dataset. Empty where there are enough datasets to resample those instead, where nothing has evidence, or where it would be too much."""
    held = _ranked(cells)
    needed = sum(len(own) ** 2 for own in held.values())
    if not 0 < len(held) < ENOUGH_DATASETS or needed > MOST_NUMBERS:
        return {}
    found = {dataset: _covariance(own, evidence) for dataset, own in held.items()}
    return {dataset: one for dataset, one in found.items() if one is not None}


def _ranked(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    held: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.value is not None and cell.record.external is None and is_rival(cell.record):
            held[cell.column.dataset].append(cell)
    return dict(sorted(held.items()))


def _covariance(cells: Iterable[Cell], evidence: Evidence) -> Covariance | None:
    """Over the largest group of cells with equally many examples: a dataset's tasks are scored on the same images in the same order."""
    groups: Mapping[int, dict[tuple[Column, str], Floats]] = defaultdict(dict)
    for cell in cells:
        if (values := evidence(cell.record)) is not None and len(values) > 1:
            groups[len(values)][cell.column, cell.record.backbone_name] = values
    if not groups:
        return None
    own = max(groups.values(), key=len)
    stacked = np.stack(list(own.values()))
    return Covariance(tuple(own), np.atleast_2d(np.cov(stacked)) / stacked.shape[1])
