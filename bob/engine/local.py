"""The engine of this machine: one process embeds, on one or several devices."""

import math
import time
from collections.abc import Collection
from concurrent.futures import Future

import psutil

from bob.engine.engine import EngineListener
from bob.engine.scoring_memory import unit_memory
from bob.engine.scoring_pool import ScoringPool
from bob.engine.units import Done, Unit, UnitKind
from bob.engine.worker import Worker
from bob.plan import Workspace

SECONDS_HERE = 5.0
"""Time after which a run that scores is worth further processes: each takes seconds to start."""


class LocalEngine:
    """Does one unit after the other in this process, or scores in several others.

    Embedding uses all cores, and its speed is measured, so that nothing is scored meanwhile.
    """

    unit_seconds = math.inf

    def __init__(
        self, workspace: Workspace, processes: int = 1, seconds_here: float = SECONDS_HERE
    ) -> None:
        """Compute in the folders and on the devices of a workspace.

        With more than one of `processes`, units are scored side by side in as many further ones
        after this process has scored for `seconds_here`, the rest of a unit that it has begun too.
        """
        self._worker = Worker(workspace)
        self._pool = ScoringPool(workspace, processes) if processes > 1 else None
        self._seconds_left = seconds_here

    def has_room(self, kind: UnitKind) -> bool:
        """Whether a unit is begun at once."""
        busy = self._pool.busy if self._pool else 0
        return not busy or (kind == "score" and self._pool is not None and busy < self._pool.size)

    def submit(self, unit: Unit, listener: EngineListener) -> "Future[Done]":
        """Do a unit, or let another process score it; the future of the former is complete."""
        seconds = math.inf
        if self._pool and unit.kind == "score" and self._seconds_left > 0:
            seconds = self._seconds_left
        elif self._pool and unit.kind == "score":
            workspace = self._worker.workspace
            names = {spec.name for spec in unit.plan.backbones.values()}
            unit = unit.model_copy(update={"cards": workspace.cards_of(names)})
            share = psutil.virtual_memory().available / (self._pool.size + 1)
            if unit_memory(unit, workspace) <= share:
                return self._pool.submit(unit, listener)
        future: Future[Done] = Future()
        start = time.perf_counter()
        future.set_result(self._worker.do(unit, listener, seconds))
        if unit.kind == "score":
            self._seconds_left -= time.perf_counter() - start
        return future

    def wait(self, running: Collection["Future[Done]"]) -> None:
        """Return when one of these futures is complete."""
        while not any(future.done() for future in running):
            assert self._pool is not None  # what this process does is complete when it returns
            self._pool.wait()

    def close(self) -> None:
        """Release the backbones, and end the processes."""
        if self._pool:
            self._pool.close()
        self._worker.embedders.clear()
