"""Units of work are small plain data, and together they are the plan."""

import subprocess
import sys

from bob.engine.units import Unit, units
from bob.plan import make_plan
from tests.builders.plans import BACKBONES, make_request

LARGEST_BYTES = 64 * 1024


def make_units(tmp_path, *tasks: str) -> list[Unit]:
    plan = make_plan(make_request(tmp_path, *tasks))
    return list(units(plan, {}, workers=1))


def test_units_are_the_whole_plan_and_nothing_twice(tmp_path) -> None:
    plan = make_plan(make_request(tmp_path, "knn", "linear"))
    made = list(units(plan, {}, workers=1))
    stored = [digest for unit in made for digest in unit.plan.stored_digests()]
    assert sorted(stored) == sorted(plan.stored_digests())
    cells = [cell.key for unit in made for cell in unit.plan.cells]
    assert sorted(cells) == sorted(cell.key for cell in plan.cells)
    assert len({unit.id for unit in made}) == len(made)


def test_cells_of_a_dataset_and_a_backbone_are_one_unit_after_its_passes(tmp_path) -> None:
    made = make_units(tmp_path, "knn", "linear")
    scoring = [unit for unit in made if unit.kind == "score"]
    assert len(scoring) == 2 * len(BACKBONES)
    for unit in scoring:
        assert {cell.task for cell in unit.plan.cells} == {"knn", "linear"}
        before = made[: made.index(unit)]
        assert unit.requires <= {digest for each in before for digest in each.provides}


def test_a_unit_names_only_what_it_needs(tmp_path) -> None:
    for unit in make_units(tmp_path, "knn", "linear"):
        names = {cell.backbone for cell in unit.plan.cells}
        names |= {f.backbone for whole in unit.plan.passes for f in whole.forwards}
        assert set(unit.plan.backbones) == names
        assert len(unit.plan.datasets) == 1
        assert len(unit.model_dump_json()) < LARGEST_BYTES


def test_expected_images_are_those_of_the_whole_run(tmp_path) -> None:
    """Train and test of two datasets: runtimes are tuned for all of them."""
    embedding = [unit for unit in make_units(tmp_path, "knn") if unit.kind == "embed"]
    total = sum(unit.plan.passes[0].count for unit in embedding)
    assert len(embedding) == 4
    for unit in embedding:
        assert unit.expected_images == dict.fromkeys(BACKBONES, total)


def test_a_unit_round_trips_as_json_in_another_process(tmp_path) -> None:
    file = tmp_path / "unit.json"
    unit = make_units(tmp_path, "knn", "linear")[0]
    file.write_text(unit.model_dump_json())
    program = (
        "import sys; from pathlib import Path; from bob.engine.units import Unit\n"
        "unit = Unit.model_validate_json(Path(sys.argv[1]).read_text())\n"
        "print(unit.id, unit.model_dump_json() == Path(sys.argv[1]).read_text())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True
    )
    assert done.stdout.split() == [unit.id, "True"], done.stderr
