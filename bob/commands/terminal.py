"""Output of the commands: messages, tables and progress. The only module that prints.

rich is imported on first use, because `bob-bench list` prints plain lines and must start fast.
"""

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bob.datasets.own_names import shown_dataset
from bob.engine.progress import SETUP_STAGES, PassMeter, RunMeter
from bob.io.text import visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.status import Status

    from bob.engine.progress import ClusterState, RemotelyEmbedded
    from bob.engine.racing.contest import DroppedCell
    from bob.engine.racing.run import RaceStart, RaceSummary
    from bob.engine.racing.schedule import RaceStep
    from bob.engine.work import Work
    from bob.extraction.progress import Spent
    from bob.records.record import Record
    from bob.statistics.standing import RaceStanding

FILE_COLUMNS = 120
"""Width of tables that are written to a file or a pipe, unless COLUMNS states another."""
CONTINUED = 16
"""Indentation of the further lines of a wrapped one."""
LINE_SECONDS = 30.0
"""Seconds between two lines of progress where standard output is not a terminal."""


class Terminal:
    """Standard output and standard error of a command, and the progress of a run.

    Progress is two live lines on a terminal, and a line every `LINE_SECONDS` elsewhere.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        """Whether messages, tables and progress are left out; errors, notes and results are not."""
        self.run_meter: RunMeter | None = None
        self.pass_meter: PassMeter | None = None
        self.live: Live | Status | None = None
        """What is redrawn below all messages, while there is something to show."""
        self.stage_text = ""
        self.cluster_state: ClusterState | None = None
        self.last_line = time.monotonic()
        self.printed_reasons: frozenset[str] = frozenset()
        self.printed_notices: set[str] = set()
        self.race: RaceStart | None = None
        self.standings: Sequence[RaceStanding] = ()
        self.forward_images: dict[str, int] = {}
        self.forward_seconds: dict[str, float] = {}

    @cached_property
    def out(self) -> "Console":
        """Standard output; in a file or a pipe, only tables are wrapped, unless COLUMNS is set."""
        if sys.stdout.isatty():
            return _console(highlight=False)
        width = self.line_width
        return _console(highlight=False, soft_wrap=width is None, width=width or FILE_COLUMNS)

    @cached_property
    def err(self) -> "Console":
        """Standard error; on a terminal, lines are wrapped between words."""
        return _console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())

    @property
    def line_width(self) -> int | None:
        """Columns of the terminal; None for a file or a pipe, unless COLUMNS is set."""
        columns = os.environ.get("COLUMNS", "")
        is_limited = sys.stdout.isatty() or (columns.isdigit() and int(columns) > 0)
        return shutil.get_terminal_size().columns if is_limited else None

    def print(self, text: str) -> None:
        """Print a message to standard output, wrapped at the width of the terminal."""
        if not self.quiet:
            self.out.print(text, markup=False)

    def write(self, text: str) -> None:
        """Write text to standard output without wrapping."""
        sys.stdout.write(visible(text))

    def write_line(self, text: str) -> None:
        """Write a line to standard output without wrapping, for scripts and aligned columns."""
        self.write(f"{text}\n")

    def print_indented(self, text: str) -> None:
        """Write a line that is wrapped below its second column, where it has one."""
        indent = " " * CONTINUED if text.startswith(" ") else ""
        width = self.line_width or FILE_COLUMNS
        lines = textwrap.wrap(text, width, subsequent_indent=indent, drop_whitespace=True)
        for line in lines or [""]:
            self.write_line(line)

    def render(self, renderable: "RenderableType") -> None:
        """Print a table or another rich renderable to standard output."""
        if not self.quiet:
            self.out.print(renderable)

    def error(self, text: str) -> None:
        """Print an error to standard error."""
        self._print_labelled("[bold red]error[/]", text)

    def note(self, text: str) -> None:
        """Print a note to standard error."""
        self._print_labelled("[yellow]note[/]", text)

    def confirm(self, question: str) -> bool:
        """Ask a yes-or-no question and return the answer, which is no by default."""
        self.write(f"{question} [y/N] ")
        sys.stdout.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def print_written(self, paths: Iterable[Path]) -> None:
        """Print the paths of files that were written."""
        self.print("written: " + ", ".join(str(path) for path in paths))

    @contextmanager
    def checking(self) -> "Iterator[Callable[[str], None]]":
        """Yield a function that shows which backbone is being checked, on a terminal."""
        if self.quiet or not self.out.is_terminal:
            yield lambda name: None
            return
        from rich.text import Text

        with self.out.status("reading the data") as self.live:
            status = self.live
            yield lambda name: status.update(Text(f"checking {name}"))
        self.live = None

    def run_begins(self, work: "Work") -> None:
        self.run_meter = RunMeter(work, time.monotonic)
        if self.out.is_terminal and not self.quiet:
            self.live = _start_live(self.out, self._progress_lines)

    def run_ends(self) -> None:
        if self.live:
            self.live.stop()
        self.run_meter = self.pass_meter = self.live = self.cluster_state = None

    def waiting(self) -> None:
        self.print("another process is computing the same features; waiting for it")

    def stage(self, name: str, subject: str) -> None:
        self.stage_text = f"{name} {subject}"
        if self.run_meter and name in SETUP_STAGES:
            self.run_meter.setup_begins(subject)

    def pass_begins(self, dataset: str, split: str, images: int, backbones: Sequence[str]) -> None:
        title = f"{shown_dataset(dataset)} {split}, {counted(len(backbones), 'backbone')}"
        self.pass_meter = PassMeter(title, images, time.monotonic)
        self.stage_text = ""
        if self.run_meter:
            self.run_meter.pass_begins(dataset, split, backbones)
        if not self.out.is_terminal:
            self.print(f"embedding {title}, {counted(images, 'image')}")

    def forwarded(self, backbone: str, images: int, seconds: float) -> None:
        self.forward_images[backbone] = self.forward_images.get(backbone, 0) + images
        self.forward_seconds[backbone] = self.forward_seconds.get(backbone, 0.0) + seconds
        if self.run_meter:
            self.run_meter.forwarded(backbone, images, seconds)
        self._print_progress()

    def embedded(self, images: int, spent: "Spent") -> None:
        if self.pass_meter:
            self.pass_meter.add(images, spent)
        if self.run_meter:
            self.run_meter.embedded(spent)

    def pass_ends(self) -> None:
        self.pass_meter, self.stage_text = None, ""
        if self.run_meter:
            self.run_meter.pass_ends()

    def cell_ends(self, record: "Record") -> None:
        if self.run_meter:
            self.run_meter.cell_ends()
        dataset = shown_dataset(record.dataset_name)
        cell = f"{record.task.name} · {dataset} · {record.backbone_name}"
        if record.status == "failed":
            self.error(f"{cell}: failed: {self._abridged(str(record.reason))}")
        else:
            self.print(f"  {cell}: {_headline(record)}")

    def race_begins(self, start: "RaceStart") -> None:
        setting = f"{start.task} on {start.dataset}"
        if not start.steps:
            self.note(
                f"{setting}: no race, as there are too few images (of each class), a single "
                "backbone, or a query and a gallery split; all backbones are run in full"
            )
            return
        self.print(f"race: {setting}, {counted(start.backbones, 'backbone')}")
        self.race, self.standings = start, ()
        if self.out.is_terminal and not self.quiet:
            self.live = _start_live(self.out, self._race_lines, self._race_table)

    def race_step(
        self,
        step: "RaceStep",
        dropped: "Sequence[DroppedCell]",
        standings: "Sequence[RaceStanding]",
    ) -> None:
        from bob.leaderboards.render.standings import standings_line

        for each in dropped:
            self.print(f"  dropped {each.cell.backbone} {each.reason}")
        if standings:
            self.standings = standings
            left = sum(not each.is_dropped for each in standings)
            self.print(f"  at {step.text}: {left:,} left; {self._saved_text()}")
            if not self.out.is_terminal:
                self.print(f"    {standings_line(standings)}")

    def race_stops(self) -> None:
        if self.live:
            self.live.stop()
        self.live = self.race = None

    def race_ends(self, summary: "RaceSummary") -> None:
        from bob.leaderboards.render.race import certain_text, claim_text

        names = ", ".join(cell.backbone for cell in summary.result.survivors)
        if not summary.result.has_ended:
            self.print(f"  the budget is spent; not dropped: {names}")
            return
        self.print(f"  survivors, run in full: {names}")
        if not summary.steps:
            return
        if summary.all_images:
            self.print(
                f"  {summary.images:,} images × backbones to embed; without a race, "
                f"{summary.all_images:,} ({100 * summary.images / summary.all_images:.0f} %)"
            )
        else:
            self.print("  all features were stored: nothing to embed")
        if summary.result.dropped:
            settings = summary.settings
            claim = claim_text(summary.result.margin, settings.certified)
            self.print(
                f"  {certain_text(settings.error)} {claim}, with the images that the race had "
                "embedded by then"
            )

    def notice(self, text: str) -> None:
        if text not in self.printed_notices:  # several machines notice the same
            self.printed_notices.add(text)
            self.note(text)

    def cluster(self, state: "ClusterState", embedded: "Sequence[RemotelyEmbedded]") -> None:
        self.cluster_state = state
        if self.run_meter:
            self.run_meter.workers = max(state.workers, 1)
            for images in embedded:
                self.run_meter.remotely_embedded(images)
        self._print_progress()

    def _print_progress(self) -> None:
        """Print a line where there is no live display, every `LINE_SECONDS`."""
        if self.live is None and time.monotonic() - self.last_line > LINE_SECONDS:
            self.last_line = time.monotonic()
            self.print("  " + "; ".join(filter(None, self._progress_lines())))

    def _progress_lines(self) -> tuple[str, str]:
        """Return what is being done, and how much of the run is done."""
        doing = self.stage_text
        if self.pass_meter and not doing.startswith(SETUP_STAGES):
            doing = f"embedding {self.pass_meter.text()}"
        if self.cluster_state:
            doing = self.cluster_state.text()
        if self.run_meter is None:
            return doing, ""
        meter = self.run_meter
        cells = f"{meter.cells_done:,} of {counted(meter.cells, 'cell')}"
        share, left = meter.share_done(), duration(meter.seconds_left())
        return doing, f"{100 * share:.0f} % of the run, {cells}, about {left} left"

    def _race_lines(self) -> tuple[str, str]:
        """Return what a race is doing, what it has saved, and the time that is left at most."""
        from bob.leaderboards.render.standings import seconds_left

        race = self.race
        title = f"race: {race.task} on {shown_dataset(race.dataset)}; " if race else ""
        seconds = seconds_left(self.standings, race.images, self._speeds()) if race else 0.0
        left = f"; at most about {duration(seconds)} left" if seconds >= 1 else ""
        return self._progress_lines()[0], f"{title}{self._saved_text()}{left}"

    def _race_table(self) -> "RenderableType":
        from bob.leaderboards.render.standings import standings_table

        return standings_table(self.standings, self.out.width)

    def _saved_text(self) -> str:
        """Return the images and the time that dropped backbones have saved."""
        from bob.leaderboards.render.standings import saved_images, saved_seconds

        full = self.race.images if self.race else 0
        images = saved_images(self.standings, full)
        if not images:
            return "nothing saved yet"
        seconds = saved_seconds(self.standings, full, self._speeds())
        time_text = f", about {duration(seconds)}" if seconds >= 1 else ""
        return f"{images:,} images × backbones saved{time_text}"

    def _speeds(self) -> dict[str, float]:
        """Return the seconds per image of each backbone that has embedded some."""
        return {
            name: self.forward_seconds[name] / images
            for name, images in self.forward_images.items()
            if images
        }

    def _print_labelled(self, label: str, text: str) -> None:
        """Print a message to standard error, or above a live display that shares its terminal."""
        from rich.markup import escape

        console = self.out if self.live and self.err.is_terminal else self.err
        console.print(f"{label} {escape(text)}")

    def _abridged(self, reason: str) -> str:
        """Return a reason, or its first line if all its lines were printed before.

        Many cells may fail for the same reason.
        """
        repeated = reason in self.printed_reasons
        self.printed_reasons |= {reason}
        return f"{reason.splitlines()[0]} (as above)" if repeated and "\n" in reason else reason


def _console(**options: Any) -> "Console":
    """Return a console that shows control characters of names and messages as escapes.

    The control sequences of rich itself are separate segments, or are added to segments later.
    """
    from rich.console import Console
    from rich.segment import Segment

    class SafeConsole(Console):
        def render(self, *arguments: Any, **keywords: Any) -> "Iterable[Segment]":
            for segment in super().render(*arguments, **keywords):
                yield segment if segment.control else segment._replace(text=visible(segment.text))

    return SafeConsole(**options)


def _start_live(
    console: "Console",
    lines: "Callable[[], tuple[str, str]]",
    table: "Callable[[], RenderableType] | None" = None,
) -> "Live":
    """Show two lines, and above them a table, below what is printed, until it is stopped."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    def show() -> "RenderableType":
        doing, run = lines()
        above = [table()] if table else []
        return Group(*above, Text(doing, overflow="fold"), Text(run, style="bold", overflow="fold"))

    live = Live(get_renderable=show, console=console, transient=True, refresh_per_second=4)
    live.start()
    return live


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: '1 cell', '2 cells'."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration as rounded text: 40 s, 6 min, 3.0 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _headline(record: "Record") -> str:
    """Return the ranking metric of the first seed, with its interval where it has one.

    In percent, or in the metric's own unit if it has no upper bound.
    """
    from bob.leaderboards.render.text import score_text

    first = next((score for score in record.scores if score.metric == record.task.metrics[0]), None)
    if first is None or first.value is None:
        return f"undefined ({first.undefined})" if first and first.undefined else "undefined"
    return f"{first.metric} {score_text(first)}"
