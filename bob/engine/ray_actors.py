"""The workers on a Ray cluster that embed: they keep backbones loaded from unit to unit."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from bob.engine.engine import EngineListener
from bob.engine.ray_cluster import Slot
from bob.engine.ray_worker import Began, RayWorker, Terms
from bob.engine.units import Done, Unit
from bob.errors import ConfigError

IDLE_SECONDS = 60.0
"""Time after which an idle worker is ended, so that its node can be given back."""
START_FAILURES = 3
"""Workers that may fail to start one after the other."""


@dataclass(eq=False)
class SentUnit:
    """A unit that was handed over to a cluster."""

    unit: Unit
    listener: EngineListener
    slot: Slot
    future: "Future[Done]" = field(default_factory=Future)
    reports: Any = None
    """Ray's generator of references to reports; None until it was sent out."""
    began: Began | None = None
    """None until a process has begun it."""
    since: float = field(default_factory=time.monotonic)

    @property
    def backbones(self) -> set[str]:
        """The names of the backbones that embed in it."""
        return {
            forward.backbone
            for image_pass in self.unit.plan.passes
            for forward in image_pass.forwards
        }

    @property
    def process(self) -> Mapping[str, Any] | None:
        """The process that does it."""
        return self.began.process if self.began else None


@dataclass(eq=False)
class Actor:
    """One worker."""

    handle: Any
    description: Any
    """Reference to the description that it gives when it has started."""
    began: Began | None = None
    """None while it waits for a place or starts."""
    unit: SentUnit | None = None
    loaded: set[str] = field(default_factory=set)
    """Backbones of its last unit."""
    idle_since: float = 0.0


class ActorPool:
    """As many workers as have a place."""

    def __init__(self, ray: ModuleType, slot: Slot, terms: Terms) -> None:
        self._ray, self._slot, self._terms = ray, slot, terms
        self.actors: list[Actor] = []
        self._failures = 0

    @property
    def starting(self) -> list[Actor]:
        """Those that wait for a place or start."""
        return [actor for actor in self.actors if actor.began is None]

    def hire(self, queued: int, places: int) -> None:
        """Start workers for units that wait: one per place, and one for which there is no GPU yet.

        The last one makes an autoscaler add a node.
        """
        starting = len(self.starting)
        limit = places + bool(self._slot.gpus)
        while starting < queued and len(self.actors) < limit:
            options = {
                **self._slot.options(),
                "max_restarts": 0,
                "max_task_retries": 0,
                "max_concurrency": 2,  # `stop` comes while `do` works
            }
            remote = self._ray.remote(RayWorker).options(**options)
            handle = remote.remote(self._terms)
            self.actors.append(Actor(handle, handle.describe.remote()))
            starting += 1

    def started(self, actor: Actor, check: Callable[[Began], None]) -> None:
        """Take in a worker that has started, or failed to.

        ConfigError where workers fail one after the other.
        """
        try:
            actor.began = self._ray.get(actor.description)
        except self._ray.exceptions.RayError as error:
            self.actors.remove(actor)
            self._failures += 1
            if self._failures >= START_FAILURES:
                raise ConfigError(f"workers do not start on the cluster: {error}") from error
            return
        check(actor.began)
        self._failures, actor.idle_since = 0, time.monotonic()

    def assign(self, queue: deque[SentUnit]) -> list[SentUnit]:
        """Give each idle worker the unit most of whose backbones it has loaded.

        Returns the units that were sent out.
        """
        sent = []
        for actor in self.actors:
            if actor.began is None or actor.unit or not queue:
                continue
            unit = max(queue, key=lambda each: len(each.backbones & actor.loaded))
            queue.remove(unit)
            do = actor.handle.do.options(num_returns="streaming")
            unit.reports, unit.began = do.remote(unit.unit.model_dump_json()), actor.began
            actor.unit, actor.loaded = unit, unit.backbones
            sent.append(unit)
        return sent

    def ended(self, unit: SentUnit, *, lost: bool) -> None:
        """Make the worker of a unit idle; forget it where it is lost."""
        for actor in [actor for actor in self.actors if actor.unit is unit]:
            actor.unit, actor.idle_since = None, time.monotonic()
            if lost:
                self._end(actor)

    def end_idle(self) -> None:
        """End workers without work, so that an autoscaler can give their nodes back."""
        now = time.monotonic()
        for actor in list(self.actors):
            if not actor.unit and (actor.began is None or now - actor.idle_since > IDLE_SECONDS):
                self._end(actor)

    def stop(self) -> None:
        """Let workers end their units at the next block of images."""
        for actor in self.actors:
            if actor.unit:
                actor.handle.stop.remote()

    def _end(self, actor: Actor) -> None:
        self.actors.remove(actor)
        with contextlib.suppress(Exception):  # it may be gone already
            self._ray.kill(actor.handle)
