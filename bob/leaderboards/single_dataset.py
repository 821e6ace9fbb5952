"""Several tasks on a single dataset, which are one table instead of one per task."""

from dataclasses import dataclass

from bob.leaderboards.board import Board
from bob.leaderboards.cells import BoardColumn
from bob.leaderboards.rows import BoardRow, board_rows


@dataclass(frozen=True)
class SingleDataset:
    """Columns and rows of the table."""

    name: str
    columns: tuple[BoardColumn, ...]
    """One per task, sorted."""
    rows: tuple[BoardRow, ...]
    """Backbones in the order of the overall ranking, then the others, baselines last."""
    metrics: dict[BoardColumn, str]
    """The metric that ranks, by column."""

    @property
    def is_wide(self) -> bool:
        """Whether the tasks are more than the backbones, so that they are better rows."""
        return len(self.columns) > len(self.rows)


def single_dataset(board: Board) -> SingleDataset | None:
    """Return the table of a board's only dataset; None for several, a single task, and published
    results."""
    names = {cell.column.dataset for cell in board.cells}
    if len(names) != 1 or board.published or len(board.tasks) < 2:
        return None
    columns, rows = board_rows(board.cells)
    place = {name: i for i, name in enumerate(board.overall.pool)}
    rows.sort(key=lambda row: (place.get(row.name, len(place)), row.is_baseline))
    metrics = {cell.column: cell.metric for cell in board.cells}
    return SingleDataset(names.pop(), tuple(columns), tuple(rows), metrics)
