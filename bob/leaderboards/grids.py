"""The grids of dense tasks: finer ones can score higher, and dense settings are named in averages.

Over twelve backbones, VisBench found that their place on dense boards goes with the area of the
grid (correlations of 0.7 to 0.96); see docs/explanation/dense.md.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable

from bob.leaderboards.cells import BoardCell, BoardColumn
from bob.records.record import Record


def grid_of(record: Record) -> str | None:
    """Return the grid of a dense task's maps, `14 x 14`, rows first; None for other tasks."""
    grid = record.details[0].get("grid") if record.details else None
    return " x ".join(map(str, grid)) if grid else None


def grid_notes(cells: Iterable[BoardCell]) -> list[str]:
    """Return a line for the dense settings whose backbones have grids of different sizes.

    Settings with the same grids of the same backbones share one.
    """
    by_column: dict[BoardColumn, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        if grid := grid_of(cell.record):
            by_column[cell.column][grid].append(cell.record.backbone_name)
    by_grids: dict[str, list[str]] = defaultdict(list)
    for column, grids in by_column.items():
        if len(grids) > 1:
            by_grids[_grids_text(grids)].append(str(column))
    return [
        f"{', '.join(columns)}: grids differ ({grids}). A finer grid can score higher: compare "
        "with the ceiling of each, or set input_px by patch size in a task of your own."
        for grids, columns in by_grids.items()
    ]


def dense_settings_note(settings: Collection[BoardColumn], cells: Iterable[BoardCell]) -> list[str]:
    """Return a line where an average is over settings of pixels and of images."""
    dense = {cell.column for cell in cells if grid_of(cell.record)} & set(settings)
    if not dense or len(dense) == len(settings):
        return []
    tasks = ", ".join(sorted({column.task for column in dense}))
    return [
        f"settings of pixels ({tasks}) make up {len(dense)} of the {len(settings)} settings of the "
        "overall mean, each of which counts once."
    ]


def _grids_text(grids: dict[str, list[str]]) -> str:
    """Return grids with their backbones, the coarsest first: `14 x 14: a, b; 16 x 16: c`."""
    ordered = sorted(grids, key=lambda grid: [int(side) for side in grid.split(" x ")])
    return "; ".join(f"{grid}: {', '.join(sorted(grids[grid]))}" for grid in ordered)
