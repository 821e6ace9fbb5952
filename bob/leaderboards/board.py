"""The board: everything that the leaderboard's files show, computed once from the records."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from threadpoolctl import threadpool_limits

from bob.leaderboards.cells import (
    BoardCell,
    BoardColumn,
    SetAside,
    board_cells,
    comparable,
    comparable_fusions,
)
from bob.leaderboards.pair_gaps import PairGaps, pair_gaps
from bob.leaderboards.per_example import ExampleValues, PerExample, no_per_example
from bob.leaderboards.ranking import Ranking, Rankings
from bob.leaderboards.robustness import ShiftRobustness, shift_robustness
from bob.leaderboards.similarities import SimilarityMatrix
from bob.leaderboards.verdicts import Verdicts
from bob.leaderboards.views import BoardView, views
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
    views: tuple[BoardView, ...]
    """A ranking of each selection of columns that a reader of the page can make."""
    overall: Ranking
    """Ranking of the measured results; of the first published table if there are none."""
    by_task: dict[str, Ranking]
    """Ranking of the measured results of each task."""
    published: dict[str, Ranking]
    """Ranking of each published table, never together with measured results."""
    published_by_task: dict[tuple[str, str], Ranking]
    """Ranking of each task of each published table."""
    verdicts: dict[BoardColumn, Verdicts]
    """Verdicts on each column: of its measured results, else of the first table that has it."""
    pair_gaps: Mapping[BoardColumn, PairGaps] = field(default_factory=dict)
    """Paired differences of all backbones by column; empty for a board with very many."""
    robustness: tuple[ShiftRobustness, ...] = ()
    """Effective robustness of the backbones under each shift."""
    fused: tuple[Record, ...] = ()
    """Several backbones together: shown beside the records, in no ranking and no test."""
    similarities: tuple[SimilarityMatrix, ...] = ()
    """How alike the features of the backbones are, where that was computed."""
    notes: tuple[str, ...] = ()
    """Notes from reading the records: conflicts between folders, scales of published tables."""

    @property
    def tasks(self) -> list[str]:
        return sorted({record.task.name for record in self.records})

    @property
    def rankings(self) -> list[Ranking]:
        """Overall ranking of the measured results, if any, then that of each published table."""
        measured = [self.overall] if self.overall.origin is None else []
        return [*measured, *self.published.values()]

    @property
    def task_rankings(self) -> list[Ranking]:
        """Ranking of each task: of the measured results, then of each published table."""
        return [*self.by_task.values(), *self.published_by_task.values()]

    def task_cells(self, task: str) -> list[BoardCell]:
        return [cell for cell in self.cells if cell.column.task == task]


def make_board(
    records: Iterable[Record],
    per_example: PerExample = no_per_example,
    notes: tuple[str, ...] = (),
) -> Board:
    """Select the comparable records, and compute the rankings and verdicts of all scopes."""
    records = list(records)
    kept, set_aside = comparable(records)
    with threadpool_limits(1, "blas"):  # hundreds of small products, slower on several threads
        board = _board(kept, set_aside, per_example, notes)
    return replace(board, fused=tuple(comparable_fusions(records, kept)))


def _board(
    records: Sequence[Record],
    set_aside: Sequence[SetAside],
    per_example: PerExample,
    notes: tuple[str, ...],
) -> Board:
    cells = board_cells(records)
    examples = ExampleValues(per_example)
    rankings = Rankings(cells, examples)
    all_views = views(rankings)
    by_columns = {view.columns: view.ranking for view in all_views if not view.clean}

    def ranking(columns: Sequence[BoardColumn], scope: str, origin: str | None) -> Ranking:
        known = by_columns.get(tuple(columns))
        if known is not None and known.origin == origin and len(columns) > 1:
            return replace(known, scope=scope)
        return rankings.over(columns, scope, origin)  # with win shares, also of a single column

    tables = sorted({record.external for record in records if record.external is not None})
    columns = {
        origin: sorted({cell.column for cell in cells if cell.record.external == origin})
        for origin in (None, *tables)
    }
    published = {table: ranking(columns[table], OVERALL, table) for table in tables}
    return Board(
        records=tuple(records),
        set_aside=tuple(set_aside),
        cells=tuple(cells),
        views=tuple(all_views),
        overall=ranking(columns[None], OVERALL, None)
        if columns[None] or not tables
        else published[tables[0]],
        by_task={
            task: ranking(of_task, task, None) for task, of_task in _by_task(columns[None]).items()
        },
        published=published,
        published_by_task={
            (table, task): ranking(of_task, task, table)
            for table in tables
            for task, of_task in _by_task(columns[table]).items()
        },
        verdicts={
            view.columns[0]: view.ranking.verdicts
            for view in all_views
            if len(view.columns) == 1 and not view.clean
        },
        pair_gaps=pair_gaps({one: rankings.cells([one]) for one in rankings.columns}, examples),
        robustness=shift_robustness(cells),
        notes=notes,
    )


def as_board(source: Board | Iterable[Record]) -> Board:
    """Return a board unchanged; make one of records, without paired tests."""
    return source if isinstance(source, Board) else make_board(source)


def _by_task(columns: Sequence[BoardColumn]) -> dict[str, list[BoardColumn]]:
    """Group columns by task.

    A task is ranked among the backbones to which it applies; otherwise one backbone to which it
    does not apply would exclude all settings of that task.
    """
    tasks: dict[str, list[BoardColumn]] = {}
    for column in columns:
        tasks.setdefault(column.task, []).append(column)
    return tasks
