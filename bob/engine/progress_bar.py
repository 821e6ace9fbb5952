"""A progress bar for Python: a widget in a notebook, a line of standard error elsewhere."""

import sys
from collections.abc import Sequence
from typing import Any

from bob.engine.engine import SilentEngineListener
from bob.engine.progress import SETUP_STAGES, RunMeter
from bob.engine.work import Work
from bob.extraction.progress import Spent
from bob.records.record import Record

FORMAT = "{desc} |{bar}| {n:.0f} %{postfix}"


class ProgressBar(SilentEngineListener):
    """Shows which share of a run is done, what it is doing, and the time left."""

    def __init__(self) -> None:
        self._meter: RunMeter | None = None
        self._bar: Any = None

    def run_begins(self, work: Work) -> None:
        from tqdm.auto import tqdm

        self._meter = RunMeter(work)
        self._bar = tqdm(total=100.0, bar_format=FORMAT, desc="preparing", leave=True)

    def run_ends(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._meter = self._bar = None

    def stage(self, name: str, subject: str) -> None:
        if self._bar is not None:
            self._bar.set_description(f"{name} {subject}")
        if self._meter and name in SETUP_STAGES:
            self._meter.setup_begins(subject)

    def pass_begins(self, dataset: str, split: str, images: int, backbones: Sequence[str]) -> None:
        if self._meter:
            self._meter.pass_begins(dataset, split, backbones)
        self.stage("embedding", f"{dataset} {split}")

    def forwarded(self, backbone: str, images: int, seconds: float) -> None:
        if self._meter:
            self._meter.forwarded(backbone, images, seconds)
            self._update()

    def embedded(self, images: int, spent: Spent) -> None:
        if self._meter:
            self._meter.embedded(spent)

    def pass_ends(self) -> None:
        if self._meter:
            self._meter.pass_ends()
            self._update()

    def cell_ends(self, record: Record) -> None:
        if self._meter:
            self._meter.cell_ends()
            self._update()

    def _update(self) -> None:
        """Move the bar to the share that is done, never back: estimates vary."""
        assert self._meter is not None
        share = 100 * self._meter.share_done()
        cells = f"{self._meter.cells_done} of {self._meter.cells} cells"
        self._bar.set_postfix_str(
            f"{cells}, {self._meter.seconds_left():.0f} s left", refresh=False
        )
        self._bar.update(max(share - self._bar.n, 0.0))


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    return "ipykernel" in sys.modules
