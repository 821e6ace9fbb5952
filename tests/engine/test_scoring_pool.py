"""Scoring in several processes gives the results of one, whatever becomes of a process."""

import json
import multiprocessing
import os
import threading
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bob.engine.choose import MOST_PROCESSES, scoring_processes
from bob.engine.conductor import conduct
from bob.engine.engine import EngineListener, LostError, SilentEngineListener
from bob.engine.local import LocalEngine, _FollowingListener
from bob.engine.scoring_pool import BESIDE_EMBEDDING, ScoringPool
from bob.engine.scoring_process import ScoringTerms, score_units
from bob.engine.units import Done, Unit, units
from bob.engine.worker import Worker
from bob.errors import UndefinedError
from bob.extraction.progress import Spent
from bob.io.processes import process_is_gone
from bob.numerics.threads import torch_threads
from bob.plan import Machine, Workspace, make_plan, make_workspace
from bob.records.record import Record
from tests.builders.plans import make_request


class Counting(SilentEngineListener):
    """A listener that keeps the records that it is shown."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def cell_ends(self, record: Record) -> None:
        self.records.append(record)


def a_unit(folder: Path) -> tuple[Unit, Workspace]:
    """Return a unit that scores, on features that are not stored."""
    request = make_request(folder, "knn", backbones=("raw_pixels",))
    workspace = make_workspace(request)
    unit = next(unit for unit in units(make_plan(request), {}, workers=1) if unit.kind == "score")
    return unit, workspace


def test_processes_side_by_side_give_the_records_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of six units, three backbones on two datasets, this process scores the first one's first
    cell; another process scores its second one."""
    elsewhere, submit = list[str](), ScoringPool.submit

    def counted(
        pool: ScoringPool,
        unit: Unit,
        listener: EngineListener,
        future: "Future[Done]",
        niceness: int = 0,
    ) -> None:
        elsewhere.append(unit.name)
        submit(pool, unit, listener, future, niceness)

    monkeypatch.setattr(ScoringPool, "submit", counted)
    request, other = (make_request(tmp_path, "knn", "ridge") for _ in range(2))
    other = replace(other, places=replace(other.places, results=tmp_path / "several"))
    workspaces = make_workspace(request), make_workspace(other)
    one, several = Counting(), Counting()
    list(conduct(make_plan(request), workspaces[0], LocalEngine(workspaces[0]), one))
    engine = LocalEngine(workspaces[1], processes=2, seconds_here=1e-9)
    yielded = list(conduct(make_plan(other), workspaces[1], engine, several))
    assert len(one.records) == len(several.records) == len(yielded) == 12
    assert len(elsewhere) == len(set(elsewhere)) == 6
    ours = {record.key: record for record in one.records}
    for record in several.records:
        twin = ours[record.key]
        assert (record.scores, record.details) == (twin.scores, twin.details)
        arrays = workspaces[1].places.records().arrays(record)
        for name, values in workspaces[0].places.records().arrays(twin).items():
            np.testing.assert_array_equal(arrays[name], values)


def test_what_waits_is_scored_beside_forward_passes_at_a_low_priority(tmp_path: Path) -> None:
    """Of three units of two cells, this process scores the first cell: the others wait until
    images are embedded, and one of two processes scores them in turn."""
    request = make_request(tmp_path, "knn", "ridge")
    workspace, listener = make_workspace(request), Counting()
    of_dataset = [unit for unit in units(make_plan(request), {}, 1) if unit.plan.cells][:3]
    stored = [unit for unit in units(make_plan(request), {}, 1) if unit.kind == "embed"]
    engine = LocalEngine(workspace, processes=2, seconds_here=1e-9)
    for unit in stored:
        engine.submit(unit, listener)
    futures = [engine.submit(unit, listener) for unit in of_dataset]
    assert [future.done() for future in futures] == [True, False, False]
    engine.follow(beside=True)
    pool = engine._pool
    assert pool is not None
    (process,) = pool._processes
    while not futures[1].done():
        pool.wait()
    assert os.getpriority(os.PRIO_PROCESS, process.popen.pid) == BESIDE_EMBEDDING
    engine.follow(beside=True)
    while not futures[2].done():
        pool.wait()
    assert len(pool._processes) == 1 and len(listener.records) == 5
    assert all(record.status == "ok" for record in listener.records)
    engine.close()


def test_a_dataset_that_does_not_open_fails_the_cells_and_not_the_run(tmp_path: Path) -> None:
    unit, workspace = a_unit(tmp_path)
    unit = unit.model_copy(update={"plan": unit.plan.model_copy(update={"datasets": {}})})
    elsewhere = Workspace(workspace.places, workspace.settings, workspace.machine, {})
    (record,) = LocalEngine(elsewhere, processes=2).submit(unit, Counting()).result().records
    assert record.status == "failed" and "is not among those of the plan" in str(record.reason)


def test_no_process_is_started_for_a_last_unit(tmp_path: Path) -> None:
    """This process has scored for long enough, and another would take seconds to start."""
    request = make_request(tmp_path, "knn", backbones=("raw_pixels", "channel_statistics"))
    workspace, listener = make_workspace(request), Counting()
    engine = LocalEngine(workspace, processes=2, seconds_here=1e-9)
    to_do = list(units(make_plan(request), {}, 1))
    for unit in (unit for unit in to_do if unit.kind == "embed"):
        engine.submit(unit, listener)
    first, last = [unit for unit in to_do if unit.kind == "score"][:2]
    assert engine.submit(first, listener).done()
    future = engine.submit(last, listener)
    assert not future.done()
    engine.wait([future])
    assert future.done() and engine._pool is not None and not engine._pool._processes
    engine.close()


@pytest.mark.parametrize(("seconds_left", "starts"), [(-1.0, False), (-7.0, True), (1.0, False)])
def test_processes_are_started_for_cells_that_take_longer_than_a_start(
    tmp_path: Path, seconds_left: float, starts: bool
) -> None:
    """By hand: after 6 s for 3 cells, the 2 that wait take 4 s, less than 5; after 12 s, 8 s."""
    unit, workspace = a_unit(tmp_path)
    engine = LocalEngine(workspace, processes=2, seconds_here=5.0)
    engine._seconds_left, engine._cells_here = seconds_left, 3
    engine._waiting.extend([(unit, SilentEngineListener(), Future())] * 2)
    assert engine._pool is not None
    assert engine._may_start(engine._pool, beside=False) == starts


@pytest.mark.parametrize(
    ("busy", "memory", "threads"), [(0, 10**9, 2), (1, 10**9, 1), (0, 0, 1), (1, 0, 1)]
)
def test_only_a_large_unit_that_is_scored_alone_has_several_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: int, memory: int, threads: int
) -> None:
    """Scores of small ones vary in their last digits with the threads, not with the process."""

    class Threads(SilentEngineListener):
        def __init__(self) -> None:
            self.of_cells: list[int] = []

        def cell_ends(self, record: Record) -> None:
            self.of_cells.append(torch.get_num_threads())

    unit, workspace = a_unit(tmp_path)
    monkeypatch.setattr(ScoringPool, "busy", busy)
    monkeypatch.setattr(ScoringPool, "idle", 0)
    monkeypatch.setattr("bob.engine.local.unit_memory", lambda unit, workspace: memory)
    monkeypatch.setattr(ScoringPool, "wait", lambda pool, seconds=None: None)
    engine, listener = LocalEngine(workspace, processes=2, seconds_here=60.0), Threads()
    engine._first_left = 0.0
    with torch_threads(2):
        engine.wait([engine.submit(unit, listener)])
    assert listener.of_cells == [threads]


def test_images_that_are_embedded_let_processes_begin_after_the_first_block(
    tmp_path: Path,
) -> None:
    engine = LocalEngine(make_workspace(make_request(tmp_path, "knn")), processes=2)
    followed = list[bool]()
    engine.follow = lambda *, beside: followed.append(beside)  # type: ignore[method-assign]
    listener = _FollowingListener(SilentEngineListener(), engine)
    listener.forwarded("a", 64, 1.0)
    assert followed == []  # runtimes are measured in the first block
    listener.embedded(64, Spent(forward_seconds=1.0))
    listener.forwarded("a", 64, 1.0)
    assert followed == [True]
    listener.pass_ends()
    listener.forwarded("b", 64, 1.0)
    assert followed == [True]


def test_a_process_that_is_killed_loses_its_unit(tmp_path: Path) -> None:
    unit, workspace = a_unit(tmp_path)
    pool = ScoringPool(workspace, 1)
    future: Future[Done] = Future()
    pool.submit(unit, Counting(), future)
    (process,) = pool._processes
    process.popen.kill()
    while not future.done():
        pool.wait()
    with pytest.raises(LostError, match="ended with exit code -9") as lost:
        future.result()
    assert lost.value.process == process.identity and process_is_gone(process.identity)
    assert pool.busy == 0
    pool.close()


def test_closing_ends_processes_and_releases_their_leases(tmp_path: Path) -> None:
    unit, workspace = a_unit(tmp_path)
    pool = ScoringPool(workspace, 1)
    pool.submit(unit, Counting(), Future())
    (process,) = pool._processes
    cell = unit.plan.cells[0]
    lease = workspace.places.records().lease_path(cell.dataset, cell.backbone)
    lease.parent.mkdir(parents=True, exist_ok=True)
    lease.write_text(json.dumps(process.identity))
    pool.close()
    assert process_is_gone(process.identity) and not lease.exists()


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (OSError(28, "No space left on device"), OSError(28, "No space left on device")),
        (UndefinedError("of a kind"), UndefinedError("of a kind")),
        (KeyError("of a library"), RuntimeError("KeyError: 'of a library'")),
    ],
)
def test_errors_of_a_unit_reach_the_other_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, sent: Exception
) -> None:
    unit, workspace = a_unit(tmp_path)

    def fail(worker: Worker, unit: Unit, listener: SilentEngineListener) -> Done:
        raise error

    monkeypatch.setattr(Worker, "do", fail)
    ours, theirs = multiprocessing.Pipe()
    thread = threading.Thread(target=score_units, args=[theirs])
    thread.start()
    ours.send(ScoringTerms(workspace.places, workspace.settings, workspace.machine))
    ours.send(unit)
    report = ours.recv()
    ours.close()
    thread.join()
    assert type(report) is type(sent) and report.args == sent.args


def test_each_core_scores_and_a_gpu_scores_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)
    assert scoring_processes(Machine()) == MOST_PROCESSES
    assert scoring_processes(Machine(devices=("cuda:0",))) == 1
    assert scoring_processes(Machine(devices=("cuda:0",), scoring_device="cpu")) == MOST_PROCESSES
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    assert scoring_processes(Machine()) == 1


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_a_process_has_one_thread_whatever_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Two processes of two threads each spin on two cores: `run` took twice as long."""
    environments = list[dict[str, str]]()

    def popen(*_: object, env: dict[str, str], **__: object) -> None:
        environments.append(env)
        raise OSError("not started")

    monkeypatch.setenv(name, "2")
    monkeypatch.setattr("bob.engine.scoring_pool.subprocess.Popen", popen)
    unit, workspace = a_unit(tmp_path)
    with pytest.raises(OSError, match="not started"):
        ScoringPool(workspace, 1).submit(unit, SilentEngineListener(), Future())
    assert environments[0][name] == "1"
