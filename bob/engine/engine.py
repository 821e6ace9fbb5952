"""What carries out units of work. Results never depend on the engine."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from bob.engine.progress import ClusterState, RemotelyEmbedded
from bob.engine.units import Done, Unit, UnitKind
from bob.engine.work import Work
from bob.extraction.progress import ProgressListener, SilentListener, Spent
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

    def notice(self, text: str) -> None:
        """Something happened that the user should know."""

    def cluster(self, state: ClusterState, embedded: Sequence[RemotelyEmbedded]) -> None:
        """Several machines are at work; these images were embedded since the last call."""


class SilentEngineListener(SilentListener):
    """A listener that ignores everything, to be overridden in parts."""

    def run_begins(self, work: Work) -> None: ...

    def run_ends(self) -> None: ...

    def pass_begins(
        self, dataset: str, split: str, images: int, backbones: Sequence[str]
    ) -> None: ...

    def pass_ends(self) -> None: ...

    def cell_ends(self, record: Record) -> None: ...

    def notice(self, text: str) -> None: ...

    def cluster(self, state: ClusterState, embedded: Sequence[RemotelyEmbedded]) -> None: ...


class RelayingListener:
    """A listener that passes everything on to another one, to be overridden in parts."""

    def __init__(self, listener: EngineListener) -> None:
        self._listener = listener

    def waiting(self) -> None:
        self._listener.waiting()

    def stage(self, name: str, subject: str) -> None:
        self._listener.stage(name, subject)

    def forwarded(self, backbone: str, images: int, seconds: float) -> None:
        self._listener.forwarded(backbone, images, seconds)

    def embedded(self, images: int, spent: Spent) -> None:
        self._listener.embedded(images, spent)

    def run_begins(self, work: Work) -> None:
        self._listener.run_begins(work)

    def run_ends(self) -> None:
        self._listener.run_ends()

    def pass_begins(self, dataset: str, split: str, images: int, backbones: Sequence[str]) -> None:
        self._listener.pass_begins(dataset, split, images, backbones)

    def pass_ends(self) -> None:
        self._listener.pass_ends()

    def cell_ends(self, record: Record) -> None:
        self._listener.cell_ends(record)

    def notice(self, text: str) -> None:
        self._listener.notice(text)

    def cluster(self, state: ClusterState, embedded: Sequence[RemotelyEmbedded]) -> None:
        self._listener.cluster(state, embedded)


class LostError(Exception):
    """The process or machine that did a unit is gone; the unit may be done again elsewhere."""

    def __init__(self, reason: str, process: Mapping[str, Any] | None = None) -> None:
        """Name the process that is gone, as `bob.io.processes.this_process` does there."""
        super().__init__(reason)
        self.process = process


class Engine(Protocol):
    """Processes that do units of work."""

    unit_seconds: float
    """Time that one unit should take at most; passes are divided accordingly."""

    def has_room(self, kind: UnitKind) -> bool:
        """Whether a unit of this kind may be handed over now."""

    def submit(self, unit: Unit, listener: EngineListener) -> "Future[Done]":
        """Begin a unit, or do it at once.

        The future raises LostError where whoever did it is gone. Other errors of a unit's own work
        are records, or reasons in the feature store.
        """

    def wait(self, running: Collection["Future[Done]"]) -> None:
        """Return when one of these futures is complete."""

    def close(self) -> None:
        """Stop what is under way, and release processes and memory."""
