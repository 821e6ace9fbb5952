"""The engine that computes on a Ray cluster: actors embed, tasks score.

Attempts are the conductor's: Ray itself begins nothing again. Plain data crosses the network:
units and their results as JSON, progress as numbers. Features and records go through the shared
folders.
"""

import contextlib
import time
from collections import Counter, deque
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from bob.engine.cluster_meter import ClusterMeter
from bob.engine.engine import EngineListener, LostError
from bob.engine.progress import ClusterState
from bob.engine.ray_actors import ActorPool, SentUnit
from bob.engine.ray_cluster import PlacementWatch, Slot, node_resources, slots
from bob.engine.ray_worker import (
    Began,
    Ended,
    Progress,
    Report,
    Terms,
    do_unit,
    require_same_inputs,
    versions,
)
from bob.engine.scoring_memory import unit_memory
from bob.engine.takeover import release_leases
from bob.engine.units import Done, Unit, UnitKind
from bob.errors import first_line
from bob.io.shared_storage import marked
from bob.plan import Workspace
from bob.records.record import Record

STEP_SECONDS = 1.0
"""Longest time between two looks at the cluster."""
LOOKAHEAD = 2
"""Units per worker that are handed over at once: a worker gets one whose backbones it has."""
GRACE_SECONDS = 8.0
"""Time in which workers end by themselves after an interruption."""


class RayEngine:
    """Hands units to the nodes of a cluster."""

    unit_seconds = 300.0

    def __init__(self, ray: ModuleType, workspace: Workspace, workers: int | None = None) -> None:
        """Compute on the cluster to which `ray` is connected.

        `workers` are the decoding threads, and thus processor cores, of each worker that embeds.
        """
        self._ray, self._workspace = ray, workspace
        self._nodes = node_resources(ray)
        self._open = contextlib.ExitStack()
        self._marks = tuple(
            self._open.enter_context(marked(folder))
            for folder in (workspace.places.cache.absolute(), workspace.places.results.absolute())
        )
        device = workspace.machine.device
        embed, self._score_slot = slots(self._nodes, device, workers)
        self._embed_slot = embed
        self._pool = ActorPool(ray, embed, self._terms(embed))
        self._queued: deque[SentUnit] = deque()
        self._sent: list[SentUnit] = []
        self._losses_of_memory: Counter[str] = Counter()
        self._versions, self._meter = versions(), ClusterMeter()
        self._last_look, self._places_watch = time.monotonic(), PlacementWatch()

    def has_room(self, kind: UnitKind) -> bool:
        """Whether a unit is begun soon."""
        if kind != "score":
            return len(self._queued) < LOOKAHEAD * max(len(self._pool.actors), 1)
        scoring = sum(sent.unit.kind == "score" for sent in self._sent)
        return scoring < LOOKAHEAD * max(self._places(self._score_slot), 1)

    def submit(self, unit: Unit, listener: EngineListener) -> "Future[Done]":
        """Queue a unit for a worker with a device, or send it out as a task that scores."""
        names = {spec.name for spec in unit.plan.backbones.values()}
        unit = unit.model_copy(update={"cards": self._workspace.cards_of(names)})
        if unit.kind != "score":
            sent = SentUnit(unit, listener, self._embed_slot)
            self._queued.append(sent)
            return sent.future
        losses = self._losses_of_memory[unit.id]
        needed = unit_memory(unit, self._workspace, losses)
        slot = replace(self._score_slot, memory_bytes=needed)
        sent = SentUnit(unit, listener, slot)
        options = {**slot.options(), "max_retries": 0, "num_returns": "streaming"}
        task = self._ray.remote(**options)(do_unit)
        sent.reports = task.remote(self._terms(slot), unit.model_dump_json())
        self._sent.append(sent)
        return sent.future

    def wait(self, running: Collection["Future[Done]"]) -> None:
        """Follow the cluster until one of these units is complete."""
        while not any(future.done() for future in running):
            self._sent += self._pool.assign(self._queued)
            self._pool.hire(len(self._queued), self._places(self._embed_slot))
            self._follow()
            if time.monotonic() - self._last_look > STEP_SECONDS:
                self._look_around()

    def close(self) -> None:
        """Let workers end at their next block of images or cell, then end them."""
        self._pool.stop()
        for sent in self._sent:
            if sent.unit.kind == "score":
                with contextlib.suppress(Exception):  # it has ended, or its machine has
                    self._ray.cancel(sent.reports, force=False)
        end = time.monotonic() + GRACE_SECONDS
        while self._sent and time.monotonic() < end:
            self._follow()
        for sent in self._sent:
            if sent.process:
                release_leases(sent.unit, sent.process, self._workspace.places)
        self._open.close()
        self._ray.shutdown()

    # --- following the cluster

    def _follow(self) -> None:
        """Take in what workers report within a second."""
        starting = {actor.description: actor for actor in self._pool.starting}
        reporting = {sent.reports: sent for sent in self._sent}
        waiting = [*starting, *reporting]
        if not waiting:
            time.sleep(STEP_SECONDS)
            return
        self._ray.wait(waiting, num_returns=1, timeout=STEP_SECONDS, fetch_local=False)
        ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
        for reference in ready:
            if reference in starting:
                self._pool.started(starting[reference], self._require_same_inputs)
            else:
                self._take_report(reporting[reference])

    def _take_report(self, sent: SentUnit) -> None:
        exceptions = self._ray.exceptions
        try:
            report: Report = self._ray.get(next(sent.reports))
        except StopIteration:
            self._lose(sent, "its worker ended without a result")
        except exceptions.RayTaskError as error:
            self._sent.remove(sent)
            self._pool.ended(sent, lost=False)
            sent.future.set_exception(error.cause if isinstance(error.cause, Exception) else error)
        except exceptions.RayError as error:
            if isinstance(error, exceptions.OutOfMemoryError):
                self._losses_of_memory[sent.unit.id] += 1
            self._lose(sent, first_line(error))
        else:
            self._take(sent, report)

    def _take(self, sent: SentUnit, report: Report) -> None:
        if isinstance(report, Began):
            sent.began = report
            self._require_same_inputs(report)
        elif isinstance(report, Progress):
            for backbone, images, seconds in report.embedded:
                self._meter.count(sent.unit, backbone, images, seconds)
            for text in report.notices:
                sent.listener.notice(text)
            for record in report.records:
                sent.listener.cell_ends(Record.model_validate_json(record))
        else:
            assert isinstance(report, Ended)
            self._sent.remove(sent)
            self._pool.ended(sent, lost=False)
            self._meter.ended(sent.unit)
            sent.future.set_result(Done.model_validate_json(report.done))

    def _lose(self, sent: SentUnit, reason: str) -> None:
        self._sent.remove(sent)
        self._pool.ended(sent, lost=True)
        host = f"{sent.began.host}: " if sent.began else ""
        sent.future.set_exception(LostError(f"{host}{reason}", sent.process))

    # --- the state of the cluster

    def _look_around(self) -> None:
        """See which nodes there are, report progress, and find units that no node can take."""
        self._last_look = time.monotonic()
        self._nodes = node_resources(self._ray)
        under_way = [*self._sent, *self._queued]
        if not self._queued:
            self._pool.end_idle()
        if not under_way:
            return
        listener = under_way[0].listener
        listener.cluster(self._state(), self._meter.take())
        for sent in under_way:
            problem = self._places_watch.problem(sent.slot, self._nodes)
            if sent.began is None and problem:
                self._report_unplaceable(sent, problem)

    def _state(self) -> ClusterState:
        actors = [actor for actor in self._pool.actors if actor.began]
        scoring = [sent for sent in self._sent if sent.unit.kind == "score"]
        hosts = {actor.began.host for actor in actors if actor.began}
        hosts |= {sent.began.host for sent in scoring if sent.began}
        return ClusterState(
            nodes=len(hosts),
            workers=len(actors),
            scoring=sum(sent.began is not None for sent in scoring),
            waiting=sum(sent.began is None for sent in scoring) + len(self._queued),
            images_per_s=self._meter.images_per_s(),
        )

    def _report_unplaceable(self, sent: SentUnit, problem: str) -> None:
        """Report a unit that no node can take; give it up after a while."""
        waited = time.monotonic() - sent.since
        if notice := self._places_watch.notice(problem, self._nodes, waited):
            sent.listener.notice(notice)
        if self._places_watch.is_hopeless(waited):
            if sent in self._queued:
                self._queued.remove(sent)
            else:
                self._ray.cancel(sent.reports, force=True)
                self._sent.remove(sent)
            sent.future.set_exception(LostError(problem))

    def _places(self, slot: Slot) -> int:
        return sum(slot.places(node) for node in self._nodes)

    def _terms(self, slot: Slot) -> Terms:
        workspace = self._workspace
        device = workspace.machine.device
        machine = replace(
            workspace.machine, devices=(device,), workers=slot.threads, is_remote=False
        )
        places = replace(
            workspace.places,
            cache=workspace.places.cache.absolute(),
            results=workspace.places.results.absolute(),
        )
        return Terms(places, workspace.settings, machine, slot.threads, Path.cwd(), self._marks)

    def _require_same_inputs(self, began: Began) -> None:
        require_same_inputs(began, self._versions)
