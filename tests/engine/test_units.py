"""Units of work are small plain data, and together they are the plan."""

from pathlib import Path

from bob.engine.units import Unit, units
from bob.plan import Plan, make_plan
from tests.builders.fresh_process import run_python
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


def test_what_is_left_of_a_unit_are_its_last_cells(tmp_path) -> None:
    unit = next(u for u in make_units(tmp_path, "knn", "linear") if u.kind == "score")
    first, second = unit.plan.cells
    rest = unit.after(1)
    assert rest is not None and rest.kind == "score"
    assert rest.plan.cells == (second,) and unit.after(0).plan.cells == (first, second)
    assert unit.after(2) is None


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
    done = run_python(["-c", program, str(file)])
    assert done.stdout.split() == [unit.id, "True"], done.stderr


def large_plan(tmp_path: Path, images: int) -> Plan:
    """Return a plan whose passes claim to have more images than there are."""
    plan = make_plan(make_request(tmp_path, "knn"))
    passes = tuple(whole.model_copy(update={"count": images}) for whole in plan.passes)
    return plan.model_copy(update={"passes": passes})


def test_passes_are_divided_by_spans_that_fit_the_time_of_a_unit(tmp_path: Path) -> None:
    """3,000 images are 3 spans of 1,024; at 3 x 0.1 s per image they take 900 s."""
    plan, speeds = large_plan(tmp_path, 3000), dict.fromkeys(BACKBONES, 0.1)
    embedding = [u for u in units(plan, speeds, 1, unit_seconds=500.0) if u.kind == "embed"]
    first = [u for u in embedding if u.plan.passes[0] == embedding[0].plan.passes[0]]
    assert [unit.spans for unit in first] == [(0, 1), (1, 3)]
    assert all(len(unit.plan.passes[0].forwards) == 3 for unit in first)
    assert len({unit.id for unit in embedding}) == len(embedding)


def test_backbones_share_a_unit_as_long_as_one_span_fits_its_time(tmp_path: Path) -> None:
    """One span takes 102.4 s per backbone."""
    plan, speeds = large_plan(tmp_path, 3000), dict.fromkeys(BACKBONES, 0.1)
    embedding = [u for u in units(plan, speeds, 1, unit_seconds=210.0) if u.kind == "embed"]
    sizes = [len(unit.plan.passes[0].forwards) for unit in embedding]
    assert sizes[:5] == [2, 2, 2, 1, 1] and set(sizes) == {1, 2}
    stored = [digest for unit in embedding for digest in unit.plan.stored_digests()]
    assert set(stored) == set(plan.stored_digests())
