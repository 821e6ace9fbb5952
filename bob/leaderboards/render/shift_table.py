"""One table per dataset with shifts: backbone × test set, in distribution first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bob.datasets.own_names import shown_dataset
from bob.leaderboards.board import Board
from bob.leaderboards.cells import BoardCell, BoardColumn, is_baseline, mean
from bob.leaderboards.render.fitted_table import CellText, FittedTable, RowText
from bob.leaderboards.render.text import MISSING, interval_text, params_text, value_text
from bob.leaderboards.robustness import IN_DISTRIBUTION, SHIFT
from bob.metrics.score_ranges import base_metric
from bob.records.record import Record, Score


@dataclass(frozen=True)
class ShiftColumn:
    """A setting with scores on several test sets."""

    column: BoardColumn
    cells: Sequence[BoardCell]
    """Measured, with a value."""
    metric: str

    def table(self, most_rows: int | None = None) -> FittedTable:
        """Return its table, with the best rows if there are more than `most_rows`."""
        scores = {
            cell.record.backbone_name: _scores(cell.record, self.metric) for cell in self.cells
        }
        names = list(dict.fromkeys(name for of_sets in scores.values() for name in of_sets))
        names.sort(key=lambda name: name != IN_DISTRIBUTION)
        ordered = sorted(
            self.cells, key=lambda cell: (-(cell.value or 0.0), cell.record.backbone_name)
        )
        shown = ordered[:most_rows]
        return FittedTable(
            title=f"{self.column.task} on {shown_dataset(self.column.dataset)}: "
            f"{self.metric} on each test set",
            legend="",
            headings=tuple(names),
            rows=tuple(
                _row(cell.record, scores[cell.record.backbone_name], names) for cell in shown
            ),
            more_rows=len(ordered) - len(shown),
            has_mean=False,
            column_noun="test set",
            complete_file="leaderboard.csv",
        )


def shift_columns(task: str, board: Board) -> Iterator[ShiftColumn]:
    """Yield the settings of a task that scores several test sets; none for other tasks."""
    by_column: dict[BoardColumn, list[BoardCell]] = {}
    for cell in board.task_cells(task):
        if cell.status == "ok" and cell.record.external is None:
            by_column.setdefault(cell.column, []).append(cell)
    for column, cells in sorted(by_column.items()):
        metric = _metric(cells[0].record)
        if metric is not None:
            yield ShiftColumn(column, cells, metric)


def _row(record: Record, scores: Mapping[str, Sequence[Score]], names: Sequence[str]) -> RowText:
    return RowText(
        name=record.backbone_name,
        kind="(baseline)" if is_baseline(record) else "",
        about=params_text(record.backbone.params if record.backbone else None),
        cells=tuple(_cell(scores.get(name, ())) for name in names),
        mean="",
        style="dim" if is_baseline(record) else "",
    )


def _cell(seeds: Sequence[Score]) -> CellText:
    """Return the mean over seeds; the interval where there is one seed."""
    value = mean([score.value for score in seeds]) if seeds else None
    if value is None:
        return CellText(MISSING)
    interval = interval_text(seeds[0]).strip() if len(seeds) == 1 else ""
    return CellText(value_text(seeds[0].metric, value), interval)


def _metric(record: Record) -> str | None:
    """Return the first of the task's metrics that has a value on the test set and on a shift."""
    for metric in record.task.metrics:
        sets = _scores(record, metric)
        if IN_DISTRIBUTION in sets and len(sets) > 1:
            return metric
    return None


def _scores(record: Record, metric: str) -> dict[str, list[Score]]:
    """Return test set → the metric's scores by seed, where all classes of the set count."""
    sets: dict[str, list[Score]] = {}
    for score in record.scores:
        if (
            set(score.facets) == {SHIFT}
            and base_metric(score.metric, record.task.metrics) == metric
        ):
            sets.setdefault(str(score.facets[SHIFT]), []).append(score)
    return sets
