"""Covariance between the cells of a small sweep over other test images.

The page computes tie groups from it under limits that its reader sets.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bob.leaderboards.cells import BoardCell, BoardColumn, is_baseline
from bob.leaderboards.per_example import PerExample
from bob.leaderboards.ranking import MIN_DATASETS
from bob.numerics.arrays import Doubles

MAX_COVARIANCES = 60_000
"""Largest number of entries in a page, 320 KB as text; 70 backbones on 3 tasks of one dataset need
44,100."""


@dataclass(frozen=True)
class ScoreCovariance:
    """Covariance of the scores of one dataset's cells that are means over the same examples."""

    cells: tuple[tuple[BoardColumn, str], ...]
    """(K,) column and backbone."""
    values: Doubles
    """(K, K) covariance over resampled examples."""


def covariances(cells: Iterable[BoardCell], per_example: PerExample) -> dict[str, ScoreCovariance]:
    """Return the covariances by dataset.

    Empty if there are enough datasets to resample those instead, if no cell has per-example values,
    or if the entries are more than MAX_COVARIANCES.
    """
    by_dataset = _ranked_cells(cells)
    entries = sum(len(dataset_cells) ** 2 for dataset_cells in by_dataset.values())
    if not 0 < len(by_dataset) < MIN_DATASETS or entries > MAX_COVARIANCES:
        return {}
    return {
        dataset: covariance
        for dataset, dataset_cells in by_dataset.items()
        if (covariance := _covariance(dataset_cells, per_example)) is not None
    }


def _ranked_cells(cells: Iterable[BoardCell]) -> dict[str, list[BoardCell]]:
    """Return the measured cells with a value by dataset, without baselines."""
    by_dataset: dict[str, list[BoardCell]] = defaultdict(list)
    for cell in cells:
        record = cell.record
        if cell.value is not None and record.external is None and not is_baseline(record):
            by_dataset[cell.column.dataset].append(cell)
    return dict(sorted(by_dataset.items()))


def _covariance(cells: Iterable[BoardCell], per_example: PerExample) -> ScoreCovariance | None:
    """Return the covariance of the largest group of cells with equally many examples.

    The tasks of a dataset are scored on the same images in the same order.
    """
    groups: dict[int, dict[tuple[BoardColumn, str], Doubles]] = defaultdict(dict)
    for cell in cells:
        if (values := per_example(cell.record)) is not None and len(values) > 1:
            groups[len(values)][cell.column, cell.record.backbone_name] = values
    if not groups:
        return None
    largest = max(groups.values(), key=len)
    stacked = np.stack(list(largest.values()))
    return ScoreCovariance(tuple(largest), np.atleast_2d(np.cov(stacked)) / stacked.shape[1])
