"""The order of work: small datasets first, and of the first one what is soon embedded."""

from collections.abc import Mapping

import pytest

from bob.engine.stages import stages
from bob.plan import Cell, Forward, Pass, Plan, RunSettings
from bob.registry import load_registry
from bob.specs import BackboneSpec

REGISTRY = load_registry()
NAMES = ("raw_pixels", "resnet18_a1_in1k", "resnet50_a1_in1k")
BASELINE, FAST, SLOW = NAMES
SECONDS = {BASELINE: 0.0001, FAST: 0.01, SLOW: 0.05}
IMAGES = {"large": 2_000, "small": 900}


def entry(name: str) -> BackboneSpec:
    return REGISTRY.backbones.get(name) or REGISTRY.backbones["resnet18_a1_in1k"].model_copy(
        update={"name": name}
    )


def make_plan(images: Mapping[str, int]) -> Plan:
    """Return a plan of one pass and a cell per backbone for each dataset."""
    return Plan(
        settings=RunSettings(),
        backbones={name: entry(name) for name in NAMES},
        tasks={},
        datasets={},
        passes=tuple(
            Pass(
                dataset=dataset,
                images={"split": "train"},
                split="train",
                fingerprint=dataset,
                count=count,
                forwards=tuple(
                    Forward(backbone=name, outputs={"default": f"{dataset}-{name}"})
                    for name in NAMES
                ),
            )
            for dataset, count in images.items()
        ),
        cells=tuple(
            Cell(
                backbone=name,
                task="knn",
                dataset=dataset,
                key=f"{dataset}-{name}",
                features=(f"{dataset}-{name}",),
            )
            for dataset in images
            for name in NAMES
        ),
    )


def order(plan: Plan, seconds: Mapping[str, float]) -> list[tuple[str, list[str]]]:
    """Return dataset and backbones of each stage; passes and cells must be the same."""
    result = []
    for stage in stages(plan, seconds):
        (whole,) = stage.passes
        backbones = [cell.backbone for cell in stage.cells]
        assert [forward.backbone for forward in whole.forwards] == backbones
        result.append((whole.dataset, backbones))
    return result


def test_the_smallest_dataset_comes_first_and_its_fast_backbones_before_the_slow() -> None:
    """900 images take the slow one 90 s: more than EARLY_SECONDS. Decoding them again takes 3.6."""
    seconds = SECONDS | {SLOW: 0.1}
    assert order(make_plan(IMAGES), seconds) == [
        ("small", [BASELINE, FAST]),
        ("small", [SLOW]),
        ("large", [BASELINE, FAST, SLOW]),
    ]


def test_a_dataset_of_drawings_comes_after_a_larger_one_of_photographs() -> None:
    """900 drawings take 10 ms each to render and decode: longer than 2,000 photographs at 4 ms."""
    drawings = REGISTRY.datasets["openmoji"].model_copy(update={"name": "small"})
    plan = make_plan(IMAGES).model_copy(update={"datasets": {"small": drawings}})
    assert [dataset for dataset, _ in order(plan, SECONDS)] == ["large", "small"]


@pytest.mark.parametrize("factor", [0.01, 0.42, 0.45])
def test_a_dataset_is_divided_where_decoding_twice_costs_little_of_the_whole_run(
    factor: float,
) -> None:
    """What comes later is 900 images of the slow one, and 2,000 of all three: 165.2 s times the
    factor, of which a twentieth is 3.6 s at 0.436.
    """
    later = 900 * 0.05 + 2_000 * 0.0601
    assert later == pytest.approx(165.2)
    seconds = {name: factor * value for name, value in SECONDS.items()}
    first = [BASELINE, FAST] if factor > 20 * 3.6 / later else [BASELINE, FAST, SLOW]
    assert order(make_plan(IMAGES), seconds)[0] == ("small", first)


def test_the_fastest_backbone_is_early_however_slow_it_is() -> None:
    seconds = {name: 10 * value for name, value in SECONDS.items()}
    assert order(make_plan(IMAGES), seconds)[0] == ("small", [BASELINE, FAST])


def test_a_baseline_as_slow_as_a_backbone_comes_later() -> None:
    """A network of random weights: 900 images take it 18 s."""
    seconds = SECONDS | {BASELINE: 0.02}
    assert order(make_plan(IMAGES), seconds)[0] == ("small", [FAST])


def test_features_are_computed_once_and_cells_scored_once() -> None:
    """Two datasets with the same train images: the second has nothing to embed."""
    plan = make_plan({"a": 100})
    again = tuple(
        cell.model_copy(update={"dataset": "b", "key": f"b-{cell.backbone}"}) for cell in plan.cells
    )
    plan = plan.model_copy(update={"cells": (*plan.cells, *again)})
    parts = list(stages(plan, SECONDS))
    digests = [d for part in parts for p in part.passes for f in p.forwards for d in f.outputs]
    assert len(digests) == len(NAMES)
    assert sorted(cell.key for part in parts for cell in part.cells) == sorted(
        cell.key for cell in plan.cells
    )


def test_a_backbone_of_unknown_speed_is_early() -> None:
    """Its card could not be made: its cells fail at once, with the reason."""
    seconds = {SLOW: 0.2, FAST: 0.1}
    assert order(make_plan(IMAGES), seconds)[0] == ("small", [BASELINE, FAST])
