"""What the engine of a cluster does with reports of workers, on a cluster that only pretends."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bob.engine.engine import SilentEngineListener
from bob.engine.ray_actors import Actor, SentUnit
from bob.engine.ray_cluster import Slot
from bob.engine.ray_engine import RayEngine
from bob.engine.ray_worker import Began, Ended, Progress, versions
from bob.engine.units import Done, Unit
from bob.errors import ConfigError
from bob.plan import Machine, Places, Plan, RunSettings, Workspace


class Notices(SilentEngineListener):
    """A listener that collects notices."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[RayEngine]:
    """Return an engine on one node of four cores, which never starts a worker."""
    nodes = [{"Alive": True, "Resources": {"CPU": 4.0}}]
    ray: Any = SimpleNamespace(
        nodes=lambda: nodes,
        wait=lambda references, **_: (references, []),
        get=lambda reference: reference,
        exceptions=SimpleNamespace(RayTaskError=OSError, RayError=OSError),
        shutdown=lambda: None,
    )
    places = Places(tmp_path / "cache", tmp_path / "results")
    engine = RayEngine(ray, Workspace(places, RunSettings(), Machine(is_remote=True), {}))
    yield engine
    engine.close()


def sent(listener: Notices) -> SentUnit:
    plan = Plan(settings=RunSettings(), backbones={}, tasks={}, datasets={})
    return SentUnit(Unit(kind="embed", plan=plan), listener, Slot(0, 1.0))


def test_the_first_report_of_every_unit_is_compared_with_the_driver(engine: RayEngine) -> None:
    unit, here = sent(Notices()), versions()
    engine._take(unit, Began("same", {}, here))
    assert unit.began is not None and unit.began.host == "same"
    with pytest.raises(ConfigError, match="node 'other' has other versions: numpy 0"):
        engine._take(unit, Began("other", {}, {**here, "numpy": "0"}))


def test_notices_of_a_worker_reach_the_user(engine: RayEngine) -> None:
    listener = Notices()
    engine._take(sent(listener), Progress(notices=["7 threads are planned"]))
    assert listener.texts == ["7 threads are planned"]


def test_an_idle_worker_does_the_next_unit_instead_of_a_new_one(engine: RayEngine) -> None:
    """The pretended cluster cannot start any worker."""
    reports = iter([Ended(Done().model_dump_json())])
    do = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda _: reports))
    engine._pool.actors.append(Actor(SimpleNamespace(do=do), None, Began("idle", {}, versions())))
    future = engine.submit(sent(Notices()).unit, Notices())
    engine.wait([future])
    assert future.result() == Done()
