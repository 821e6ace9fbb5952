"""OOD generalisation: parts, class masks, groups, and the solar cells' shift."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bob.datasets.dataset import Dataset, Shift, Split, SplitName
from bob.datasets.open import open_dataset
from bob.datasets.splits import stratified_subset
from bob.errors import NotApplicableError
from bob.features.store import Features
from bob.metrics.shifts import drop, shifted_top1, worst_group
from bob.numerics.arrays import Floats, Ints
from bob.outcomes import ClassPredictions, ShiftResults
from bob.protocols.classification import ClassificationProblem
from bob.protocols.ood import PROTOCOL, OodProblem, OodSettings, ShiftedTest, among
from bob.protocols.protocol import Result
from bob.registry import load_registry
from bob.specs import TaskSpec
from tests.builders.extraction import extract
from tests.builders.protocols import BASELINE, make_inputs
from tests.builders.solar_cells import solar_cells

SETTINGS = OodSettings(log10_c=(-4.0, 4.0, 9), held_out=0.2, tolerance=1e-4)


def make_problem(
    shift: float = 0.0,
    groups: Sequence[str] | None = None,
    mask: tuple[int, ...] | None = None,
) -> OodProblem:
    """Return 4 Gaussian classes, whose shifted images are moved by `shift` times the first mean."""
    rng = np.random.default_rng(0)
    means = 2 * rng.standard_normal((4, 16))

    def rows(y: Ints, moved: float = 0.0) -> Floats:
        x: Floats = (means[y] + rng.standard_normal((len(y), 16)) + moved * means[0]).astype(
            np.float32
        )
        return x

    y, test_y, shifted_y = (rng.integers(4, size=n) for n in (200, 80, 90))
    if mask is not None:
        shifted_y = np.array(mask)[rng.integers(len(mask), size=90)]
    problem = ClassificationProblem(rows(y), y, np.arange(200) % 5 == 0, rows(test_y), test_y, 4)
    shifted = ShiftedTest(rows(shifted_y, shift), shifted_y, mask, groups)
    return OodProblem(problem, {"moved": shifted})


def solve(problem: OodProblem) -> Result:
    return PROTOCOL.solve(problem, SETTINGS, "cpu")


def headline_of(problem: OodProblem) -> ShiftResults:
    outcome = solve(problem).outcome
    assert isinstance(outcome, ShiftResults)
    return outcome


def test_a_shift_has_its_accuracy_its_drop_and_the_accuracy_of_the_same_task() -> None:
    headline, test, shifted, lost, same_task = solve(make_problem(shift=1.0)).parts
    assert isinstance(headline.outcome, ShiftResults) and len(headline.outcome) == 170
    assert isinstance(lost.outcome, ShiftResults)
    suffixes = [part.suffix for part in (headline, test, shifted, lost, same_task)]
    assert suffixes == ["", "test", "moved", "moved", "test_moved"]
    assert lost.metrics == ("drop", "relative_drop") and shifted.facets == {"shift": "moved"}
    top1 = []
    for part in (test, shifted, same_task):
        assert isinstance(part.outcome, ClassPredictions)
        top1.append(float((part.outcome.rank == 0).mean()))
    assert drop(lost.outcome) == pytest.approx(top1[0] - top1[1]) and top1[0] == top1[2]
    assert drop(headline.outcome) == pytest.approx(drop(lost.outcome)) and drop(lost.outcome) > 0.2
    assert worst_group(headline.outcome) == pytest.approx(min(top1))


def test_a_shift_of_equal_images_has_no_drop() -> None:
    problem = make_problem().problem
    same = OodProblem(problem, {"same": ShiftedTest(problem.test_x, problem.test_y)})
    headline = headline_of(same)
    assert drop(headline) == 0 and worst_group(headline) == shifted_top1(headline)


def test_a_class_mask_scores_both_test_sets_among_its_classes() -> None:
    problem = make_problem(mask=(1, 3))
    test, shifted, lost, same_task = solve(problem).parts[1:]
    for part, classes in ((test, 4), (shifted, 2), (same_task, 2)):
        assert isinstance(part.outcome, ClassPredictions) and part.outcome.classes == classes
    assert shifted.outcome is not None and same_task.outcome is not None
    assert len(same_task.outcome) == np.isin(problem.problem.test_y, (1, 3)).sum()
    assert len(shifted.outcome) == 90
    assert lost.outcome is not None and len(lost.outcome) == len(same_task.outcome) + 90
    assert same_task.facets == {"shift": "test", "classes_of": "moved"}
    assert same_task.metrics == "all"


def test_among_by_hand() -> None:
    """The third image is of class 0; the first is right once class 0 is excluded."""
    logits = np.array([[9.0, 1, 2], [0, 5, 9], [9, 3, 1]])
    outcome = among(logits, np.array([2, 1, 0]), (1, 2))
    assert outcome.y.tolist() == [1, 0]
    assert outcome.predicted.tolist() == [1, 1] and outcome.classes == 2
    assert among(logits, np.array([2, 1, 0]), None).predicted.tolist() == [0, 2, 0]


def test_groups_of_a_test_set_are_groups_of_the_worst_group() -> None:
    problem = make_problem(groups=["day", "night"] * 45)
    outcome = headline_of(problem)
    assert len(np.unique(outcome.group)) == 3
    test, shifted = outcome.right[:80], outcome.right[80:]
    expected = min(shifted[::2].mean(), shifted[1::2].mean(), test.mean())
    assert worst_group(outcome) == expected
    test_groups = ["day"] * 40 + ["night"] * 40
    both = OodProblem(problem.problem, problem.shifts, test_groups)
    assert len(np.unique(headline_of(both).group)) == 4, "day of test is not day of the shift"


def test_the_choice_of_c_does_not_depend_on_shifted_images() -> None:
    problem = make_problem(shift=1.0)
    moved = problem.shifts["moved"]
    other = OodProblem(problem.problem, {"moved": ShiftedTest(moved.x * 0, moved.y)})
    assert solve(problem).detail == solve(other).detail


# --- the solar cells


@pytest.fixture(scope="module")
def cells(shared_cache: Path) -> Dataset:
    registry = load_registry()
    return open_dataset(registry.datasets["elpv_mono"], shared_cache, entries=registry.datasets)


def test_poly_cells_are_not_in_train_and_share_the_features_of_elpv(cells: Dataset) -> None:
    train, test, poly = cells.splits["train"], cells.splits["test"], cells.shifts["poly"]
    types = [set(split.attributes["cell_type"]) for split in (train, test, poly.split)]
    assert types == [{"mono"}, {"mono"}, {"poly"}]
    assert poly.kind == "shift" and poly.classes is None
    assert poly.split.origin is not None and test.origin is not None
    full, full_of_test = poly.split.origin.split, test.origin.split
    assert full.images_fingerprint == full_of_test.images_fingerprint
    assert not set(poly.split.content) & set(train.content)
    assert {name: shift.kind for name, shift in cells.shifts.items()} == {
        "poly": "shift",
        "textiles": "near",
        "openmoji": "far",
    }


def test_line_art_shows_the_drawings_of_the_colour_test_split(shared_cache: Path) -> None:
    registry = load_registry()
    emoji = open_dataset(registry.datasets["openmoji"], shared_cache, entries=registry.datasets)
    line, test = emoji.shifts["line"], emoji.splits["test"]
    assert [name.removesuffix(" (line)") for name in line.split.ids] == list(test.ids)
    assert (line.split.y == test.y).all() and line.classes is None
    assert not set(line.split.content) & set(test.content)


def test_scores_do_not_depend_on_shifts_that_are_not_read(
    cells: Dataset, shared_cache: Path
) -> None:
    entry = load_registry().datasets["elpv_mono"].model_copy(update={"shifts": {}})
    bare = open_dataset(entry, shared_cache)
    assert bare.fingerprint() == cells.with_shifts(()).fingerprint()
    chosen: tuple[tuple[str, ...], ...] = ((), ("poly",), ("poly", "textiles"))
    assert len({cells.with_shifts(names).fingerprint() for names in chosen}) == 3


def test_a_dataset_without_shifts_is_not_applicable(cells: Dataset) -> None:
    with pytest.raises(
        NotApplicableError,
        match="dataset 'elpv_mono' has no test set of the same classes",
    ):
        PROTOCOL.needs(SETTINGS, cells.with_shifts(("textiles",)), BASELINE)


@pytest.fixture(scope="module")
def sample(cells: Dataset, shared_cache: Path) -> Dataset:
    """Return the train cells that other tests embed as well, 150 test and 200 polycrystalline
    cells.
    """

    def subset(split: Split, n: int) -> Split:
        return split.take(stratified_subset(split.y, split.content, n))

    ids = solar_cells(shared_cache)["train"].ids
    embedded = np.flatnonzero(np.isin(cells.splits["train"].ids, ids))
    train, test = cells.splits["train"].take(embedded), subset(cells.splits["test"], 150)
    poly = Shift(subset(cells.shifts["poly"].split, 200), "shift")
    return dataclasses.replace(cells, splits={"train": train, "test": test}, shifts={"poly": poly})


@pytest.fixture(scope="module")
def features(sample: Dataset, shared_cache: Path) -> dict[str, Features]:
    """Return the features of EfficientNet-Lite0, trained on ImageNet, by split and shift.

    They are views of those that tests of the linear probe need as well.
    """
    spec = load_registry().backbones["efficientnet_lite0_in1k"]
    full = solar_cells(shared_cache)

    def view(name: SplitName, split: Split) -> Features:
        rows = extract(name, full[name], [spec], shared_cache)[spec.name]
        places = {cell: position for position, cell in enumerate(full[name].ids)}
        return rows.view(np.array([places[cell] for cell in split.ids]))

    train, test, poly = *sample.splits.values(), sample.shifts["poly"].split
    return {"train": view("train", train), "test": view("test", test), "poly": view("test", poly)}


def test_the_probe_of_monocrystalline_cells_fails_on_polycrystalline_ones(
    sample: Dataset, features: dict[str, Features]
) -> None:
    """Its accuracy is below the share of the larger class, as that of a plain scikit-learn probe on
    the same features; drop and worst group show it.
    """
    task: TaskSpec = load_registry().tasks["ood"]
    settings = task.settings
    assert isinstance(settings, OodSettings)
    needs = PROTOCOL.needs(settings, sample, BASELINE)
    problem = PROTOCOL.build(settings, sample, needs, make_inputs(features), seed=0)
    result = PROTOCOL.solve(problem, settings, "cpu")
    train, test, poly = (features[name].rows for name in ("train", "test", "poly"))
    y, test_y = sample.splits["train"].y, sample.splits["test"].y
    poly_y = sample.shifts["poly"].split.y
    plain = LogisticRegression(max_iter=2000).fit(train, y)
    in_distribution, shifted = plain.score(test, test_y), plain.score(poly, poly_y)
    largest_class = np.bincount(poly_y).max() / len(poly_y)
    headline = result.outcome
    assert in_distribution > 0.75 and shifted < largest_class
    assert shifted_top1(headline) < largest_class
    assert drop(headline) > 0.2
    assert drop(headline) == pytest.approx(in_distribution - shifted, abs=0.12)
    assert worst_group(headline) == shifted_top1(headline)
    same_c = LogisticRegression(C=result.detail["c"], max_iter=10_000, tol=1e-6).fit(train, y)
    assert shifted_top1(headline) == pytest.approx(
        same_c.score(poly, poly_y), abs=2.5 / len(poly_y)
    )
