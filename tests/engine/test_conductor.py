"""Every cell of a plan ends as one record, whatever an engine loses, repeats or reorders."""

import json
import math
import random
import threading
from collections import Counter
from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from pathlib import Path

import pytest

from bob.engine.cell_records import unscored_record
from bob.engine.checking import check_backbones
from bob.engine.conductor import ATTEMPTS, POLL_SECONDS, conduct
from bob.engine.engine import EngineListener, LostError
from bob.engine.units import Done, Unit, UnitKind, units
from bob.engine.worker import Worker
from bob.errors import BackboneError
from bob.plan import CardReport, Plan, Workspace, make_plan, make_workspace, specs_to_check
from bob.records.record import Record
from tests.builders.fresh_process import run_python
from tests.builders.planned_runs import Silent, run
from tests.builders.plans import BACKBONES, make_request


def work_of(unit: Unit) -> set[str]:
    """Return the features that a unit stores and the cells that it scores."""
    return {*unit.provides, *(cell.key for cell in unit.plan.cells)}


class FakeEngine:
    """Does units in a thread of its own, in random order, and loses, repeats and defers some."""

    unit_seconds = math.inf

    def __init__(
        self,
        plan: Plan,
        workspace: Workspace,
        seed: int = 0,
        lost: float = 0.0,
        deferred: float = 0.0,
        capacity: int = 3,
    ) -> None:
        self.capacity, self.lost, self.deferred = capacity, lost, deferred
        self.records = {
            cell.key: unscored_record(plan, workspace, cell, "failed", "made by the fake")
            for cell in plan.cells
        }
        self.random = random.Random(seed)
        self.process: dict[str, object] | None = None
        """The process that each unit loses."""
        self.deadly: set[str] = set()
        """Digests of features that end the machine that computes them."""
        self.stored: set[str] = set()
        self.begun: list[str] = []
        self.losses: Counter[str] = Counter()
        self.most_under_way = 0
        self._under_way: list[tuple[Unit, Future[Done]]] = []
        self._changed, self._closed = threading.Condition(), False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def has_room(self, kind: UnitKind) -> bool:
        return len(self._under_way) < self.capacity

    def wait(self, running: Collection["Future[Done]"]) -> None:
        wait(running, return_when=FIRST_COMPLETED)

    def submit(self, unit: Unit, listener: EngineListener) -> "Future[Done]":
        future: Future[Done] = Future()
        with self._changed:
            given_up = {digest for digest in unit.requires if digest not in self.stored}
            assert all(self.losses[digest] >= ATTEMPTS for digest in given_up), "not stored yet"
            at_once = [work_of(unit) & work_of(other) for other, _ in self._under_way]
            assert not any(at_once), "done by two at once"
            assert self.losses[unit.id] < ATTEMPTS, "begun too often"
            self.begun.append(unit.name)
            self._under_way.append((unit, future))
            self.most_under_way = max(self.most_under_way, len(self._under_way))
            self._changed.notify_all()
        return future

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._under_way or self._closed)
                if self._closed:
                    return
                at = self.random.randrange(len(self._under_way))
                unit, future = self._under_way.pop(at)
                is_lost = self.random.random() < self.lost or bool(unit.provides & self.deadly)
                if not is_lost or self.random.random() < 0.5:  # some are lost after their work
                    self.stored |= unit.provides
                if is_lost:
                    self.losses.update([*unit.provides, unit.id])
            if is_lost:
                future.set_exception(LostError("the fake", self.process))
            elif unit.kind == "score" and self.random.random() < self.deferred:
                future.set_result(Done(deferred=True))
            else:
                keys = [cell.key for cell in unit.plan.cells]
                future.set_result(Done(records=tuple(self.records[key] for key in keys)))


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Workspace]:
    request = make_request(tmp_path_factory.mktemp("plan"), "knn", "linear")
    workspace = make_workspace(request)
    return make_plan(request, workspace), workspace


def conducted(engine: FakeEngine, plan: Plan, workspace: Workspace) -> list[Record]:
    return list(conduct(plan, workspace, engine, Silent(), sleep=lambda seconds: None))


@pytest.mark.parametrize("seed", range(30))
def test_every_cell_ends_as_one_record(planned: tuple[Plan, Workspace], seed: int) -> None:
    plan, workspace = planned
    engine = FakeEngine(plan, workspace, seed, lost=0.2, deferred=0.3, capacity=1 + seed % 5)
    records = conducted(engine, plan, workspace)
    assert sorted(r.key for r in records) == sorted(cell.key for cell in plan.cells)
    assert engine.most_under_way <= engine.capacity
    for record in records:
        reason = str(record.reason)
        assert reason == "made by the fake" or reason.startswith("its machine was lost 3 times")


def test_without_losses_each_unit_is_begun_once(planned: tuple[Plan, Workspace]) -> None:
    plan, workspace = planned
    engine = FakeEngine(plan, workspace, capacity=100)
    conducted(engine, plan, workspace)
    assert len(engine.begun) == len(set(engine.begun)) == 4 + 2 * len(BACKBONES)


def test_a_unit_that_is_always_lost_is_given_up_after_three_attempts(
    planned: tuple[Plan, Workspace],
) -> None:
    plan, workspace = planned
    engine = FakeEngine(plan, workspace, lost=1.0)
    records = conducted(engine, plan, workspace)
    assert {str(record.reason) for record in records} == {"its machine was lost 3 times (the fake)"}
    assert len(records) == len(plan.cells)
    assert {engine.losses[digest] for digest in plan.stored_digests()} == {ATTEMPTS}
    store = workspace.places.features()
    for digest in plan.stored_digests():
        assert store.failure(digest) == "its machine was lost 3 times (the fake)"
        store.clear_failure(digest)


def test_what_ends_every_machine_does_so_alone_in_its_last_attempt(
    planned: tuple[Plan, Workspace],
) -> None:
    """It is one of three backbones of its passes; the others are scored."""
    plan, workspace = planned
    engine = FakeEngine(plan, workspace)
    engine.deadly = {
        digest
        for whole in plan.passes
        for forward in whole.forwards
        for digest in forward.outputs.values()
        if forward.backbone == "raw_pixels"
    }
    conducted(engine, plan, workspace)
    store = workspace.places.features()
    for digest in plan.stored_digests():
        is_deadly = digest in engine.deadly
        assert engine.losses[digest] == (ATTEMPTS if is_deadly else ATTEMPTS - 1)
        assert (store.failure(digest) is not None) == is_deadly


def test_the_leases_of_a_lost_machine_are_removed(
    planned: tuple[Plan, Workspace],
) -> None:
    """They would be valid for two minutes; those of others stay."""
    plan, workspace = planned
    lost = {"machine": "elsewhere", "pid": 7, "born": 1.0}
    other = {"machine": "elsewhere", "pid": 8, "born": 1.0}
    store, records = workspace.places.features(), workspace.places.records()
    digest, cell = next(plan.stored_digests()), plan.cells[0]
    paths = [
        store.folder_of(digest) / "000000.lease",
        store.folder_of(digest) / "000001.lease",
        records.lease_path(cell.dataset, cell.backbone),
    ]
    for path, owner in zip(paths, (lost, other, lost), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(owner))
    engine = FakeEngine(plan, workspace, lost=1.0)
    engine.process = lost
    conducted(engine, plan, workspace)
    assert [path.exists() for path in paths] == [False, True, False]
    paths[1].unlink()


def test_deferred_cells_are_asked_for_again_after_a_pause(
    planned: tuple[Plan, Workspace],
) -> None:
    plan, workspace = planned
    engine, pauses = FakeEngine(plan, workspace, seed=1, deferred=0.9, capacity=1), list[float]()
    records = list(conduct(plan, workspace, engine, Silent(), sleep=pauses.append))
    assert len(records) == len(plan.cells)
    assert pauses and set(pauses) == {POLL_SECONDS}


def test_fail_fast_ends_at_the_first_failure(planned: tuple[Plan, Workspace]) -> None:
    plan, workspace = planned
    quick = Workspace(
        workspace.places,
        workspace.settings,
        replace(workspace.machine, fail_fast=True),
        workspace.specs,
    )
    records = conducted(FakeEngine(plan, workspace), plan, quick)
    assert len(records) == 1


# --- checking backbones


class LosingWorker:
    """Does each unit at once, after it was lost a number of times."""

    unit_seconds = math.inf

    def __init__(self, workspace: Workspace, losses: int) -> None:
        self.worker, self.losses = Worker(workspace), losses
        self.begun: Counter[str] = Counter()

    def has_room(self, kind: UnitKind) -> bool:
        return True

    def submit(self, unit: Unit, listener: EngineListener) -> "Future[Done]":
        future: Future[Done] = Future()
        self.begun[unit.id] += 1
        if self.begun[unit.id] <= self.losses:
            future.set_exception(LostError("the fake"))
        else:  # as it crosses a network
            done = self.worker.do(Unit.model_validate_json(unit.model_dump_json()), listener)
            future.set_result(Done.model_validate_json(done.model_dump_json()))
        return future

    def wait(self, running: Collection["Future[Done]"]) -> None: ...

    def close(self) -> None: ...


def test_a_plan_of_cards_made_elsewhere_is_that_of_cards_made_here(tmp_path: Path) -> None:
    request = make_request(tmp_path, "knn", "linear")
    expected = make_plan(request)
    workspace, remote = make_workspace(request), make_workspace(request)
    specs = specs_to_check(request, workspace)
    engine = LosingWorker(remote, losses=ATTEMPTS - 1)
    workspace.add_cards(check_backbones(specs, request.settings, engine, Silent()))
    workspace.card_source = lambda specs: pytest.fail(f"{specs} was not checked")
    assert make_plan(request, workspace) == expected
    assert set(specs) <= set(expected.specs_to_check()) and len(engine.begun) == len(BACKBONES)


def test_a_backbone_whose_machine_is_always_lost_does_not_work(tmp_path: Path) -> None:
    request = make_request(tmp_path, "knn", backbones=("raw_pixels",))
    workspace = make_workspace(request)
    engine = LosingWorker(workspace, losses=ATTEMPTS)
    reports = check_backbones([request.backbones[0].spec], request.settings, engine, Silent())
    workspace.add_cards(reports)
    with pytest.raises(BackboneError, match=r"'raw_pixels': the machine .* was lost 3 times"):
        workspace.card(request.backbones[0].spec)


def test_what_is_unavailable_elsewhere_is_skipped_here(tmp_path: Path) -> None:
    request = make_request(tmp_path, "knn", backbones=("raw_pixels",))
    workspace, spec = make_workspace(request), request.backbones[0].spec
    workspace.add_cards([CardReport(spec=spec, error="UnavailableError", message="no weights")])
    (skip,) = make_plan(request, workspace).skipped
    assert skip.reason == "no weights" and skip.exact


# --- the worker


def test_a_unit_done_twice_computes_nothing_twice(tmp_path: Path) -> None:
    request = make_request(tmp_path, "knn", backbones=("raw_pixels",))
    plan = make_plan(request)
    run(plan, make_workspace(request))
    stored = [*tmp_path.rglob("*.safetensors"), *(tmp_path / "results").rglob("*.json")]
    before = {path: path.stat().st_mtime_ns for path in stored}
    listener = run(plan, make_workspace(request))
    assert before and listener.passes == []
    assert {path: path.stat().st_mtime_ns for path in stored} == before


def test_cells_that_another_process_scores_are_deferred(tmp_path: Path) -> None:
    request = make_request(tmp_path, "knn", backbones=("raw_pixels",))
    plan, workspace = make_plan(request), make_workspace(request)
    first, second = Worker(workspace), Worker(make_workspace(request))
    lease = first._leases.acquire(first.records.lease_path("first", "raw_pixels"))
    assert lease is not None
    unit = next(
        unit
        for unit in units(plan, {}, workers=1)
        if unit.kind == "score" and unit.plan.cells[0].dataset == "first"
    )
    assert second.do(unit, Silent()).deferred
    lease.release()
    assert not second.do(unit, Silent()).deferred


PROGRAM = """
import json
import multiprocessing
import sys
from pathlib import Path
from bob.engine.scoring import Scoring
from bob.plan import make_plan, make_workspace
from tests.builders.preloaded import LOADED  # imported before the process forks
from tests.builders.planned_runs import run
from tests.builders.plans import make_request

assert LOADED
real = Scoring.record_of

def child(pipe, planned):
    scored = []
    def record_of(self, cell):
        scored.append(cell.key)
        return real(self, cell)
    Scoring.record_of = record_of
    request = make_request(Path(sys.argv[1]), "knn", "ridge")
    plan = make_plan(request)
    planned.wait()
    run(plan, make_workspace(request))
    pipe.send([len(plan.cells), *scored])

context = multiprocessing.get_context("fork")
planned, pipes = context.Barrier(2), [context.Pipe(duplex=False) for _ in range(2)]
processes = [context.Process(target=child, args=(theirs, planned)) for _, theirs in pipes]
for process in processes:
    process.start()
for process in processes:
    process.join()
print(json.dumps([ours.recv() for ours, _ in pipes if ours.poll()]))
sys.exit(max(process.exitcode for process in processes))
"""


def test_two_processes_with_one_plan_compute_each_cell_once(tmp_path: Path) -> None:
    """Both plan all cells before either begins, so that neither knows of the other's."""
    make_plan(make_request(tmp_path, "knn", "ridge"))  # makes images and cards
    done = run_python(["-c", PROGRAM, str(tmp_path)])
    assert done.returncode == 0, done.stderr
    (planned, *first), (also_planned, *second) = json.loads(done.stdout)
    assert planned == also_planned == 12
    assert len(first + second) == len(set(first + second)) == 12
