"""An engine of simulated machines in simulated time, for the conductor of real runs.

Events happen in the order of their times; nothing waits and nothing is computed. Machines are lost
at random (exponential times), and each is replaced by an empty one after a while.
"""

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, field

from bob.engine.engine import EngineListener, LostError
from bob.engine.units import Done, Unit, UnitKind


@dataclass(eq=False)
class Machine:
    """One worker that embeds; it holds the backbones of its last unit."""

    task: "Task | None" = None
    loaded: set[str] = field(default_factory=set)
    is_lost: bool = False


@dataclass(eq=False)
class Task:
    """A unit with the future of its end."""

    unit: Unit
    future: "Future[Done]" = field(default_factory=Future)

    @property
    def backbones(self) -> set[str]:
        return {forward.backbone for whole in self.unit.plan.passes for forward in whole.forwards}


@dataclass
class Costs:
    """Seconds of the parts of a unit."""

    seconds_per_image: dict[str, float]
    """Forward pass, by backbone; decoding keeps up."""
    load_seconds: float = 5.0
    """Loading a backbone that the machine does not hold."""
    cell_seconds: float = 1.0
    loss_per_hour: float = 0.02
    """Expected losses of a machine per hour."""
    replace_seconds: float = 300.0
    """Time until a lost machine is replaced."""


class SimulatedEngine:
    """`workers` machines that embed, with `scorers` processes that score."""

    unit_seconds = 300.0

    def __init__(
        self,
        workers: int,
        scorers: int,
        costs: Costs,
        images_of: Callable[[Unit], int],
        seed: int = 0,
    ) -> None:
        self.costs, self.images_of = costs, images_of
        self.now, self.busy_seconds, self.losses = 0.0, 0.0, 0
        self._random = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._machines: list[Machine] = []
        self._queued: deque[Task] = deque()
        self._scoring: deque[Task] = deque()
        self._free_scorers, self._scorers = scorers, scorers
        for _ in range(workers):
            self._join()

    def has_room(self, kind: UnitKind) -> bool:
        """As `RayEngine`: two units per worker."""
        if kind == "score":
            return len(self._scoring) < self._scorers
        return len(self._queued) < 2 * max(len(self._machines), 1)

    def submit(self, unit: Unit, listener: EngineListener) -> "Future[Done]":
        task = Task(unit)
        (self._scoring if unit.kind == "score" else self._queued).append(task)
        self._assign()
        return task.future

    def wait(self, running: Collection["Future[Done]"]) -> None:
        """Let events happen until one of these units has ended."""
        while not any(future.done() for future in running):
            self.now, _, happen = heapq.heappop(self._events)
            happen()
            self._assign()

    def close(self) -> None: ...

    def _at(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), happen))

    def _join(self) -> None:
        machine = Machine()
        self._machines.append(machine)
        if self.costs.loss_per_hour:
            rate = -math.log1p(-self.costs.loss_per_hour) / 3600
            self._at(self._random.expovariate(rate), lambda: self._lose(machine))

    def _lose(self, machine: Machine) -> None:
        self.losses += 1
        machine.is_lost = True
        self._machines.remove(machine)
        self._at(self.costs.replace_seconds, self._join)
        if machine.task:
            machine.task.future.set_exception(LostError("the simulation"))

    def _assign(self) -> None:
        for machine in self._machines:
            if machine.task or not self._queued:
                continue
            held = machine.loaded
            task = max(self._queued, key=lambda task: len(task.backbones & held))
            self._queued.remove(task)
            self._begin(machine, task)
        while self._free_scorers and self._scoring:
            self._free_scorers -= 1
            task = self._scoring.popleft()
            seconds = self.costs.cell_seconds * len(task.unit.plan.cells)
            self._at(seconds, lambda task=task: self._scored(task))  # type: ignore[misc]

    def _begin(self, machine: Machine, task: Task) -> None:
        forward = self.images_of(task.unit) * sum(
            self.costs.seconds_per_image[name] for name in task.backbones
        )
        load = self.costs.load_seconds * len(task.backbones - machine.loaded)
        machine.task, machine.loaded = task, task.backbones
        self._at(forward + load, lambda: self._embedded(machine, task, forward))

    def _embedded(self, machine: Machine, task: Task, forward: float) -> None:
        if machine.is_lost:
            return
        machine.task = None
        self.busy_seconds += forward
        task.future.set_result(Done())

    def _scored(self, task: Task) -> None:
        self._free_scorers += 1
        task.future.set_result(Done())
