"""The rankings that the page shows: one for each selection of columns that its reader can make.

The page's scripts compute no verdicts. They look a selection up, and say of one that is not here
that its differences were not tested.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from bob.leaderboards.cells import BoardCell, BoardColumn, facts_by_backbone
from bob.leaderboards.ranking import Ranking, Rankings

MAX_TASKS = 4
"""Of up to so many tasks, every subset is ranked: 11 subsets of two or more."""
MAX_SUBSETS = 60
"""Most subsets of tasks that are ranked on single datasets."""
CONTAMINATED = "the backbone was pretrained on this dataset"


@dataclass(frozen=True)
class BoardView:
    """A selection of columns, and the ranking over them."""

    columns: tuple[BoardColumn, ...]
    clean: bool
    """Whether contaminated cells are excluded."""
    ranking: Ranking


def views(rankings: Rankings) -> list[BoardView]:
    """Return the views of every column, dataset, task, of everything, and of subsets of tasks.

    A clean view exists where some cell is contaminated. Views of one dataset follow each other, so
    that its per-example values are read once.
    """
    contaminated = _contaminated(rankings.cells(rankings.columns))
    result = []
    for columns in dict.fromkeys(filter(None, _selections(rankings.columns))):
        origin, resample = rankings.origin(columns), len(columns) > 1
        result.append(BoardView(columns, False, rankings.over(columns, "", origin, resample)))
        cells = rankings.cells(columns)
        if any(_place(cell) in contaminated for cell in cells):
            clean = [
                _without_value(cell) if _place(cell) in contaminated else cell for cell in cells
            ]
            ranking = rankings.over(columns, "", origin, resample, clean)
            result.append(BoardView(columns, True, ranking))
    return result


def _selections(columns: Sequence[BoardColumn]) -> Iterator[tuple[BoardColumn, ...]]:
    """Yield the selections of the sorted columns; some more than once."""
    tasks = sorted({column.task for column in columns})
    datasets = sorted({column.dataset for column in columns})
    subsets = list(_subsets(tasks))
    for dataset in datasets:
        of_dataset = [column for column in columns if column.dataset == dataset]
        yield from ((column,) for column in of_dataset)
        yield tuple(of_dataset)
        if len(subsets) * len(datasets) <= MAX_SUBSETS:
            for subset in subsets:
                yield tuple(column for column in of_dataset if column.task in subset)
    for subset in [(task,) for task in tasks] + [tuple(tasks)] + subsets:
        yield tuple(column for column in columns if column.task in subset)


def _subsets(tasks: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the subsets of at least two tasks, without all; none of more than MAX_TASKS."""
    for size in range(2, len(tasks)) if len(tasks) <= MAX_TASKS else ():
        yield from combinations(tasks, size)


def _contaminated(cells: Sequence[BoardCell]) -> set[tuple[str, str]]:
    """Return (dataset, backbone) of the cells whose images the backbone was pretrained on."""
    facts = facts_by_backbone(cell.record for cell in cells)
    return {
        (dataset, name)
        for name, fact in facts.items()
        if fact and fact.pretraining
        for dataset in fact.pretraining.seen
    }


def _place(cell: BoardCell) -> tuple[str, str]:
    return cell.column.dataset, cell.record.backbone_name


def _without_value(cell: BoardCell) -> BoardCell:
    if cell.value is None:
        return cell
    return replace(cell, status="undefined", value=None, reason=CONTAMINATED)
