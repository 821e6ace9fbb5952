"""Does units of work in one process, whichever engine hands them over.

Doing a unit again is harmless: what is stored is not computed again.
"""

import math
import time
from collections.abc import Iterator

from bob.engine.embedders import EmbedderCache
from bob.engine.embedding import Embedding
from bob.engine.engine import EngineListener
from bob.engine.scoring import Scoring
from bob.engine.units import Done, Unit
from bob.io.leases import LeaseObserver
from bob.plan import CardReport, Cell, Plan, Workspace, finished_record
from bob.records.record import Record, lacks_scores


class Worker:
    """Keeps datasets open and backbones loaded from unit to unit."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.records = workspace.places.records()
        self.embedders = EmbedderCache(workspace.machine.device)
        self._leases = LeaseObserver()

    def do(self, unit: Unit, listener: EngineListener, seconds: float = math.inf) -> Done:
        """Do a unit; of one to score, begin no further cell after `seconds`.

        Features go to the store and records to the results folder; failures are stored too. Cells
        that another process is scoring are deferred: their records, or the same unit once more,
        follow when that process has ended.
        """
        self.workspace.add_datasets(unit.plan.datasets)
        self.workspace.add_cards(unit.cards)
        if unit.kind == "check":
            return Done(cards=tuple(self._check(unit, listener)))
        if unit.kind == "embed":
            self._embed(unit, listener)
            return Done()
        self.embedders.leave_room()
        return self._score(unit, listener, seconds)

    def _check(self, unit: Unit, listener: EngineListener) -> Iterator[CardReport]:
        for spec in unit.plan.backbones.values():
            listener.stage("checking", spec.name)
            yield self.workspace.card_report(spec)

    def _embed(self, unit: Unit, listener: EngineListener) -> None:
        plan = unit.plan
        spans = range(*unit.spans) if unit.spans else None
        embedding = Embedding(plan, self.workspace, self.embedders, unit.expected_images, spans)
        for image_pass in plan.passes:
            if plan.settings.fresh:
                embedding.forget(image_pass)
            embedding.do_pass(image_pass, listener)
        for texts in plan.texts:
            embedding.do_texts(texts)

    def _score(self, unit: Unit, listener: EngineListener, seconds: float) -> Done:
        """Score cells, under a lease of their dataset and backbone."""
        first, end = unit.plan.cells[0], time.perf_counter() + seconds
        lease = self._leases.acquire(self.records.lease_path(first.dataset, first.backbone))
        if lease is None:
            return Done(deferred=True)
        scoring, records = Scoring(unit.plan, self.workspace), list[Record]()
        try:
            for cell in unit.plan.cells:
                listener.stage("scoring", f"{cell.task} · {cell.dataset} · {cell.backbone}")
                record = self._finished(cell, unit.plan) or self._new(cell, scoring)
                records.append(record)
                listener.cell_ends(record)
                stops = record.status == "failed" and self.workspace.machine.fail_fast
                if stops or time.perf_counter() >= end:
                    break
        finally:
            lease.release()
        return Done(records=tuple(records), rest=unit.after(len(records)))

    def _finished(self, cell: Cell, plan: Plan) -> Record | None:
        """Return the record of a cell that another process scored since the plan was made."""
        if plan.settings.fresh:
            return None
        record = finished_record(self.records, cell, plan.settings)
        lacks = record is not None and lacks_scores(record, plan.tasks[cell.task].additions)
        return None if lacks else record

    def _new(self, cell: Cell, scoring: Scoring) -> Record:
        record, arrays = scoring.record_of(cell)
        self.records.write(record, arrays)
        return record
