"""What runs on the nodes of a Ray cluster: a worker that reports its progress while it works."""

import contextlib
import functools
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bob.backbones.loaders.load import library_versions
from bob.engine.engine import SilentEngineListener
from bob.engine.units import Done, Unit
from bob.engine.worker import Worker
from bob.errors import ConfigError
from bob.extraction.runtimes.choices import runtime_versions
from bob.io.processes import this_process
from bob.plan import Machine, Places, RunSettings, Workspace
from bob.records.provenance import provenance
from bob.records.record import Record

REPORT_SECONDS = 1.0
"""Interval of reports while a unit is under way."""


@dataclass(frozen=True)
class Terms:
    """Where and how a worker computes; the same for all units of a run."""

    places: Places
    settings: RunSettings
    machine: Machine
    threads: int
    """Threads of PyTorch."""
    folder: Path
    """Working directory of the driver, to which relative paths of specs refer."""
    marks: tuple[Path, ...] = ()
    """Files that the driver left in the shared folders."""


@dataclass(frozen=True)
class Began:
    """The first report of a unit: which process does it."""

    host: str
    process: dict[str, Any]
    """As `bob.io.processes.this_process` identifies it."""
    versions: dict[str, str]
    unshared: tuple[str, ...] = ()
    """Folders of the run that are others on this machine."""


@dataclass(frozen=True)
class Progress:
    """What a unit has done since its last report."""

    embedded: Sequence[tuple[str, int, float]] = ()
    """Backbone, images, seconds of the forward pass."""
    records: Sequence[str] = ()
    """Of cells, as JSON."""
    notices: Sequence[str] = ()
    """What the user should know."""


@dataclass(frozen=True)
class Ended:
    """The last report of a unit."""

    done: str
    """A `Done` as JSON."""


Report = Began | Progress | Ended


class RayWorker:
    """Does units in one process of a node; see `Worker`."""

    def __init__(self, terms: Terms) -> None:
        with contextlib.suppress(OSError):  # specs with absolute paths do not need it
            os.chdir(terms.folder)
        self._marks = terms.marks
        torch.set_num_threads(terms.threads)
        self._worker = Worker(Workspace(terms.places, terms.settings, terms.machine, {}))
        self._listener: _ReportingListener | None = None

    def describe(self) -> Began:
        """Return who this worker is."""
        unshared = tuple(str(mark.parent) for mark in self._marks if not mark.exists())
        return Began(socket.gethostname(), this_process(), versions(), unshared)

    def do(self, unit: str) -> Iterator[Report]:
        """Do a unit (JSON text) and yield reports, the last of which says what was done."""
        yield self.describe()
        listener = self._listener = _ReportingListener()
        outcome: list[Done | BaseException] = []

        def work() -> None:
            try:
                outcome.append(self._worker.do(Unit.model_validate_json(unit), listener))
            except BaseException as error:  # is raised again below
                outcome.append(error)
            listener.end()

        thread = threading.Thread(target=work, name="unit", daemon=True)
        thread.start()
        try:
            while (progress := listener.take()) is not None:
                yield progress
        finally:
            listener.stop()
            thread.join()
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        yield Ended(outcome[0].model_dump_json())

    def stop(self) -> None:
        """End the unit that is under way at the next block of images or cell."""
        if self._listener:
            self._listener.stop()


@dataclass(frozen=True)
class _Notice:
    text: str


_Event = tuple[str, int, float] | str | _Notice
"""Images of a backbone with their seconds, a record, or a notice."""


class _ReportingListener(SilentEngineListener):
    """Collects what is to be reported; after `stop`, the next call ends the work."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
        self._stopped, self._ended = threading.Event(), False

    def stop(self) -> None:
        self._stopped.set()

    def end(self) -> None:
        self._events.put(None)

    def take(self) -> Progress | None:
        """Return what happened within the next second; None after the end."""
        if self._ended:
            return None
        embedded, records, notices = list[tuple[str, int, float]](), list[str](), list[str]()
        end = time.monotonic() + REPORT_SECONDS
        with contextlib.suppress(queue.Empty):
            while event := self._events.get(timeout=max(end - time.monotonic(), 0.0)):
                if isinstance(event, str):
                    records.append(event)
                elif isinstance(event, _Notice):
                    notices.append(event.text)
                else:
                    embedded.append(event)
            self._ended = True
        return Progress(embedded, records, notices)

    def waiting(self) -> None:
        self._check()

    def stage(self, name: str, subject: str) -> None:
        self._check()

    def forwarded(self, backbone: str, images: int, seconds: float) -> None:
        self._events.put((backbone, images, seconds))
        self._check()

    def notice(self, text: str) -> None:
        self._events.put(_Notice(text))

    def cell_ends(self, record: Record) -> None:
        self._events.put(record.model_dump_json())
        self._check()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise KeyboardInterrupt


@functools.lru_cache(maxsize=1)
def _worker_of(terms: Terms) -> RayWorker:
    """Return the worker of this process: datasets stay open from task to task."""
    return RayWorker(terms)


def do_unit(terms: Terms, unit: str) -> Iterator[Report]:
    """Do one unit as a Ray task."""
    yield from _worker_of(terms).do(unit)


def versions() -> dict[str, str]:
    """Return the versions on which results may depend, by library."""
    here = provenance()
    libraries = {**library_versions(), **runtime_versions(), **here["libraries"]}
    return {"python": here["python"], "bob": here["bob"], **libraries}


def require_same_inputs(began: Began, here: Mapping[str, str]) -> None:
    """Raise ConfigError where a worker has other folders, or versions than those `here`."""
    if began.unshared:
        raise ConfigError(
            f"node {began.host!r} sees other folders at {', '.join(began.unshared)}: name "
            "folders that all nodes share with --cache-dir and --results."
        )
    ours, theirs = _without_builds(here), _without_builds(began.versions)
    different = [
        f"{name} {theirs.get(name, 'none')} (here {ours.get(name, 'none')})"
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    ]
    if different:
        raise ConfigError(
            f"node {began.host!r} has other versions: {', '.join(different)}. Results may "
            "depend on them: start every node from the same environment or image."
        )


def _without_builds(versions: Mapping[str, str]) -> dict[str, str]:
    """Return versions without `+cpu` and the like: a head without a GPU has another build."""
    return {name: version.partition("+")[0] for name, version in versions.items()}
