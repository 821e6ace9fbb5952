"""Output of the commands: messages, tables and progress. The only module that prints.

rich is imported on first use, because `bob-bench list` prints plain lines and must start fast.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bob.io.text import visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, TaskID

    from bob.extraction.progress import Spent
    from bob.records.record import Record

FILE_COLUMNS = 120
"""Width of tables that are written to a file or a pipe."""
LINE_SECONDS = 30.0
"""Seconds between two lines of progress where standard output is not a terminal."""


class Terminal:
    """Standard output and standard error of a command, and the progress of a run.

    Progress is a live bar on a terminal, and a line every `LINE_SECONDS` elsewhere.
    """

    def __init__(self) -> None:
        self.meter = ThroughputMeter()
        self.progress: Progress | None = None
        self.printed_reasons: frozenset[str] = frozenset()

    @cached_property
    def out(self) -> "Console":
        """Standard output; tables that go to a file or a pipe have a fixed width."""
        if sys.stdout.isatty():
            return _console(highlight=False)
        return _console(highlight=False, soft_wrap=True, width=FILE_COLUMNS)

    @cached_property
    def err(self) -> "Console":
        """Standard error."""
        return _console(stderr=True, highlight=False, soft_wrap=True)

    def print(self, text: str) -> None:
        """Print a message to standard output, wrapped at the width of the terminal."""
        self.out.print(text, markup=False)

    def write(self, text: str) -> None:
        """Write text to standard output without wrapping."""
        sys.stdout.write(visible(text))

    def write_line(self, text: str) -> None:
        """Write a line to standard output without wrapping, for scripts and aligned columns."""
        self.write(f"{text}\n")

    def render(self, renderable: "RenderableType") -> None:
        """Print a table or another rich renderable to standard output."""
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

    def waiting(self) -> None:
        self.print("another process is computing the same features; waiting for it")

    def pass_begins(self, dataset: str, split: str, images: int, backbones: Sequence[str]) -> None:
        self.meter = ThroughputMeter(images)
        title = f"{dataset} {split}: {counted(len(backbones), 'backbone')}"
        if self.out.is_terminal:
            self.progress, self.bar = _start_bar(self.out, title, images)
        else:
            self.print(f"{title}, {counted(images, 'image')}")

    def embedded(self, images: int, spent: "Spent") -> None:
        self.meter.add(images, spent)
        if self.progress:
            self.progress.update(self.bar, advance=images, rate=self.meter.rate())
        elif self.meter.seconds_since_line() > LINE_SECONDS:
            self.meter.restart_line()
            done = f"{self.meter.done:,}/{self.meter.total:,} images"
            self.print(f"  {done}, {self.meter.rate()}, {self.meter.time_left()}")

    def pass_ends(self) -> None:
        if self.progress:
            self.progress.stop()
            self.progress = None

    def cell_ends(self, record: "Record") -> None:
        cell = f"{record.task.name} · {record.dataset_name} · {record.backbone_name}"
        if record.status == "failed":
            self.error(f"{cell}: failed: {self._abridged(str(record.reason))}")
        else:
            self.print(f"  {cell}: {_headline(record)}")

    def _print_labelled(self, label: str, text: str) -> None:
        from rich.markup import escape

        self.err.print(f"{label} {escape(text)}")

    def _abridged(self, reason: str) -> str:
        """Return a reason, or its first line if all its lines were printed before.

        Many cells may fail for the same reason.
        """
        repeated = reason in self.printed_reasons
        self.printed_reasons |= {reason}
        return f"{reason.splitlines()[0]} (as above)" if repeated and "\n" in reason else reason


class ThroughputMeter:
    """Progress of a pass: images done, images per second, the slowest stage, and the time left."""

    def __init__(self, total: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.clock = total, clock
        self.done = 0
        self.embedded = 0
        """Images embedded by this pass, without those whose features were stored before."""
        self.stage_seconds = dict.fromkeys(("decode", "forward", "write"), 0.0)
        """Wall-clock seconds of the pass's own thread: waiting for decoded images, forward passes
        and writing. The largest is the bottleneck."""
        self.decode_seconds = 0.0
        """Seconds of decoding, summed over workers."""
        self.start = self.last_line = clock()
        self.warm_start: tuple[float, int] | None = None
        """Time at which the first block had been embedded, and the number of its images. Loading,
        compiling and autotuning come before it."""

    def add(self, images: int, spent: "Spent") -> None:
        """Count a block of images and the time it took."""
        self.done += images
        self.embedded += images if spent.forward_seconds else 0
        self.decode_seconds += spent.decode_seconds
        if self.warm_start is None and spent.forward_seconds:
            self.warm_start = (self.clock(), self.embedded)
        self.stage_seconds["decode"] += spent.waited_seconds
        self.stage_seconds["forward"] += spent.forward_seconds
        self.stage_seconds["write"] += spent.write_seconds

    def images_per_s(self) -> float:
        """Return the rate since the first block, or since the start while there is only one."""
        start, before = self.start, 0
        if self.warm_start and self.embedded > self.warm_start[1]:
            start, before = self.warm_start
        return (self.embedded - before) / max(self.clock() - start, 1e-9)

    def rate(self) -> str:
        """Return `85 images/s (decode 412 per core, forward 96, write 20,114; bottleneck forward)`.

        The text is empty while no image has been embedded.
        """
        if not self.embedded:
            return ""
        per_core, forward, write = (
            self.embedded / max(seconds, 1e-9)
            for seconds in (
                self.decode_seconds,
                self.stage_seconds["forward"],
                self.stage_seconds["write"],
            )
        )
        stages = f"decode {per_core:,.0f} per core, forward {forward:,.0f}"
        if self.stage_seconds["write"]:
            stages += f", write {write:,.0f}"
        bottleneck = max(self.stage_seconds, key=lambda name: self.stage_seconds[name])
        return f"{self.images_per_s():,.0f} images/s ({stages}; bottleneck {bottleneck})"

    def time_left(self) -> str:
        """Return the time that the remaining images take at the present rate, as text."""
        return f"{duration((self.total - self.done) / max(self.images_per_s(), 1e-9))} left"

    def seconds_since_line(self) -> float:
        """Return the seconds since the last line of progress."""
        return self.clock() - self.last_line

    def restart_line(self) -> None:
        """Record that a line of progress is printed now."""
        self.last_line = self.clock()


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


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: '1 cell', '2 cells'."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration as rounded text: 40 s, 6 min, 3.0 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _start_bar(console: "Console", title: str, total: int) -> "tuple[Progress, TaskID]":
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    bar = progress.add_task(escape(title), total=total, rate="")
    progress.start()
    return progress, bar


def _headline(record: "Record") -> str:
    """Return the ranking metric of the first seed with its interval, in percent."""
    first = next((score for score in record.scores if score.metric == record.task.metrics[0]), None)
    if first is None or first.value is None or first.low is None or first.high is None:
        return "undefined" + (f" ({first.undefined})" if first else "")
    return (
        f"{first.metric} {100 * first.value:.1f} % [{100 * first.low:.1f}-{100 * first.high:.1f}]"
    )
