"""The engine that computes in this process, on one or several devices of this machine."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from bob.engine.engine import EngineListener
from bob.engine.stages import stages
from bob.engine.worker import Worker
from bob.errors import BobError
from bob.features.inventory import in_use
from bob.plan import Cell, Plan, Workspace
from bob.records.record import Record

Arrays = Mapping[str, NDArray[Any]]


class LocalEngine:
    """Carries out a plan stage by stage: passes first, then the cells that read them."""

    def __init__(self, workspace: Workspace) -> None:
        """Compute in the folders and on the devices of a workspace."""
        self.workspace = workspace
        self.records = workspace.places.records()

    def run(self, plan: Plan, listener: EngineListener) -> Iterator[Record]:
        """See `Engine.run`."""
        root = self.workspace.places.features().root
        with in_use(root, {digest for cell in plan.cells for digest in cell.features}):
            yield from self._run(plan, listener)

    def _run(self, plan: Plan, listener: EngineListener) -> Iterator[Record]:
        worker, fail_fast = Worker(plan, self.workspace), self.workspace.machine.fail_fast
        self._store_not_applicable(plan, worker)
        for unscored in plan.failed:
            record = worker.unscored(unscored.cell, "failed", unscored.reason)
            self.records.write(record, {})
            yield record
            if fail_fast:
                return
        workers = self.workspace.machine.workers
        for stage in stages(plan, self._seconds_per_image(plan), workers):
            self._embed(stage, worker, listener)
            for cell in stage.cells:
                record = self._score(cell, worker, listener)
                yield record
                if fail_fast and record.status == "failed":
                    return

    def _seconds_per_image(self, plan: Plan) -> dict[str, float]:
        """Return the time of each backbone's forward pass, as its card states it."""
        seconds = {}
        for name in dict.fromkeys(cell.backbone for cell in plan.cells):
            with contextlib.suppress(BobError):  # its cells say so
                seconds[name] = self.workspace.card(plan.backbones[name]).seconds_per_image
        return seconds

    def _store_not_applicable(self, plan: Plan, worker: Worker) -> None:
        """Store why cells are not applicable, once."""
        for unscored in plan.not_applicable:
            cell = unscored.cell
            known = self.records.find(cell.task, cell.dataset, cell.backbone, cell.key)
            if known is None or known.reason != unscored.reason:
                record = worker.unscored(cell, "not_applicable", unscored.reason)
                self.records.write(record, {})

    def _embed(self, plan: Plan, worker: Worker, listener: EngineListener) -> None:
        """Compute the features that the cells of a plan read."""
        for whole in plan.passes:
            if plan.settings.fresh:
                worker.forget(whole)
            worker.do_pass(whole, listener)
        for texts in plan.texts:
            worker.do_texts(texts)

    def _score(self, cell: Cell, worker: Worker, listener: EngineListener) -> Record:
        record, arrays = worker.do_cell(cell)
        self.records.write(record, arrays)
        listener.cell_ends(record)
        return record
