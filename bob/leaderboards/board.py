"""The board: everything that the leaderboard's files show, computed once from the records."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from threadpoolctl import threadpool_limits

from bob.leaderboards.cells import BoardCell, BoardColumn, SetAside, board_cells, comparable
from bob.leaderboards.covariance import ScoreCovariance, covariances
from bob.leaderboards.per_example import PerExample, TieStatus, column_ties, no_per_example, tied
from bob.leaderboards.ranking import Ranking, ranking
from bob.leaderboards.robustness import ShiftRobustness, shift_robustness
from bob.records.record import Record

OVERALL = "overall"


@dataclass(frozen=True)
class Board:
    """Input of all renderers.

    "Measured" are results of records computed by this package, as opposed to published results that
    were read from tables.
    """

    records: tuple[Record, ...]
    """Comparable measured records, and published results."""
    set_aside: tuple[SetAside, ...]
    cells: tuple[BoardCell, ...]
    """Cells of `records`, in the same order."""
    ties: dict[BoardColumn, dict[str, TieStatus]]
    """Column → backbone → comparison with the column's best, if there are per-example results."""
    overall: Ranking
    """Ranking of the measured results; of the first published table if there are none."""
    by_task: dict[str, Ranking]
    """Ranking of the measured results of each task."""
    published: dict[str, Ranking]
    """Ranking of each published table, never together with measured results."""
    covariances: dict[str, ScoreCovariance] = field(default_factory=dict)
    """By dataset, of small sweeps: for tie groups under limits that a reader of the page sets."""
    robustness: tuple[ShiftRobustness, ...] = ()
    """Effective robustness of the backbones under each shift."""
    notes: tuple[str, ...] = ()
    """Notes from reading the records: conflicts between folders, scales of published tables."""

    @cached_property
    def tied(self) -> dict[BoardColumn, frozenset[str]]:
        """Column → the backbones that are marked as tied with its best."""
        return {column: tied(ties) for column, ties in self.ties.items()}

    @property
    def tasks(self) -> list[str]:
        return sorted({record.task.name for record in self.records})

    @property
    def rankings(self) -> list[Ranking]:
        """Overall ranking of the measured results, if any, then that of each published table."""
        measured = [self.overall] if self.overall.origin is None else []
        return [*measured, *self.published.values()]

    def task_cells(self, task: str) -> list[BoardCell]:
        return [cell for cell in self.cells if cell.column.task == task]


def make_board(
    records: Iterable[Record],
    per_example: PerExample = no_per_example,
    notes: tuple[str, ...] = (),
) -> Board:
    """Select the comparable records, and compute tie groups per column and all rankings."""
    kept, set_aside = comparable(records)
    with threadpool_limits(1, "blas"):  # hundreds of small products, slower on several threads
        return _board(kept, set_aside, per_example, notes)


def _board(
    records: Sequence[Record],
    set_aside: Sequence[SetAside],
    per_example: PerExample,
    notes: tuple[str, ...],
) -> Board:
    cells = board_cells(records)
    measured = [cell for cell in cells if cell.record.external is None]
    tables = sorted({record.external for record in records if record.external is not None})
    published = {table: ranking(OVERALL, cells, per_example, table) for table in tables}
    return Board(
        records=tuple(records),
        set_aside=tuple(set_aside),
        cells=tuple(cells),
        ties=_ties(measured, per_example),
        overall=ranking(OVERALL, cells, per_example)
        if measured or not tables
        else published[tables[0]],
        by_task=_by_task(measured, per_example),
        published=published,
        covariances=covariances(cells, per_example),
        robustness=shift_robustness(cells),
        notes=notes,
    )


def as_board(source: Board | Iterable[Record]) -> Board:
    """Return a board unchanged; make one of records, without paired tests."""
    return source if isinstance(source, Board) else make_board(source)


def _ties(
    cells: Iterable[BoardCell], per_example: PerExample
) -> dict[BoardColumn, dict[str, TieStatus]]:
    columns: dict[BoardColumn, list[BoardCell]] = defaultdict(list)
    for cell in cells:
        columns[cell.column].append(cell)
    ties = {column: column_ties(group, per_example) for column, group in sorted(columns.items())}
    return {column: statuses for column, statuses in ties.items() if statuses}


def _by_task(cells: Iterable[BoardCell], per_example: PerExample) -> dict[str, Ranking]:
    """Rank each task among the backbones to which it applies.

    Otherwise one backbone to which a task does not apply would exclude all settings of that task.
    """
    tasks: dict[str, list[BoardCell]] = defaultdict(list)
    for cell in cells:
        if cell.status != "not_applicable":
            tasks[cell.column.task].append(cell)
    return {task: ranking(task, group, per_example) for task, group in sorted(tasks.items())}
