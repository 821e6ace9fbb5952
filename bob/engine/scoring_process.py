"""A process that scores units for a `ScoringPool`, on one core."""

import atexit
import contextlib
import gc
import signal
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection

from bob.engine.engine import SilentEngineListener
from bob.engine.units import Done, Unit
from bob.engine.worker import Worker
from bob.errors import BobError
from bob.plan import Machine, Places, RunSettings, Workspace
from bob.records.record import Record


@dataclass(frozen=True)
class ScoringTerms:
    """Where and how the process scores; the same for all units."""

    places: Places
    settings: RunSettings
    machine: Machine


Report = Record | Done | Exception
"""The record of a cell, or how a unit has ended."""


def score_units(connection: "Connection[Report, ScoringTerms | Unit]") -> None:
    """Receive the terms, then one unit at a time, until the other end of a connection is closed."""
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        terms = connection.recv()
        assert isinstance(terms, ScoringTerms)
        worker = Worker(Workspace(terms.places, terms.settings, terms.machine, {}))
        while True:
            unit = connection.recv()
            assert isinstance(unit, Unit)
            connection.send(_done(worker, unit, _SendingListener(connection)))


def _done(worker: Worker, unit: Unit, listener: "_SendingListener") -> Done | Exception:
    try:
        return worker.do(unit, listener)
    except (BrokenPipeError, ConnectionResetError):  # nobody waits for the result any more
        raise
    except (BobError, OSError) as error:
        return error
    except Exception as error:  # of a library: perhaps it cannot be sent
        return RuntimeError(f"{type(error).__name__}: {error}")


class _SendingListener(SilentEngineListener):
    """Sends each record as soon as it is stored."""

    def __init__(self, connection: "Connection[Report, ScoringTerms | Unit]") -> None:
        self._connection = connection

    def cell_ends(self, record: Record) -> None:
        self._connection.send(record)


def main() -> None:
    """Score units for the process that started this one, whose file descriptor is the argument."""
    atexit.register(gc.freeze)  # the interpreter's end would look through all objects
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the one that started it
    score_units(Connection(int(sys.argv[1])))
