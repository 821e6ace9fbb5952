"""What a person sees in the terminal. The one module that prints."""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console as Rich
from rich.console import RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from bob.extraction.progress import Spent
from bob.records.record import Record

FILE_COLUMNS = 120
"""Width of tables that go to a file or a pipe."""
LINE_SECONDS = 30.0
"""Without a terminal, progress is a line this often."""


class Terminal:
    """Plans, progress and results for a person; a live bar in a terminal, lines elsewhere."""

    def __init__(self) -> None:
        self.out = (
            Rich(highlight=False)
            if sys.stdout.isatty()
            else Rich(highlight=False, soft_wrap=True, width=FILE_COLUMNS)
        )
        self.errors = Rich(stderr=True, highlight=False, soft_wrap=True)
        self.progress: Progress | None = None
        self.meter = Meter()
        self.told: frozenset[str] = frozenset()

    def say(self, text: str) -> None:
        self.out.print(escape(text))

    def raw(self, text: str) -> None:
        """For programs: as it is, without wrapping."""
        sys.stdout.write(text + "\n")

    def show(self, renderable: RenderableType) -> None:
        self.out.print(renderable)

    def complain(self, text: str) -> None:
        self.errors.print(f"[bold red]error[/] {escape(text)}")

    def warn(self, text: str) -> None:
        self.errors.print(f"[yellow]note[/] {escape(text)}")

    def waiting(self) -> None:
        self.say("another process is computing the same features; waiting for it")

    def pass_begins(self, dataset: str, split: str, images: int, backbones: Sequence[str]) -> None:
        self.meter = Meter(images)
        title = f"{dataset} {split}: {counted(len(backbones), 'backbone')}"
        if self.out.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
            )
            self.progress = Progress(*columns, console=self.out, transient=True)
            self.bar = self.progress.add_task(escape(title), total=images, rate="")
            self.progress.start()
        else:
            self.say(f"{title}, {counted(images, 'image')}")

    def embedded(self, images: int, spent: Spent) -> None:
        self.meter.add(images, spent)
        if self.progress:
            self.progress.update(TaskID(self.bar), advance=images, rate=self.meter.rate())
        elif self.meter.line_is_due():
            self.say(
                f"  {self.meter.done:,}/{self.meter.total:,} images, {self.meter.rate()}, {self.meter.left()}"
            )

    def pass_ends(self) -> None:
        if self.progress:
            self.progress.stop()
            self.progress = None

    def cell_ends(self, record: Record) -> None:
        where = f"{record.task.name} · {record.dataset_name} · {record.backbone_name}"
        if record.status == "failed":
            self.complain(f"{where}: failed: {self._once(str(record.reason))}")
        else:
            self.say(f"  {where}: {_headline(record)}")

    def _once(self, reason: str) -> str:
        """A reason of several lines is told once; many cells may fail for it."""
        told, self.told = reason in self.told, self.told | {reason}
        return f"{reason.splitlines()[0]} (as above)" if told and "\n" in reason else reason

    def written(self, paths: Iterable[Path]) -> None:
        self.say("written: " + ", ".join(str(path) for path in paths))


class Meter:
    """Images done, how fast and what limits it, and how long still."""

    def __init__(self, total: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.done, self.fresh, self.clock = total, 0, 0, clock
        self.seconds = dict.fromkeys(("decode", "forward", "write"), 0.0)
        """Of the pass's own thread, in which it waited for decoding, ran the forwards, wrote: the largest limits."""
        self.decode_seconds = 0.0
        self.start = self.last_line = clock()
        self.warm: tuple[float, int] | None = None
        """When the first block had been embedded, and how many images it had: loading, compiling and the race come before."""

    def add(self, images: int, spent: Spent) -> None:
        self.done += images
        self.fresh += images if spent.forward_seconds else 0
        self.decode_seconds += spent.decode_seconds
        if self.warm is None and spent.forward_seconds:
            self.warm = (self.clock(), self.fresh)
        for name, seconds in (
            ("decode", spent.waited_seconds),
            ("forward", spent.forward_seconds),
            ("write", spent.write_seconds),
        ):
            self.seconds[name] += seconds

    def per_second(self) -> float:
        """Since the first block, once there is a second."""
        since, before = self.warm if self.warm and self.fresh > self.warm[1] else (self.start, 0)
        return (self.fresh - before) / max(self.clock() - since, 1e-9)

    def rate(self) -> str:
        """`85 images/s (decode 412 per core, forward 96, write 20,114; forward limits)`"""
        if not self.fresh:
            return ""
        per_core, forward, write = (
            self.fresh / max(s, 1e-9)
            for s in (self.decode_seconds, self.seconds["forward"], self.seconds["write"])
        )
        limit = max(self.seconds, key=lambda name: self.seconds[name])
        written = f", write {write:,.0f}" if self.seconds["write"] else ""
        return f"{self.per_second():,.0f} images/s (decode {per_core:,.0f} per core, forward {forward:,.0f}{written}; {limit} limits)"

    def left(self) -> str:
        return f"{duration((self.total - self.done) / max(self.per_second(), 1e-9))} left"

    def line_is_due(self) -> bool:
        now = self.clock()
        due = now - self.last_line > LINE_SECONDS
        self.last_line = now if due else self.last_line
        return due


def counted(n: int, thing: str) -> str:
    """'1 cell', '2 cells'."""
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    """Rounded for a person: 40 s, 6 min, 3 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _headline(record: Record) -> str:
    """The ranking metric of the first seed."""
    first = next((score for score in record.scores if score.metric == record.task.metrics[0]), None)
    if first is None or first.value is None or first.low is None or first.high is None:
        return "undefined" + (f" ({first.undefined})" if first else "")
    return (
        f"{first.metric} {100 * first.value:.1f} % [{100 * first.low:.1f}-{100 * first.high:.1f}]"
    )
