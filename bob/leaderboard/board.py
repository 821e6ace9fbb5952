"""The board: everything that the leaderboard's files say, computed once from the records."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from threadpoolctl import threadpool_limits

from bob.leaderboard.cells import Cell, Column, SetAside, cells, comparable
from bob.leaderboard.covariance import Covariance, covariances
from bob.leaderboard.per_example import Evidence, Tie, column_ties, no_evidence, tied
from bob.leaderboard.ranking import Ranking, ranking
from bob.leaderboard.robustness import UnderShift, under_shifts
from bob.records.record import Record

OVERALL = "overall"


@dataclass(frozen=True)
class Board:
    """What all renderers read."""

    kept: tuple[Record, ...]
    """Comparable records, and published numbers beside them."""
    aside: tuple[SetAside, ...]
    cells: tuple[Cell, ...]
    """Of the kept records."""
    ties: dict[Column, dict[str, Tie]]
    """Column → backbone → how it stands to the column's best; only where per-example results are at hand."""
    overall: Ranking
    """Of one's own records; of the first published table where there are none."""
    by_task: dict[str, Ranking]
    """Of one's own records, each task by itself."""
    published: dict[str, Ranking]
    """Each published table by itself: numbers made elsewhere are never ranked among one's own."""
    covariances: dict[str, Covariance] = field(default_factory=dict)
    """Of small sweeps, by dataset: for tie groups under limits that a reader of the page sets."""
    robustness: tuple[UnderShift, ...] = ()
    """Each backbone under each shift, against the line that the pool draws."""
    remarks: tuple[str, ...] = ()
    """What whoever read the records has to say: conflicts between folders, scales of tables."""

    @cached_property
    def tied(self) -> dict[Column, frozenset[str]]:
        """Column → the backbones that are marked as tied with its best."""
        return {column: tied(ties) for column, ties in self.ties.items()}

    @property
    def rankings(self) -> list[Ranking]:
        """One's own overall, then each published table."""
        own = [self.overall] if self.overall.origin is None else []
        return [*own, *self.published.values()]


def make_board(
    records: Iterable[Record], evidence: Evidence = no_evidence, remarks: tuple[str, ...] = ()
) -> Board:
    """Comparable records, tie groups per column, rankings per task and overall."""
    kept, aside = comparable(records)
    with threadpool_limits(
        1, "blas"
    ):  # hundreds of small products, which several threads make slower
        return _board(kept, aside, evidence, remarks)


def _board(
    kept: Sequence[Record], aside: Sequence[SetAside], evidence: Evidence, remarks: tuple[str, ...]
) -> Board:
    held = cells(kept)
    tables = sorted({record.external for record in kept if record.external is not None})
    published = {table: ranking(OVERALL, held, evidence, table) for table in tables}
    own = any(record.external is None for record in kept)
    return Board(
        kept=tuple(kept),
        aside=tuple(aside),
        cells=tuple(held),
        ties=_ties(held, evidence),
        overall=ranking(OVERALL, held, evidence) if own or not tables else published[tables[0]],
        by_task=_by_task(held, evidence),
        published=published,
        covariances=covariances(held, evidence),
        robustness=under_shifts(held),
        remarks=remarks,
    )


def as_board(given: Board | Iterable[Record]) -> Board:
    """A board as it is; records as a board without paired tests."""
    return given if isinstance(given, Board) else make_board(given)


def _ties(held: Iterable[Cell], evidence: Evidence) -> dict[Column, dict[str, Tie]]:
    columns: dict[Column, list[Cell]] = defaultdict(list)
    for cell in held:
        if cell.record.external is None:
            columns[cell.column].append(cell)
    found = {column: column_ties(group, evidence) for column, group in sorted(columns.items())}
    return {column: ties for column, ties in found.items() if ties}


def _by_task(held: Iterable[Cell], evidence: Evidence) -> dict[str, Ranking]:
    """A task is not asked of backbones to which it does not apply: they are left out of its own ranking instead of taking settings from it."""
    tasks: dict[str, list[Cell]] = defaultdict(list)
    for cell in held:
        if cell.record.external is None and cell.status != "not_applicable":
            tasks[cell.column.task].append(cell)
    return {task: ranking(task, own, evidence) for task, own in sorted(tasks.items())}
