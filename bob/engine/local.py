"""The engine of this machine: one process embeds, on one or several devices, and others score."""

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Collection
from concurrent.futures import Future

import psutil

from bob.engine.engine import EngineListener, RelayingListener
from bob.engine.scoring_memory import unit_memory
from bob.engine.scoring_pool import BESIDE_EMBEDDING, ScoringPool
from bob.engine.units import Done, Unit, UnitKind
from bob.engine.worker import Worker
from bob.errors import BobError
from bob.extraction.progress import Spent
from bob.numerics.threads import one_computing_thread
from bob.plan import Workspace
from bob.records.record import Record

SECONDS_HERE = 5.0
"""Time after which a run that scores is worth further processes: each takes seconds to start."""
FIRST_SECONDS = 1.0
"""Time for which cells are scored as soon as they can be, before anything else is embedded: the
first scores of a run."""
MOST_WAITING = 256
"""Units to score that wait for a process."""


class LocalEngine:
    """Embeds in this process, and scores in several.

    After the first scores, units that can be scored wait until images are embedded again: then
    processes of low priority score them, on what the forward passes leave of the cores. Once
    nothing is left to embed, this process and the others score together, on one thread each. Large
    units that this process scores alone have all cores.
    """

    unit_seconds = math.inf

    def __init__(
        self, workspace: Workspace, processes: int = 1, seconds_here: float = SECONDS_HERE
    ) -> None:
        """Compute in the folders and on the devices of a workspace.

        With more than one of `processes`, further ones score, as many as that where nothing is
        embedded and half as many beside the forward passes. None is started for the sake of cells
        alone before this process has scored for `seconds_here`, nor where the waiting cells would
        take it less than that, by the mean of those that it has scored.
        """
        self._worker = Worker(workspace)
        self._pool = ScoringPool(workspace, processes) if processes > 1 else None
        self._seconds_left = seconds_here
        self._first_left = min(FIRST_SECONDS, seconds_here)
        self._seconds_here = seconds_here
        self._cells_here = 0
        self._waiting: deque[tuple[Unit, EngineListener, Future[Done]]] = deque()
        self._following = threading.Lock()

    def has_room(self, kind: UnitKind) -> bool:
        """Whether a unit is begun at once, or may wait for a process that scores it."""
        return kind != "score" or len(self._waiting) < MOST_WAITING

    def submit(self, unit: Unit, listener: EngineListener) -> "Future[Done]":
        """Do a unit, or keep it for a process to score; the future of the former is complete."""
        future: Future[Done] = Future()
        if unit.kind != "score":
            following = _FollowingListener(listener, self) if self._pool else listener
            future.set_result(self._worker.do(unit, following))
        elif self._pool is None:
            future.set_result(self._worker.do(unit, listener))
        else:
            self._score(self._with_cards(unit), listener, future)
        return future

    def wait(self, running: Collection["Future[Done]"]) -> None:
        """Return when one of these futures is complete."""
        while not any(future.done() for future in running):
            assert self._pool is not None  # what this process does is complete when it returns
            self._hand_out(beside=False)
            if self._waiting and (self._seconds_left > 0 or not self._pool.busy):
                unit, listener, future = self._waiting.popleft()
                following = _FollowingListener(listener, self)
                self._score_here(unit, following, future, self._seconds_left)
            else:
                self._pool.wait()

    def close(self) -> None:
        """Release the backbones, and end the processes."""
        if self._pool:
            self._pool.close()
        self._worker.embedders.clear()

    def follow(self, *, beside: bool) -> None:
        """Take in what processes report, and give them units, unless a thread does so already.

        `beside` says whether images are embedded meanwhile.
        """
        if self._pool and self._following.acquire(blocking=False):
            try:
                self._pool.wait(0.0)
                self._hand_out(beside=beside)
            finally:
                self._following.release()

    def _hand_out(self, *, beside: bool) -> None:
        """Give units to processes that are idle or may be started."""
        if self._pool is None:
            return
        while self._waiting and (self._pool.idle or self._may_start(self._pool, beside=beside)):
            unit, listener, future = self._waiting.popleft()
            if not beside:
                listener.stage("scoring", unit.name)
            self._pool.submit(unit, listener, future, BESIDE_EMBEDDING if beside else 0)

    def _may_start(self, pool: ScoringPool, *, beside: bool) -> bool:
        """Whether a further process may score: all are busy. Short work is done here."""
        if beside:
            return pool.busy < max(pool.size // 2, 1)
        if self._seconds_left > 0 or pool.busy >= pool.size or len(self._waiting) < 2:
            return False
        seconds_of_cell = (self._seconds_here - self._seconds_left) / max(1, self._cells_here)
        waiting = sum(len(unit.plan.cells) for unit, *_ in self._waiting)
        return waiting * seconds_of_cell >= self._seconds_here

    def _score(self, unit: Unit, listener: EngineListener, future: "Future[Done]") -> None:
        """Score a unit here if it is among the first, or needs too much memory to wait."""
        assert self._pool is not None
        if self._first_left > 0:
            self._score_here(unit, listener, future, self._first_left)
            return
        share = psutil.virtual_memory().available / (self._pool.size + 1)
        if self._memory(unit) <= share:
            self._waiting.append((unit, listener, future))
        else:
            self._score_here(unit, listener, future, math.inf)

    def _score_here(
        self, unit: Unit, listener: EngineListener, future: "Future[Done]", seconds: float
    ) -> None:
        """Score a unit in this process, and begin none of its cells after some seconds.

        A small one has one thread, as in any other process: the last digits of its scores, which
        vary with the threads, do not tell who had time for it.
        """
        start = time.perf_counter()
        is_small = not self._memory(unit)
        is_beside = self._pool is not None and self._pool.busy > 0
        with one_computing_thread() if is_small or is_beside else contextlib.nullcontext():
            done = self._worker.do(unit, listener, seconds)
        future.set_result(done)
        self._cells_here += len(done.records)
        spent = time.perf_counter() - start
        self._seconds_left -= spent
        self._first_left -= spent

    def _memory(self, unit: Unit) -> int:
        """Return the bytes that a unit needs; 0 where its dataset does not open, as cells say."""
        try:
            return unit_memory(unit, self._worker.workspace)
        except BobError:
            return 0

    def _with_cards(self, unit: Unit) -> Unit:
        """Return a unit with the cards that another process needs."""
        names = {spec.name for spec in unit.plan.backbones.values()}
        return unit.model_copy(update={"cards": self._worker.workspace.cards_of(names)})


class _FollowingListener(RelayingListener):
    """Lets an engine follow its processes between forward passes, or between cells.

    Not before the first images are embedded: until then runtimes are measured.
    """

    def __init__(self, listener: EngineListener, engine: LocalEngine) -> None:
        super().__init__(listener)
        self._engine, self._embeds = engine, False

    def forwarded(self, backbone: str, images: int, seconds: float) -> None:
        super().forwarded(backbone, images, seconds)
        if self._embeds:
            self._engine.follow(beside=True)

    def embedded(self, images: int, spent: Spent) -> None:
        super().embedded(images, spent)
        self._embeds = self._embeds or images > 0

    def pass_ends(self) -> None:
        super().pass_ends()
        self._embeds = False

    def cell_ends(self, record: Record) -> None:
        super().cell_ends(record)
        self._engine.follow(beside=False)
