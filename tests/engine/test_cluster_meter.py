"""The display of progress on a cluster: images of units on other machines, by hand."""

import pytest

from bob.engine.cluster_meter import ClusterMeter
from bob.engine.progress import ClusterState, RemotelyEmbedded
from bob.engine.units import Unit
from bob.plan import Forward, Pass, Plan, RunSettings


def embedding_unit(count: int, *backbones: str, spans: tuple[int, int] | None = None) -> Unit:
    """Return a unit that embeds the images of a split, or some spans of them."""
    whole = Pass(
        dataset="d",
        images={"split": "train"},
        split="train",
        fingerprint="f",
        count=count,
        forwards=tuple(Forward(backbone=name) for name in backbones),
    )
    plan = Plan(settings=RunSettings(), backbones={}, tasks={}, datasets={}, passes=(whole,))
    return Unit(kind="embed", plan=plan, spans=spans)


def test_speed_is_in_images_of_all_backbones_of_a_unit_over_the_last_minute() -> None:
    """Two backbones, 40 images each, in 10 s; a minute later, 30 images of one of them."""
    now = 0.0
    meter, unit = ClusterMeter(lambda: now), embedding_unit(100, "a", "b")
    assert meter.images_per_s() == 0.0
    now = 10.0
    meter.count(unit, "a", 40, 1.0)
    meter.count(unit, "b", 40, 3.0)
    assert meter.images_per_s() == pytest.approx(40 / 10)
    now = 75.0
    meter.count(unit, "a", 30, 1.0)
    assert meter.images_per_s() == pytest.approx(15 / 60)


def test_what_a_unit_that_ended_has_not_counted_was_stored_already() -> None:
    """The last of two spans: 1,100 - 1,024 = 76 images, of which `a` embedded 16 and `b` all."""
    meter, unit = ClusterMeter(lambda: 0.0), embedding_unit(1100, "a", "b", spans=(1, 2))
    meter.count(unit, "a", 16, 0.5)
    meter.count(unit, "b", 76, 2.0)
    meter.ended(unit)
    assert meter.take() == [
        RemotelyEmbedded("d", "train", "a", 16, 0.5),
        RemotelyEmbedded("d", "train", "b", 76, 2.0),
        RemotelyEmbedded("d", "train", "a", 60, 0.0),
    ]
    assert meter.take() == []


def test_the_state_of_a_cluster_is_one_line() -> None:
    busy, waiting = ClusterState(2, 8, 3, 0, 1200.4), ClusterState(1, 1, 0, 4, 0.0)
    assert busy.text() == "2 nodes, 8 workers, 3 scoring, 1,200 images/s"
    expected = "1 node, 1 worker, 0 scoring, 4 waiting for a machine, 0 images/s"
    assert waiting.text() == expected
