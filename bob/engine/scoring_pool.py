"""Processes of this machine that score units side by side, each on one core.

Probes of some thousand images gain little from several threads, and the interpreter runs one
thread at a time; processes use all cores. One that scores while images are embedded has a low
priority, and takes what the forward passes leave of the cores.
"""

import contextlib
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from bob.engine.engine import EngineListener, LostError
from bob.engine.scoring_process import Report, ScoringTerms
from bob.engine.takeover import release_leases
from bob.engine.units import Done, Unit
from bob.io.processes import process_identity
from bob.plan import Workspace
from bob.records.record import Record

CODE = (
    "import gc, os, sys; del sys.path[0]; os.nice(int(sys.argv[2])); gc.disable(); "
    "from bob.engine.scoring_process import main; gc.enable(); main()"
)
"""What a process runs; the first folder of its search path is the working directory. The garbage
collector is paused during imports, as by `bob.io.garbage.collector_paused`."""
BESIDE_EMBEDDING = 10
"""Niceness of a process that is started while images are embedded: a thread that embeds gets nine
times as much of a core on which both want to run."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""The last two prevail over the first where a user has set them."""
ENDING_SECONDS = 5.0
"""Time that a process has to end before it is killed."""


@dataclass(eq=False)
class _Process:
    """A process, and the unit that it scores."""

    popen: "subprocess.Popen[bytes]"
    identity: dict[str, Any]
    """As leases name it."""
    connection: "Connection[ScoringTerms | Unit, Report]"
    unit: Unit | None = None
    listener: EngineListener | None = None
    future: "Future[Done]" = field(default_factory=Future)

    def begin(self, unit: Unit, listener: EngineListener, future: "Future[Done]") -> None:
        """Send a unit, whose result goes to a future."""
        self.unit, self.listener, self.future = unit, listener, future
        with contextlib.suppress(OSError):  # its end is noticed where its reports are read
            self.connection.send(unit)

    def take(self, report: Report) -> None:
        """Take in a report: a record, or how the unit has ended."""
        assert self.listener is not None
        if isinstance(report, Record):
            self.listener.cell_ends(report)
            return
        self.unit = None
        if isinstance(report, Done):
            self.future.set_result(report)
        else:
            self.future.set_exception(report)


class ScoringPool:
    """Starts processes on demand and gives each of them one unit at a time."""

    def __init__(self, workspace: Workspace, size: int) -> None:
        """Score in the folders of a workspace, in at most `size` processes."""
        self._workspace, self.size = workspace, size
        self._processes: list[_Process] = []

    @property
    def busy(self) -> int:
        """Units under way."""
        return sum(process.unit is not None for process in self._processes)

    @property
    def idle(self) -> int:
        """Processes that have no unit."""
        return len(self._processes) - self.busy

    def submit(
        self, unit: Unit, listener: EngineListener, future: "Future[Done]", niceness: int = 0
    ) -> None:
        """Begin a unit, in a further process if none is idle, of which `niceness` is the priority.

        The future receives the result, or LostError where the process has ended.
        """
        process = next((each for each in self._processes if each.unit is None), None)
        (process or self._start(niceness)).begin(unit, listener, future)

    def wait(self, seconds: float | None = None) -> None:
        """Take in reports of busy processes; wait for the first, for some seconds at most."""
        busy = {process.connection: process for process in self._processes if process.unit}
        for ready in wait(list(busy), seconds):
            assert isinstance(ready, Connection)
            process = busy[ready]
            try:
                report = process.connection.recv()
            except (EOFError, OSError):
                self._lose(process)
            else:
                process.take(report)

    def close(self) -> None:
        """End all processes; units under way are left unfinished, and their leases released."""
        for process in self._processes:
            process.connection.close()  # an idle one ends
            if process.unit is not None:
                process.popen.terminate()
        for process in self._processes:
            try:
                process.popen.wait(ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.popen.wait()
            if process.unit is not None:
                release_leases(process.unit, process.identity, self._workspace.places)
        self._processes.clear()

    def _start(self, niceness: int) -> _Process:
        ours, theirs = multiprocessing.Pipe()
        path = os.pathsep.join(folder for folder in sys.path if folder)
        environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": path}
        descriptor = theirs.fileno()
        command = [sys.executable, "-c", CODE, str(descriptor), str(niceness)]
        popen = subprocess.Popen(command, env=environment, pass_fds=[descriptor])
        theirs.close()
        workspace = self._workspace
        process = _Process(popen, process_identity(popen.pid), ours)
        ours.send(ScoringTerms(workspace.places, workspace.settings, workspace.machine))
        self._processes.append(process)
        return process

    def _lose(self, process: _Process) -> None:
        """Report that a process has ended in the middle of its unit."""
        self._processes.remove(process)
        process.connection.close()
        reason = f"the process that scored it ended with exit code {process.popen.wait()}"
        process.future.set_exception(LostError(reason, process.identity))
