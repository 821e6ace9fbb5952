"""What carries out a plan. Results never depend on the engine."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from bob.extraction.progress import ProgressListener
from bob.plan import Plan
from bob.records.record import Record


class EngineListener(ProgressListener, Protocol):
    """Receives the progress of a run."""

    def pass_begins(
        self, dataset: str, split: str, images: int, backbones: Sequence[str]
    ) -> None: ...

    def pass_ends(self) -> None: ...

    def cell_ends(self, record: Record) -> None: ...


class Engine(Protocol):
    """Carries out plans on some machines."""

    def run(self, plan: Plan, listener: EngineListener) -> Iterator[Record]:
        """Carry out a plan and yield the record of each cell as it is stored.

        Every cell ends as a record. The iterator ends early for fail-fast, Ctrl-C or a full disk
        only; the same plan then resumes at what is missing.
        """
