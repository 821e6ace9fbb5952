"""OOD generalisation: metrics by hand and against scikit-learn, class masks, groups, the solar cells' shift, and effective robustness."""

import dataclasses

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score

from bob.backbones.card import card, load_backbone
from bob.backbones.fold import fold
from bob.datasets.dataset import Shift
from bob.datasets.open import open_dataset
from bob.datasets.splits import stratified_subset
from bob.errors import NotApplicableError, UndefinedError
from bob.extraction.passes import Member, run_pass
from bob.features.store import FeatureStore
from bob.metrics.intervals import interval
from bob.metrics.ood import METRICS, drop, relative_drop, shifted_top1, worst_group
from bob.outcomes import Shifted
from bob.plan import feature_key
from bob.protocols.ood import Family, TestSet, among, ood
from bob.protocols.protocol import Problem
from bob.registry.registry import load_registry
from bob.specs.settings import OodSettings
from bob.statistics.effective_robustness import effective_robustness
from bob.wiring import WIRING

SETTINGS = OodSettings(log10_c=(-4.0, 4.0, 9), held_out=0.2, tolerance=1e-4)
Y, N = True, False


# --- metrics


def test_by_hand():
    outcome = Shifted.of([np.array([Y, Y, Y, N]), np.array([Y, N]), np.array([Y, N, N, N])])
    assert shifted_top1(outcome) == (1 / 2 + 1 / 4) / 2
    assert drop(outcome) == 3 / 4 - 3 / 8
    assert relative_drop(outcome) == 1 / 2
    assert worst_group(outcome) == 1 / 4


def test_groups_can_be_finer_than_test_sets():
    outcome = Shifted.of(
        [np.array([Y, Y, Y, N]), np.array([Y, N])], [np.array([0, 0, 5, 5]), np.array([7, 7])]
    )
    assert worst_group(outcome) == 1 / 2
    assert worst_group(Shifted(outcome.right, outcome.shift, np.array([0, 0, 0, 1, 2, 2]))) == 0


@pytest.mark.parametrize("seed", range(4))
def test_agree_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    sides = [
        (rng.integers(4, size=n), rng.integers(4, size=n)) for n in rng.integers(1, 60, size=4)
    ]
    outcome = Shifted.of([y == predicted for y, predicted in sides])
    own, *shifted = (accuracy_score(y, predicted) for y, predicted in sides)
    assert shifted_top1(outcome) == pytest.approx(np.mean(shifted))
    assert drop(outcome) == pytest.approx(own - np.mean(shifted))
    assert worst_group(outcome) == pytest.approx(min(own, *shifted))
    order = rng.permutation(len(outcome))
    for metric in METRICS:
        if own > 0:
            assert metric.function(outcome.take(order)) == pytest.approx(metric.function(outcome))


def test_undefined_metrics_say_why():
    one_sided = Shifted.of([np.array([Y, N])])
    for metric in (shifted_top1, drop, relative_drop):
        with pytest.raises(UndefinedError, match="there are no shifted test examples"):
            metric(one_sided)
        with pytest.raises(UndefinedError, match="there are no in-distribution test examples"):
            metric(Shifted.of([np.array([], bool), np.array([Y])]))
    with pytest.raises(UndefinedError, match="top-1 in distribution is 0"):
        relative_drop(Shifted.of([np.array([N]), np.array([Y])]))
    with pytest.raises(UndefinedError, match="there are no test examples"):
        worst_group(Shifted.of([np.array([], bool)]))


def test_a_drop_can_be_negative_and_its_interval_holds_it():
    rng = np.random.default_rng(0)
    value, low, high, _ = interval(
        "drop", Shifted.of([rng.random(200) < 0.6, rng.random(200) < 0.8]), seed=0
    )
    # Standard error of a difference of shares 0.6 and 0.8 of 200 each: sqrt((0.24 + 0.16) / 200) = 0.045, so 1.96 of them reach 0.088.
    assert value < 0 and low < value < high and (high - low) / 2 == pytest.approx(0.088, abs=0.012)


def test_outcomes_are_checked_and_stored_bit_for_bit():
    outcome = Shifted.of([np.array([Y, N]), np.array([N])])
    again = Shifted.from_arrays(outcome.to_arrays())
    assert (
        all(
            (getattr(again, name) == getattr(outcome, name)).all()
            for name in ("right", "shift", "group")
        )
        and len(again) == 3
    )
    with pytest.raises(
        ValueError,
        match=r"right, shift and group must all have shape \(N,\); got \(2,\), \(3,\) and \(2,\)",
    ):
        Shifted(np.zeros(2, bool), np.zeros(3, int), np.zeros(2, int))


# --- the protocol


def family(shift=0.0, classes=4, seed=0, groups=None, mask=None):
    """Gaussian classes, whose shifted images are moved by `shift` times the first mean."""
    rng = np.random.default_rng(seed)
    means = 2 * rng.standard_normal((classes, 16))

    def rows(y, moved=0.0):
        return (means[y] + rng.standard_normal((len(y), 16)) + moved * means[0]).astype(np.float32)

    y, test_y, shifted_y = (rng.integers(classes, size=n) for n in (200, 80, 90))
    if mask is not None:
        shifted_y = np.array(mask)[rng.integers(len(mask), size=90)]
    own = Problem(rows(y), y, np.arange(200) % 5 == 0, rows(test_y), test_y, classes)
    return Family(own, {"moved": TestSet(rows(shifted_y, shift), shifted_y, mask, groups)})


def test_parts_of_a_shift():
    result = ood(family(shift=1.0), SETTINGS, "cpu")
    headline, own, shifted, lost, same = result.parts
    assert (
        isinstance(headline.outcome, Shifted)
        and headline.suffix == ""
        and len(headline.outcome) == 170
    )
    assert (own.suffix, shifted.suffix, lost.suffix, same.suffix) == (
        "test",
        "moved",
        "moved",
        "test_moved",
    )
    assert lost.metrics == ("drop", "relative_drop") and shifted.facets == {"shift": "moved"}
    top1 = [float((part.outcome.rank == 0).mean()) for part in (own, shifted, same)]
    assert drop(lost.outcome) == pytest.approx(top1[0] - top1[1]) and top1[0] == top1[2]
    assert drop(headline.outcome) == pytest.approx(drop(lost.outcome)) and drop(lost.outcome) > 0.2
    assert worst_group(headline.outcome) == pytest.approx(min(top1))


def test_an_unshifted_shift_loses_nothing():
    one = family()
    same = Family(one.problem, {"same": TestSet(one.problem.test_x, one.problem.test_y)})
    headline = ood(same, SETTINGS, "cpu").parts[0].outcome
    assert drop(headline) == 0 and worst_group(headline) == shifted_top1(headline)


def test_a_class_mask_scores_both_sides_among_its_classes_alone():
    one = family(mask=(1, 3))
    own, shifted, lost, same = ood(one, SETTINGS, "cpu").parts[1:]
    assert shifted.outcome.classes == same.outcome.classes == 2 and own.outcome.classes == 4
    assert (
        len(same.outcome) == np.isin(one.problem.test_y, (1, 3)).sum()
        and len(shifted.outcome) == 90
    )
    assert len(lost.outcome) == len(same.outcome) + 90
    assert same.facets == {"shift": "test", "classes_of": "moved"} and same.metrics == "all"


def test_among_by_hand():
    logits = np.array([[9.0, 1, 2], [0, 5, 9], [9, 3, 1]])
    outcome = among(
        logits, np.array([2, 1, 0]), (1, 2)
    )  # the third image is of class 0; the first is right once class 0 cannot be said
    assert (
        outcome.y.tolist() == [1, 0]
        and outcome.predicted.tolist() == [1, 1]
        and outcome.classes == 2
    )
    assert among(logits, np.array([2, 1, 0]), None).predicted.tolist() == [0, 2, 0]


def test_the_worst_group_is_looked_for_within_test_sets_too():
    one = family(groups=["day", "night"] * 45)
    outcome = ood(one, SETTINGS, "cpu").parts[0].outcome
    assert len(np.unique(outcome.group)) == 3
    right = outcome.right[80:]
    assert worst_group(outcome) == min(
        right[::2].mean(), right[1::2].mean(), outcome.right[:80].mean()
    )
    with_test_groups = Family(one.problem, one.shifts, ["day"] * 40 + ["night"] * 40)
    assert (
        len(np.unique(ood(with_test_groups, SETTINGS, "cpu").parts[0].outcome.group)) == 4
    )  # day of test is not day of the shift


def test_nothing_is_chosen_on_shifted_images():
    one = family(shift=1.0)
    other = Family(
        one.problem, {"moved": TestSet(one.shifts["moved"].x * 0, one.shifts["moved"].y)}
    )
    assert ood(one, SETTINGS, "cpu").detail == ood(other, SETTINGS, "cpu").detail


# --- the solar cells


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def cells(cache):
    registry = load_registry()
    return open_dataset(registry.datasets["elpv_mono"], cache, entries=registry.datasets)


def test_poly_cells_are_no_part_of_train_and_share_elpv_s_rows(cells):
    assert (
        set(cells.splits["train"].attributes["cell_type"])
        == set(cells.splits["test"].attributes["cell_type"])
        == {"mono"}
    )
    poly = cells.shifts["poly"]
    assert (
        set(poly.split.attributes["cell_type"]) == {"poly"}
        and poly.kind == "shift"
        and poly.classes is None
    )
    assert (
        poly.split.origin.split.images_fingerprint()
        == cells.splits["test"].origin.split.images_fingerprint()
    )
    assert not set(poly.split.content) & set(cells.splits["train"].content)
    assert {name: shift.kind for name, shift in cells.shifts.items()} == {
        "poly": "shift",
        "textiles": "near",
        "openmoji": "far",
    }


def test_line_art_shows_the_drawings_of_the_colour_test_split(cache):
    registry = load_registry()
    emoji = open_dataset(registry.datasets["openmoji"], cache, entries=registry.datasets)
    line = emoji.shifts["line"]
    assert [name.removesuffix(" (line)") for name in line.split.ids] == list(
        emoji.splits["test"].ids
    )
    assert (line.split.y == emoji.splits["test"].y).all() and line.classes is None
    assert not set(line.split.content) & set(emoji.splits["test"].content)


def test_scores_do_not_depend_on_shifts_that_are_not_read(cells, cache):
    bare = open_dataset(
        load_registry().datasets["elpv_mono"].model_copy(update={"shifts": {}}), cache
    )
    assert bare.fingerprint() == cells.with_shifts(()).fingerprint()
    assert (
        len(
            {
                cells.with_shifts(names).fingerprint()
                for names in ((), ("poly",), ("poly", "textiles"))
            }
        )
        == 3
    )


def test_a_dataset_without_shifts_is_not_asked(cells):
    task, backbone = load_registry().tasks["ood"], load_registry().backbones["raw_pixels"]
    with pytest.raises(
        NotApplicableError,
        match="task 'ood' needs shifts of kind shift; dataset 'elpv_mono' has none",
    ):
        WIRING["ood"].needs(task, cells.with_shifts(("textiles",)), backbone)
    with pytest.raises(
        NotApplicableError,
        match="task 'ood_detection' needs shifts of kind near or far; dataset 'elpv_mono' has none",
    ):
        WIRING["ood_detection"].needs(
            load_registry().tasks["ood_detection"], cells.with_shifts(("poly",)), backbone
        )


@pytest.fixture(scope="module")
def some(cells):
    """400 train, 150 test and 200 polycrystalline cells: enough for what is to be seen."""

    def fewer(split, n):
        return split.take(stratified_subset(split.y, split.content, n))

    splits = {name: fewer(cells.splits[name], n) for name, n in (("train", 400), ("test", 150))}
    return dataclasses.replace(
        cells,
        splits=splits,
        shifts={"poly": Shift(fewer(cells.shifts["poly"].split, 200), "shift")},
    )


@pytest.fixture(scope="module")
def rows(some, cache):
    """Features of EfficientNet-Lite0, trained on ImageNet: split → rows."""
    spec, store = (
        load_registry().backbones["efficientnet_lite0_in1k"],
        FeatureStore(cache / "features"),
    )
    found = {}
    for name, split in {**some.splits, "poly": some.shifts["poly"].split}.items():
        key = feature_key(
            card(spec, cache, "cpu", "float32", offline=True), spec.pooling, name, split
        )
        member = Member(
            load_backbone(spec, "cpu", "float32", offline=True), {spec.pooling: key}, 16
        )
        fold(member.backbone)
        run_pass(split, [member], store, Silent(), workers=2, skip_bad=False)
        found[name] = store.read(key, len(split))
    return found


class Silent:
    """Watches nothing."""

    def __getattr__(self, name):
        return lambda *words: None


def test_the_probe_of_monocrystalline_cells_fails_on_polycrystalline_ones(some, rows):
    """Below the share of the larger class, as a plain scikit-learn probe on the same rows does; the task shows it as drop and worst group."""
    task, spec = load_registry().tasks["ood"], load_registry().backbones["efficientnet_lite0_in1k"]
    needs = WIRING["ood"].needs(task, some, spec)
    result = WIRING["ood"].solve(task, some, needs, lambda need: rows[need.name], 0, "cpu")
    y, test_y, poly_y = some.splits["train"].y, some.splits["test"].y, some.shifts["poly"].split.y
    plain = LogisticRegression(max_iter=2000).fit(rows["train"].rows, y)
    own, poly = (
        plain.score(rows[name].rows, labels)
        for name, labels in (("test", test_y), ("poly", poly_y))
    )
    headline = result.parts[0].outcome
    assert own > 0.75 and poly < np.bincount(poly_y).max() / len(poly_y)
    assert shifted_top1(headline) < np.bincount(poly_y).max() / len(poly_y)
    assert drop(headline) > 0.2 and drop(headline) == pytest.approx(own - poly, abs=0.12)
    assert worst_group(headline) == shifted_top1(headline)
    same = LogisticRegression(C=result.detail["c"], max_iter=10_000, tol=1e-6).fit(
        rows["train"].rows, y
    )
    assert shifted_top1(headline) == pytest.approx(
        same.score(rows["poly"].rows, poly_y), abs=2.5 / len(poly_y)
    )


# --- effective robustness


def test_effective_robustness_by_hand():
    own = expit(np.array([0.0, 1, 2, 3]))
    # On the line logit(shifted) = logit(own) - 1, but for the last, which drew no part of it and lies 0.5 above in logits.
    shifted = expit(np.array([-1.0, 0, 1, 2.5]))
    found = effective_robustness(own, shifted, np.array([True, True, True, False]))
    assert (found.slope, found.intercept) == pytest.approx((1, -1))
    assert found.residual == pytest.approx([0, 0, 0, expit(2.5) - expit(2)], abs=1e-12)
    assert found.pool.tolist() == [True, True, True, False]


@pytest.mark.parametrize("seed", range(3))
def test_the_line_is_numpy_s(seed):
    rng = np.random.default_rng(seed)
    own, shifted = rng.uniform(0.1, 0.9, (2, 12))
    found = effective_robustness(own, shifted)
    slope, intercept = np.polyfit(logit(own), logit(shifted), 1)
    assert (found.slope, found.intercept) == pytest.approx((slope, intercept))
    assert found.residual == pytest.approx(shifted - expit(intercept + slope * logit(own)))


def test_accuracies_of_0_and_1_draw_no_line_and_have_no_residual():
    own, shifted = np.array([0.2, 0.5, 0.8, 1.0, 0.5]), np.array([0.1, 0.3, 0.5, 0.9, 0.0])
    found = effective_robustness(own, shifted)
    assert np.isnan(found.residual).tolist() == [False, False, False, True, True]
    assert found.slope == pytest.approx(effective_robustness(own[:3], shifted[:3]).slope)


@pytest.mark.parametrize(
    ("own", "shifted"),
    [
        ([0.2, 0.5], [0.1, 0.3]),
        ([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]),
        ([0.2, 0.5, 1.0], [0.1, 0.3, 0.5]),
    ],
)
def test_too_few_or_equal_backbones_draw_no_line(own, shifted):
    assert effective_robustness(np.array(own), np.array(shifted)) is None
