"""What carries out units of work. Results never depend on the engine."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from bob.engine.estimate import Work
from bob.engine.units import Done, Unit
from bob.extraction.progress import ProgressListener, SilentListener
from bob.records.record import Record


class EngineListener(ProgressListener, Protocol):
    """Receives the progress of a run."""

    def run_begins(self, work: Work) -> None:
        """A run begins, in which this is to be done."""

    def run_ends(self) -> None:
        """It is complete, or ends early."""

    def pass_begins(self, dataset: str, split: str, images: int, backbones: Sequence[str]) -> None:
        """A pass over some images begins, for some backbones."""

    def pass_ends(self) -> None:
        """It is complete, or has failed."""

    def cell_ends(self, record: Record) -> None:
        """A cell has its record."""


class SilentEngineListener(SilentListener):
    """A listener that ignores everything, to be overridden in parts."""

    def run_begins(self, work: Work) -> None: ...

    def run_ends(self) -> None: ...

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
