"""What planning costs grows with datasets and with backbones, not with their product."""

from collections import Counter
from pathlib import Path
from unittest.mock import patch

from bob.backbones.pixels import libraries
from bob.engine.units import units
from bob.plan import make_plan
from bob.protocols import retrieval
from tests.builders.large_plans import TASKS, large_request

BACKBONES, DATASETS = 12, 5


def test_images_and_libraries_are_looked_at_once_per_dataset(tmp_path: Path) -> None:
    calls: Counter[str] = Counter()
    codes, version = retrieval.codes, libraries.version

    def counted_codes(*names: list[str]) -> object:
        calls["codes"] += 1
        return codes(*names)

    def counted_version(library: str) -> str:
        calls["version"] += 1
        return version(library)

    libraries._version.cache_clear()
    with (
        large_request(tmp_path, BACKBONES, DATASETS, 2000) as (request, workspace),
        patch.object(retrieval, "codes", counted_codes),
        patch.object(libraries, "version", counted_version),
    ):
        plan = make_plan(request, workspace)
    assert len(plan.cells) == BACKBONES * DATASETS * len(TASKS)
    assert calls == {"codes": DATASETS, "version": 1}


def test_units_of_a_large_plan_are_small(tmp_path: Path) -> None:
    with large_request(tmp_path, 40, 2, 200_000) as (request, workspace):
        plan = make_plan(request, workspace)
        speeds = {
            name: workspace.card(spec).seconds_per_image for name, spec in plan.backbones.items()
        }
        made = list(units(plan, speeds, 16, unit_seconds=300.0))
        for unit in made:
            names = {spec.name for spec in unit.plan.backbones.values()}
            sent = unit.model_copy(update={"cards": workspace.cards_of(names)})
            assert len(sent.model_dump_json()) < 64 * 1024
    assert {len(unit.plan.passes[0].forwards) for unit in made if unit.kind == "embed"} <= set(
        range(1, 17)
    )
