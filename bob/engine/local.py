"""The engine that computes in this process, on one or several devices of this machine."""

from concurrent.futures import Future

from bob.engine.engine import EngineListener
from bob.engine.units import Done, Unit
from bob.engine.worker import Worker
from bob.plan import Workspace


class LocalEngine:
    """Does one unit after the other."""

    capacity = 1

    def __init__(self, workspace: Workspace) -> None:
        """Compute in the folders and on the devices of a workspace."""
        self._worker = Worker(workspace)

    def submit(self, unit: Unit, listener: EngineListener) -> "Future[Done]":
        """Do a unit; the future is complete when this returns."""
        future: Future[Done] = Future()
        future.set_result(self._worker.do(unit, listener))
        return future

    def close(self) -> None:
        """Release the backbones."""
        self._worker.embedders.clear()
