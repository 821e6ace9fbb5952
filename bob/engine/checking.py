"""Backbones are checked where the devices are, many at a time."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future

from bob.engine.conductor import ATTEMPTS
from bob.engine.engine import Engine, EngineListener, LostError
from bob.engine.unit_queue import UnitQueue
from bob.engine.units import Done, Unit, check_units
from bob.plan import CardReport, RunSettings
from bob.specs import BackboneSpec


def check_backbones(
    specs: Sequence[BackboneSpec], settings: RunSettings, engine: Engine, listener: EngineListener
) -> list[CardReport]:
    """Return the cards of backbones, made by the workers of an engine."""
    queue = UnitQueue(list(check_units(specs, settings)))
    running: dict[Future[Done], tuple[int, Unit]] = {}
    attempts: Counter[str] = Counter()
    reports: list[CardReport] = []
    while queue or running:
        while following := queue.pop(engine.has_room):
            running[engine.submit(following[1], listener)] = following
        engine.wait(running)
        for future in [future for future in running if future.done()]:
            position, unit = running.pop(future)
            try:
                reports += future.result().cards
            except LostError as error:
                attempts[unit.id] += 1
                if attempts[unit.id] < ATTEMPTS:
                    queue.put_back(position, unit)
                    continue
                reports += _lost(unit, error)
    return reports


def _lost(unit: Unit, error: LostError) -> list[CardReport]:
    return [
        CardReport(
            spec=spec,
            error="BackboneError",
            message=f"backbone {spec.name!r}: the machine that loads it was lost {ATTEMPTS} times "
            f"({error}).",
        )
        for spec in unit.plan.backbones.values()
    ]
