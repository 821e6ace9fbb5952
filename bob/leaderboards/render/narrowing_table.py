"""A table that fits the width of the terminal by dropping columns in a stated order.

Where the width does not suffice, names are wrapped after their separators; then columns are dropped
by their rank, the highest first. What was dropped is said below the table. Numbers are never cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from bob.leaderboards.render.fitted_table import BORDERS, wrapped

NARROWEST_NAME = 14
"""Width down to which names are wrapped before a column is dropped."""
LEAST_NAME = 4


@dataclass(frozen=True)
class NarrowingColumn:
    """A column with its texts."""

    heading: str
    texts: Sequence[str]
    rank: int = 0
    """0 is never dropped; of the others, the highest is dropped first."""
    is_name: bool = False
    """Whether the texts may be wrapped after separators."""

    @property
    def width(self) -> int:
        """The width of the widest line."""
        return max(map(cell_len, (self.heading, *"\n".join(self.texts).split("\n"))))


@dataclass(frozen=True)
class NarrowingTable:
    """Columns of equal length under a title."""

    title: str
    columns: Sequence[NarrowingColumn]
    elsewhere: str
    """Where the dropped columns are: `--json has all`."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns, name_width = self._fit(options.max_width)
        table = Table(title=Text(self.title), title_justify="left")
        for column in columns:
            width = min(column.width, name_width) if column.is_name else column.width
            heading = wrapped(column.heading, width)
            table.add_column(
                Text(heading),
                width=width,
                overflow="fold",
                justify="left" if column.is_name else "right",
            )
        for row in zip(*(column.texts for column in columns), strict=True):
            cells = zip(columns, row, strict=True)
            table.add_row(
                *(
                    Text(wrapped(text, name_width) if column.is_name else text)
                    for column, text in cells
                )
            )
        yield table
        if dropped := [column.heading for column in self.columns if column not in columns]:
            yield Text(f"Not shown: {', '.join(dropped)}; {self.elsewhere}.", style="dim")

    def _fit(self, width: int) -> tuple[list[NarrowingColumn], int]:
        """Return the columns to show, and the width of names."""
        columns = list(self.columns)
        ranks = sorted({column.rank for column in columns}, reverse=True)
        for rank in ranks:
            room = _room_for_names(columns, width)
            if room >= NARROWEST_NAME or rank == 0:
                break
            columns = [column for column in columns if column.rank != rank]
        return columns, max(LEAST_NAME, _room_for_names(columns, width))


def _room_for_names(columns: Sequence[NarrowingColumn], width: int) -> int:
    """Return the width that is left for each column of names."""
    names = [column for column in columns if column.is_name]
    fixed = sum(column.width for column in columns if not column.is_name)
    free = width - fixed - BORDERS * len(columns) - 1
    widest = max((column.width for column in names), default=0)
    if not names:
        return NARROWEST_NAME if free >= 0 else 0
    room = free // len(names)
    return max(widest, room) if sum(column.width for column in names) <= free else room
