"""A table of scores that fits the width of the terminal.

It never makes a column too narrow for its numbers. Where the width does not suffice, intervals move
below their values; then the second column is dropped, then intervals, then columns of scores from
the last one. What was dropped is said below the table.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from bob.leaderboards.render.text import listed

NAME_WIDTH = 24
"""Widest column of names, and widest heading, once the table has to be narrowed."""
HEADING_WIDTH = 12
BORDERS = 3
"""Width that a column adds to its text: a space on both sides and a line."""
BREAK = re.compile(r"(?<=[\s_./:-])")
"""Names are wrapped after these characters."""


@dataclass(frozen=True)
class CellText:
    """Content of a cell."""

    value: str
    interval: str = ""
    """Such as `[84.0–86.7]`; empty if there is none."""
    mark: str = ""
    style: str = ""


@dataclass(frozen=True)
class RowText:
    """Content of a row."""

    name: str
    kind: str
    """Such as `(baseline)`; empty for most."""
    about: str
    """Content of the second column: parameters of a backbone, or the metric of a task."""
    cells: tuple[CellText, ...]
    mean: str
    style: str = ""


@dataclass(frozen=True)
class Layout:
    """What a table shows of its content."""

    columns: int
    """Number of columns of scores."""
    intervals: bool = True
    stacked: bool = False
    """Whether intervals are below their values instead of beside them."""
    about: bool = True
    narrow: bool = False
    """Whether names and headings are wrapped."""


@dataclass(frozen=True)
class FittedTable:
    """One task's table, backbones × datasets with parameters and mean, or one of other columns."""

    title: str
    legend: str
    headings: tuple[str, ...]
    """Those of the columns of scores."""
    rows: tuple[RowText, ...]
    more_rows: int
    """Rows beyond those."""
    has_mean: bool
    row_noun: str = "backbone"
    about: str = "params (M)"
    """Heading of the second column."""
    column_noun: str = "dataset"
    complete_file: str = "leaderboard.md"
    """The file that has what is not shown."""

    def shows_all(self, width: int) -> bool:
        """Return whether all scores have room for their intervals."""
        layout, _ = self._fit(width)
        return layout.intervals and layout.columns == len(self.headings)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        layout, widths = self._fit(options.max_width)
        table = Table()
        table.add_column(self.row_noun, width=widths[0], overflow="fold")
        for heading, width in zip(self._headings(layout), widths[1:], strict=True):
            shown = wrapped(heading, width) if layout.narrow else heading
            table.add_column(Text(shown), width=width, justify="right", overflow="fold")
        for row in self.rows:
            table.add_row(*self._fields(row, layout, widths[0]), style=row.style)
        yield Text(self.title + (" [95 % CI]" if layout.intervals else "") + self.legend)
        yield table
        dropped = self._dropped(layout)
        if dropped:
            yield Text(f"Not shown: {dropped}; {self.complete_file} has all.", style="dim")

    def _fit(self, width: int) -> tuple[Layout, list[int]]:
        """Return the first layout that fits, and the widths of its columns."""
        for layout in self._layouts():
            widths = self._widths(layout)
            if _total(widths) <= width:
                return layout, widths
        columns, beside = len(self.headings), len(self._headings(replace(layout, columns=0)))
        while _total(widths) > width and columns > 1:
            columns -= 1
            del widths[len(widths) - beside - 1]
        excess = max(0, _total(widths) - width)
        layout = replace(layout, columns=columns)
        return layout, [max(1, widths[0] - excess), *widths[1:]]

    def _layouts(self) -> Iterator[Layout]:
        """Yield the layouts with all columns, the one to prefer first."""
        count = len(self.headings)
        for narrow in (False, True):
            yield Layout(count, narrow=narrow)
        for about in (True, False):
            for narrow in (False, True):
                yield Layout(count, stacked=True, about=about, narrow=narrow)
        for narrow in (False, True):
            yield Layout(count, intervals=False, about=False, narrow=narrow)

    def _headings(self, layout: Layout) -> list[str]:
        return [
            *([self.about] if layout.about else []),
            *self.headings[: layout.columns],
            *(["mean"] if self.has_mean else []),
        ]

    def _widths(self, layout: Layout) -> list[int]:
        """Return the widths of the texts of all columns."""
        names = [cell_len(f"{row.name} {row.kind}".rstrip()) for row in self.rows]
        name = max([len(self.row_noun), *names])
        widths = [min(name, NAME_WIDTH) if layout.narrow else name]
        rows = [self._cell_widths(row, layout) for row in self.rows]
        for i, heading in enumerate(self._headings(layout)):
            most = min(cell_len(heading), HEADING_WIDTH if layout.narrow else cell_len(heading))
            widths.append(max([most, *(row[i] for row in rows)]))
        return widths

    def _cell_widths(self, row: RowText, layout: Layout) -> list[int]:
        """Return the widths of a row's texts beside its name, as `_fields` writes them."""
        return [
            *([_width(row.about)] if layout.about else []),
            *(_cell_width(cell, layout) for cell in row.cells[: layout.columns]),
            *([_width(row.mean)] if self.has_mean else []),
        ]

    def _fields(self, row: RowText, layout: Layout, name_width: int) -> list[Text]:
        name = wrapped(f"{row.name} {row.kind}".rstrip(), name_width)
        shown = Text(name)
        if row.kind:
            shown.stylize("italic", max(0, len(name) - len(row.kind)))
        return [
            shown,
            *([Text(row.about)] if layout.about else []),
            *(_cell(cell, layout) for cell in row.cells[: layout.columns]),
            *([Text(row.mean)] if self.has_mean else []),
        ]

    def _dropped(self, layout: Layout) -> str:
        named = {"params (M)": "parameters"}.get(self.about, f"{self.about}s")
        parts = [] if layout.about else [named]
        parts += [] if layout.intervals else ["confidence intervals"]
        left = self.headings[layout.columns :]
        if left:
            noun = self.column_noun if len(left) == 1 else f"{self.column_noun}s"
            parts.append(f"{len(left)} {noun} ({listed(left)})")
        if self.more_rows:
            parts.append(f"{self.more_rows} more rows")
        return ", ".join(parts)


@dataclass(frozen=True)
class FirstFitting:
    """The first of several tables that has room for all intervals, or else what replaces them."""

    tables: tuple[FittedTable, ...]
    otherwise: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        fitting = (table for table in self.tables if table.shows_all(options.max_width))
        yield next(fitting, self.otherwise)


def _total(widths: Sequence[int]) -> int:
    """Return the width of a table whose columns have these widths."""
    return sum(widths) + BORDERS * len(widths) + 1


def _cell(cell: CellText, layout: Layout) -> Text:
    text = Text(cell.value, style=cell.style)
    marked = Text(f" {cell.mark}") if cell.mark else Text()
    if not layout.intervals or not cell.interval:
        return text + marked
    interval = Text(cell.interval, style="dim")
    if layout.stacked:
        return Text.assemble(text, marked, "\n", interval)
    return Text.assemble(text, " ", interval, marked)


def _cell_width(cell: CellText, layout: Layout) -> int:
    """Return the width of the text that `_cell` returns."""
    value = _width(cell.value)
    marked = 1 + _width(cell.mark) if cell.mark else 0
    if not layout.intervals or not cell.interval:
        return value + marked
    if layout.stacked:
        return max(value + marked, _width(cell.interval))
    return value + marked + 1 + _width(cell.interval)


def _width(text: str) -> int:
    """Return the width of the longest line of a text."""
    return max(map(cell_len, text.split("\n"))) if "\n" in text else cell_len(text)


def wrapped(text: str, width: int) -> str:
    """Return a name in lines of at most `width`, broken after separators where there are any."""
    lines = [""]
    for part in BREAK.split(text):
        if lines[-1] and cell_len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)
