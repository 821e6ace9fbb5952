"""The engine that computes in this process, on one or several devices of this machine."""

import math
from collections.abc import Collection
from concurrent.futures import Future

from bob.engine.engine import EngineListener
from bob.engine.units import Done, Unit, UnitKind
from bob.engine.worker import Worker
from bob.plan import Workspace


class LocalEngine:
    """Does one unit after the other."""

    unit_seconds = math.inf

    def __init__(self, workspace: Workspace) -> None:
        """Compute in the folders and on the devices of a workspace."""
        self._worker = Worker(workspace)

    def has_room(self, kind: UnitKind) -> bool:
        """Return True: a unit is done when it is handed over."""
        return True

    def submit(self, unit: Unit, listener: EngineListener) -> "Future[Done]":
        """Do a unit; the future is complete when this returns."""
        future: Future[Done] = Future()
        future.set_result(self._worker.do(unit, listener))
        return future

    def wait(self, running: Collection["Future[Done]"]) -> None:
        """Return at once, since all futures are complete."""

    def close(self) -> None:
        """Release the backbones."""
        self._worker.embedders.clear()
