"""What carries out units of work. Results never depend on the engine."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from bob.engine.units import Done, Unit
from bob.extraction.progress import ProgressListener
from bob.records.record import Record


class EngineListener(ProgressListener, Protocol):
    """Receives the progress of a run."""

    def pass_begins(
        self, dataset: str, split: str, images: int, backbones: Sequence[str]
    ) -> None: ...

    def pass_ends(self) -> None: ...

    def cell_ends(self, record: Record) -> None: ...


class LostError(Exception):
    """The process or machine that did a unit is gone; the unit may be done again elsewhere."""


class Engine(Protocol):
    """Processes that do units of work."""

    capacity: int
    """Units to hand over at once."""

    def submit(self, unit: Unit, listener: EngineListener) -> "Future[Done]":
        """Begin a unit, or do it at once.

        The future raises LostError where whoever did it is gone. Other errors of a unit's own work
        are records, or reasons in the feature store.
        """

    def close(self) -> None:
        """Stop what is under way, and release processes and memory."""
