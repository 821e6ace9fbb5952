"""Carries out a plan on any engine: order, attempts, lost machines, and an early end."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from bob.engine.cell_records import unscored_record
from bob.engine.engine import Engine, EngineListener, LostError
from bob.engine.estimate import estimate
from bob.engine.renewal import renew_finished
from bob.engine.takeover import release_leases
from bob.engine.temporary import TemporaryStatistics
from bob.engine.unit_queue import UnitQueue
from bob.engine.units import Done, Unit, units
from bob.features.inventory import in_use
from bob.plan import Cell, Plan, Workspace
from bob.records.record import Record

ATTEMPTS = 3
"""How often a unit is begun whose machine is lost each time."""
POLL_SECONDS = 0.5
"""Interval at which cells are asked for again that another process is scoring."""


def conduct(
    plan: Plan,
    workspace: Workspace,
    engine: Engine,
    listener: EngineListener,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Record]:
    """Carry out a plan and yield the record of each cell as it is stored.

    Every cell ends as a record. The iterator ends early for fail-fast, Ctrl-C or a full disk only;
    the same plan then resumes at what is missing.
    """
    root = workspace.places.features().root
    features = {digest for cell in plan.cells for digest in cell.features}
    with in_use(root, features) as announcement:
        try:
            temporary = TemporaryStatistics(plan, workspace, announcement)
            yield from _Conductor(plan, workspace, engine, listener, sleep, temporary).run()
        finally:
            listener.run_ends()
            engine.close()


class _Conductor:
    """One run of one plan."""

    def __init__(
        self,
        plan: Plan,
        workspace: Workspace,
        engine: Engine,
        listener: EngineListener,
        sleep: Callable[[float], None],
        temporary: TemporaryStatistics,
    ) -> None:
        self.plan, self.workspace, self.engine = plan, workspace, engine
        self.listener, self.sleep, self.temporary = listener, sleep, temporary
        self.records, self.store = workspace.places.records(), workspace.places.features()
        self.running: dict[Future[Done], tuple[int, Unit]] = {}
        """Units under way, with their positions in the queue."""
        self.attempts: Counter[str] = Counter()
        self.begun: set[str] = set()
        """Digests of features of which some unit was begun; a failure since then is of this run."""
        self.recorded: set[str] = set()
        """Keys of cells whose record was yielded."""

    def run(self) -> Iterator[Record]:
        fail_fast = self.workspace.machine.fail_fast
        for record in self._run():
            yield record
            if fail_fast and record.status == "failed":
                return

    def _run(self) -> Iterator[Record]:
        renew_finished(self.plan.done, self.records)
        self._store_not_applicable()
        for unscored in self.plan.failed:
            yield self._store_unscored(unscored.cell, "failed", unscored.reason)
        work = estimate(self.plan, self.workspace).work
        self.listener.run_begins(work)
        self.queue = UnitQueue(
            [*units(self.plan, work.seconds_per_image, work.workers, self.engine.unit_seconds)]
        )
        self.temporary.remove(self.queue.is_stored_later)
        while self.queue or self.running:
            self._submit_ready()
            self.engine.wait(self.running)
            finished = [future for future in self.running if future.done()]
            deferred = 0
            for future in finished:
                position, unit = self.running.pop(future)
                done = self._result(position, unit, future)
                if done is not None:
                    deferred += done.deferred
                    yield from self._accept(position, unit, done)
            if finished and deferred == len(finished):
                self.sleep(POLL_SECONDS)

    def _submit_ready(self) -> None:
        """Hand over units, in order, until there is no room or one of them is done."""
        while following := self.queue.pop(self.engine.has_room):
            for digest in following[1].provides - self.begun:
                self.store.clear_failure(digest)
            self.begun |= following[1].provides
            future = self.engine.submit(self.temporary.needed(following[1]), self.listener)
            self.running[future] = following
            if future.done():
                return

    def _result(self, position: int, unit: Unit, future: "Future[Done]") -> Done | None:
        """Return what was done; None where the unit is begun again."""
        try:
            return future.result()
        except LostError as error:
            if error.process is not None:
                release_leases(unit, error.process, self.workspace.places)
            self.attempts[unit.id] += 1
            if self.attempts[unit.id] < ATTEMPTS:
                self._begin_again(position, unit)
                return None
            return self._give_up(unit, f"its machine was lost {ATTEMPTS} times ({error})")

    def _begin_again(self, position: int, unit: Unit) -> None:
        """Queue a lost unit; before the last attempt in parts, one of which may be the cause."""
        attempts = self.attempts[unit.id]
        parts = unit.divided() if attempts == ATTEMPTS - 1 else [unit]
        if len(parts) == 1:
            self.queue.put_back(position, unit)
            return
        for part in parts:
            self.attempts[part.id] = attempts
            self.queue.append(part)

    def _give_up(self, unit: Unit, reason: str) -> Done:
        """Leave the reason where the cells look for it, or fail the cells."""
        for image_pass in unit.plan.passes:
            for forward in image_pass.forwards:
                for digest in forward.digests():
                    self.store.record_failure(digest, reason)
        for texts in unit.plan.texts:
            self.store.record_failure(texts.digest, reason)
        records = []
        for cell in unit.plan.cells:
            record = self._store_unscored(cell, "failed", reason)
            self.listener.cell_ends(record)
            records.append(record)
        return Done(records=tuple(records))

    def _accept(self, position: int, unit: Unit, done: Done) -> Iterator[Record]:
        """Yield new records; what was deferred waits for its turn, and a rest comes next."""
        if done.deferred:
            self.queue.append(unit)
            return
        self.queue.ended(unit)
        if unit.kind == "embed":
            self.temporary.remove(self.queue.is_stored_later)
        if done.rest is not None:
            self.queue.put_back(position, done.rest)
        for record in done.records:
            if record.key not in self.recorded:
                self.recorded.add(record.key)
                yield record

    def _store_not_applicable(self) -> None:
        """Store why cells are not applicable, once."""
        for unscored in self.plan.not_applicable:
            cell = unscored.cell
            known = self.records.find(cell.task, cell.dataset, cell.backbone, cell.key)
            if known is None or known.reason != unscored.reason:
                self._store_unscored(cell, "not_applicable", unscored.reason)

    def _store_unscored(self, cell: Cell, status: str, reason: str) -> Record:
        """Store the record of a cell without scores, and return it."""
        record = unscored_record(self.plan, self.workspace, cell, status, reason)
        self.records.write(record, {})
        return record
