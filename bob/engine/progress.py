"""Progress of a run: what is being done, how much is done, and how long the rest takes."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `list` imports this module and must start fast
    from bob.engine.work import Work
    from bob.extraction.progress import Spent

PROBE_SECONDS = 1.0
"""Seconds of a cell, before one is measured."""
OVERHEAD = 1.05
"""Factor by which a pass takes longer than its forward passes, before it is measured."""
SETUP_STAGES = ("loading", "tuning")
"""Stages before a backbone embeds its first image."""
MEASURED_IMAGES = 16
"""Images after which the speed of a backbone counts as measured."""


@dataclass(frozen=True)
class ClusterState:
    """What a cluster is doing."""

    nodes: int
    """Machines with a worker."""
    workers: int
    """Processes that embed."""
    scoring: int
    """Units of cells under way."""
    waiting: int
    """Units handed over that no process has begun."""
    images_per_s: float
    """Images embedded by all backbones of their unit, over the last minute."""

    def text(self) -> str:
        """Return `2 nodes, 8 workers, 3 scoring, 1,200 images/s`."""
        parts = [
            f"{self.nodes} node{'' if self.nodes == 1 else 's'}",
            f"{self.workers} worker{'' if self.workers == 1 else 's'}",
            f"{self.scoring} scoring",
        ]
        if self.waiting:
            parts.append(f"{self.waiting} waiting for a machine")
        return ", ".join([*parts, f"{self.images_per_s:,.0f} images/s"])


@dataclass(frozen=True)
class RemotelyEmbedded:
    """Images that one backbone has embedded on another machine."""

    dataset: str
    split: str
    backbone: str
    images: int
    seconds: float
    """Of the forward pass; 0 where the features were stored already."""


class RunMeter:
    """Counts the work of a run as it is done, and estimates the time left.

    The rest of each backbone counts with its own speed: as measured in this run, or as expected and
    corrected by how wrong the expectations of the others were. Waiting for decoded images and
    writing are added in the proportion in which they occurred.
    """

    def __init__(self, work: "Work", clock: Callable[[], float] = time.monotonic) -> None:
        self._work, self._clock = work.by_reported_name(), clock
        self._left = dict(self._work.images)
        self._forward: dict[str, tuple[int, float]] = {}
        """Backbone → images and seconds of its forward passes."""
        self._spent, self._forward_seconds = 0.0, 0.0
        self._pass: tuple[str, str] | None = None
        self._members: frozenset[str] = frozenset()
        """Backbones of the pass; others may embed the same split in another one."""
        self._cell_seconds, self._cells_timed, self._cell_start = 0.0, 0, clock()
        self._ready: set[str] = set()
        """Backbones that have been loaded and tuned, or have embedded images."""
        self._setup_seconds = 0.0
        self._setup: tuple[str, float] | None = None
        """The backbone that is being loaded or tuned, and the time at which that began."""
        self.cells, self.cells_done = work.cells, 0
        self.workers = 1
        """Processes that share the work."""

    def pass_begins(self, dataset: str, split: str, backbones: Sequence[str]) -> None:
        """Count what follows to a pass of some backbones."""
        self._pass, self._members = (dataset, split), frozenset(backbones)

    def setup_begins(self, backbone: str) -> None:
        """Count what follows, to the first images or the next backbone, as loading and tuning."""
        self._end_setup()
        self._setup = backbone, self._clock()

    def _end_setup(self) -> None:
        if self._setup:
            backbone, start = self._setup
            self._setup = None
            self._ready.add(backbone)
            self._setup_seconds += self._clock() - start

    def pass_ends(self) -> None:
        """Count the rest of the pass as done: others have stored it, or it failed."""
        self._end_setup()
        self._left = {
            key: n
            for key, n in self._left.items()
            if key[:2] != self._pass or key[2] not in self._members
        }
        self._pass = None
        self._cell_start = self._clock()

    def forwarded(self, backbone: str, images: int, seconds: float) -> None:
        """Count images that one backbone has embedded."""
        self._end_setup()
        self._ready.add(backbone)
        if self._pass is not None:
            self._strike_off((*self._pass, backbone), images)
        self._measure(backbone, images, seconds)

    def remotely_embedded(self, embedded: RemotelyEmbedded) -> None:
        """Count images that one backbone has embedded on another machine."""
        place = embedded.dataset, embedded.split, embedded.backbone
        self._strike_off(place, embedded.images)
        if embedded.seconds:
            self._measure(embedded.backbone, embedded.images, embedded.seconds)

    def embedded(self, spent: "Spent") -> None:
        """Count the seconds of a block of images."""
        self._forward_seconds += spent.forward_seconds
        self._spent += spent.waited_seconds + spent.forward_seconds + spent.write_seconds

    def cell_ends(self) -> None:
        """Count a cell, and the time since the one before; during a pass it takes none."""
        now = self._clock()
        self.cells_done += 1
        if self._pass is None:
            self._cells_timed += 1
            self._cell_seconds += now - self._cell_start
        self._cell_start = now

    def seconds_left(self) -> float:
        """Return the seconds that the rest of the run takes, loading and tuning included."""
        return self._work_left() + self._setup_left()

    def share_done(self) -> float:
        """Return the share of the run's work that is done, from 0 to 1.

        Images and cells are weighted by the time that they take. Loading and tuning are no share of
        it: a run that has embedded nothing is at 0.
        """
        return 1 - self._work_left() / max(self._seconds(self._work.images, self.cells), 1e-9)

    def _work_left(self) -> float:
        return self._seconds(self._left, max(self.cells - self.cells_done, 0))

    def _setup_left(self) -> float:
        """Return the seconds to load and tune what has not begun, at the mean of what has."""
        waiting = {backbone for (_, _, backbone), n in self._left.items() if n} - self._ready
        elapsed = 0.0
        if self._setup:
            waiting -= {self._setup[0]}
            elapsed = self._clock() - self._setup[1]
        begun = len(self._ready | {self._setup[0]}) if self._setup else len(self._ready)
        return len(waiting) * (self._setup_seconds + elapsed) / max(begun, 1) / self.workers

    def _seconds(self, images: Mapping[tuple[str, str, str], int], cells: int) -> float:
        """Return the seconds that images, by dataset, split and backbone, and cells take."""
        forward = sum(n * self._seconds_per_image(key[2]) for key, n in images.items())
        overhead = self._spent / self._forward_seconds if self._forward_seconds else OVERHEAD
        per_cell = self._cell_seconds / self._cells_timed if self._cells_timed else PROBE_SECONDS
        return forward * overhead / self.workers + cells * per_cell

    def _strike_off(self, place: tuple[str, str, str], images: int) -> None:
        self._left[place] = max(self._left.get(place, 0) - images, 0)

    def _measure(self, backbone: str, images: int, seconds: float) -> None:
        before = self._forward.get(backbone, (0, 0.0))
        self._forward[backbone] = before[0] + images, before[1] + seconds

    def _seconds_per_image(self, backbone: str) -> float:
        images, seconds = self._forward.get(backbone, (0, 0.0))
        if images >= MEASURED_IMAGES:
            return seconds / images
        return self._work.seconds_per_image.get(backbone, 0.0) * self._correction()

    def _correction(self) -> float:
        """Return by how much measured backbones are slower than expected."""
        expected = actual = 0.0
        for name, (images, seconds) in self._forward.items():
            if images >= MEASURED_IMAGES:
                expected += images * self._work.seconds_per_image.get(name, 0.0)
                actual += seconds
        return actual / expected if expected else 1.0


class PassMeter:
    """Images of one pass: done, speed, and whether decoding holds it up."""

    def __init__(self, title: str, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.title, self.total, self._clock = title, total, clock
        self.done = 0
        self._embedded, self._forward, self._waited = 0, 0.0, 0.0
        self._first: tuple[float, int] | None = None
        """Time at which the first block had been embedded, and its images: loading and tuning come
        before."""

    def add(self, images: int, spent: "Spent") -> None:
        """Count a block of images and the time it took."""
        self.done += images
        self._forward += spent.forward_seconds
        self._waited += spent.waited_seconds
        if spent.forward_seconds:
            self._embedded += images
            if self._first is None:
                self._first = self._clock(), self._embedded

    def images_per_s(self) -> float | None:
        """Return the images per second since the first block; None until a second one is done."""
        if self._first is None or self._embedded <= self._first[1]:
            return None
        return (self._embedded - self._first[1]) / max(self._clock() - self._first[0], 1e-9)

    def text(self) -> str:
        """Return `photos train, 8 backbones: 812/1,423 images, 96 images/s`."""
        parts = [f"{self.title}: {self.done:,}/{self.total:,} images"]
        speed = self.images_per_s()
        if speed is not None:
            parts.append(f"{speed:,.0f} images/s" if speed >= 1 else f"{1 / speed:.1f} s per image")
            if self._waited > self._forward:
                parts.append("waiting for decoding")
        return ", ".join(parts)
