"""The last lines of a run, on results whose differences are known by hand.

Of 400 test examples, `first` has 300 right. `second` has 24 of these wrong and 20 others right: 1.0
points less. `third` has 40 of `first`'s wrong: 10.0 points less. The 95 % intervals are those of
the page and of `compare`: the differences D that Tango's score test (1998) does not reject. For b
and c examples that only the first or second has right of n, they are the roots, here found by
scipy's brentq, of (b - c - n D)² = 1.96² n (2 q + D (1 - D)), with
q = (sqrt(B² + 8 n c D (1 - D)) - B) / (4 n) and B = (2 n - b + c) D - b - c:
-2.33 to 4.38 for (24, 20), 7.43 to 13.33 for (40, 0), 0.78 to 4.73 for (12, 2).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from bob.leaderboards.advice import advise
from bob.leaderboards.gather import gather
from bob.leaderboards.limits import BackboneLimits
from bob.leaderboards.per_example import PerExample, no_per_example
from bob.leaderboards.render.conclusion import conclusion_sentences
from bob.records.store import RecordStore
from tests.builders.leaderboard_records import dataset, failed, task
from tests.builders.stored_sweep import N, store

FIRST = np.arange(N) < 300
SECOND = np.r_[np.zeros(24, bool), np.ones(296, bool), np.zeros(80, bool)]
THIRD = np.r_[np.zeros(40, bool), np.ones(260, bool), np.zeros(100, bool)]
SETTING = ("linear", "photos")
WHERE = "in task linear on the 400 test examples of photos"
BEHIND = "1.0 points behind, 95 % interval -2.3 to 4.4"


def conclusion(
    results: Path, correct: Mapping[str, np.ndarray], per_example: PerExample | None = None
) -> list[str]:
    for name, right in correct.items():
        store(results, name, {SETTING: right})
    gathered = gather([results])
    return conclusion_sentences(
        advise(gathered.records, BackboneLimits(), per_example or gathered.per_example)
    )


def test_two_that_cannot_be_told_apart_and_how_many_examples_would_tell(tmp_path: Path) -> None:
    """s = 20 (0.0438 + 0.0233) / (2 · 1.96) = 0.3423; (2.8016 s / 0.01)² = 9,200 examples."""
    assert conclusion(tmp_path, {"first": FIRST, "second": SECOND, "third": THIRD}) == [
        f"Take first or second: {WHERE} they cannot be told apart (second: {BEHIND}).",
        "About 9,200 test examples would be needed to detect a difference of 1.0 points (power "
        "80 %).",
        "Significantly worse: third (10.0 points behind, 95 % interval 7.4 to 13.3).",
    ]


def test_several_that_cannot_be_told_apart(tmp_path: Path) -> None:
    sentences = conclusion(tmp_path, {"first": FIRST, "second": SECOND, "twin": SECOND})
    assert sentences[0] == (
        f"Take first, second or twin: {WHERE} none of them can be told apart from first "
        f"(second: {BEHIND}; twin: {BEHIND})."
    )


def test_an_interval_without_0_is_explained_where_the_adjusted_test_does_not_decide(
    tmp_path: Path,
) -> None:
    """12 of `first`'s wrong and 2 others right: exact McNemar p = 2 (1 + 14 + 91) / 2¹⁴ = 0.0129,
    0.0518 for four such backbones.
    """
    near = np.r_[np.zeros(12, bool), np.ones(290, bool), np.zeros(98, bool)]
    sentences = conclusion(tmp_path, {"first": FIRST, **{f"near_{i}": near for i in range(4)}})
    assert sentences[0].count("2.5 points behind, 95 % interval 0.8 to 4.7") == 4
    assert sentences[1] == (
        "The intervals of near_0, near_1, near_2, near_3 leave out 0 without deciding: of "
        "several backbones compared at once, some seem to differ by chance, for which the tests "
        "allow (Holm's correction)."
    )


def test_one_that_is_better_than_all_others(tmp_path: Path) -> None:
    assert conclusion(tmp_path, {"first": FIRST, "third": THIRD}) == [
        f"Take first: {WHERE} it is significantly better than all others.",
        "Significantly worse: third (10.0 points behind, 95 % interval 7.4 to 13.3).",
    ]


def test_many_that_are_worse_are_counted(tmp_path: Path) -> None:
    others = {f"third_{i}": THIRD for i in range(6)}
    sentences = conclusion(tmp_path, {"first": FIRST, **others})
    assert sentences[1].count("third_") == 3 and sentences[1].endswith(" and 3 more.")


def test_without_results_by_example_nothing_is_tested(tmp_path: Path) -> None:
    assert conclusion(tmp_path, {"first": FIRST, "third": THIRD}, no_per_example) == [
        f"first has the best scores {WHERE}; whether the others are worse cannot be tested with "
        "these results."
    ]


@pytest.mark.parametrize(
    ("majority", "expected"),
    [(0.3, ["All are better than the majority class (30.0 %)."]), (0.64, [])],
)
def test_the_majority_class_is_named_where_all_intervals_are_above_it(
    tmp_path: Path, majority: float, expected: list[str]
) -> None:
    """`third` has 65 % right, and its interval begins at 63 %."""
    for name, right in {"first": FIRST, "third": THIRD}.items():
        store(tmp_path, name, {SETTING: right}, majority=majority)
    gathered = gather([tmp_path])
    sentences = conclusion_sentences(
        advise(gathered.records, BackboneLimits(), gathered.per_example)
    )
    assert sentences[2:] == expected


def test_nothing_is_concluded_without_records(tmp_path: Path) -> None:
    tmp_path.joinpath("records").mkdir()
    assert conclusion(tmp_path, {}) == []


def test_a_single_backbone_is_compared_with_the_majority_class_and_baselines(
    tmp_path: Path,
) -> None:
    store(tmp_path, "third", {SETTING: THIRD}, majority=0.5)
    store(tmp_path, "pixels", {SETTING: FIRST}, majority=0.5, family="baseline")
    assert conclusion(tmp_path, {}) == [
        "third is the only backbone beside baselines: nothing was compared.",
        "It is better than the majority class (50.0 %).",
        "A baseline has a better score in 1 of 1 settings: linear/photos (pixels: significantly "
        "better).",
    ]


def test_of_equal_mean_z_scores_the_higher_mean_score_comes_first(tmp_path: Path) -> None:
    """Each wins one of two settings, so that z-scores are 1 and -1: `b` by 10 points, `a` by 1."""
    store(tmp_path, "a", {SETTING: FIRST, ("knn", "photos"): THIRD})
    store(tmp_path, "b", {SETTING: SECOND, ("knn", "photos"): FIRST})
    sentences = conclusion(tmp_path, {})
    assert sentences[0].startswith("Take b or a: over 2 tasks on photos they cannot be told apart")
    assert "(a: 4.5 points behind" in sentences[0]


def test_baselines_alone_say_what_they_reach_and_what_to_run(tmp_path: Path) -> None:
    """300 of 400 are 75 %, 260 are 65 %; of the two, the better one is named."""
    store(tmp_path, "pixels", {SETTING: FIRST}, majority=0.5, family="baseline")
    store(tmp_path, "colours", {SETTING: THIRD}, majority=0.5, family="baseline")
    reached, advice = conclusion(tmp_path, {})
    assert reached == (
        "Only baselines have results: what needs no learning reaches 75.0 % in linear on photos "
        "(pixels; majority class 50.0 %)."
    )
    assert "`--backbones group:samples,family:baseline`" in advice


def test_a_run_whose_only_backbone_failed_names_it(tmp_path: Path) -> None:
    store(tmp_path, "pixels", {SETTING: FIRST}, family="baseline")
    same = {"dataset": dataset("photos", "print of photos"), "task": task(metrics=("top1",))}
    broken = failed("broken", **same)
    RecordStore(tmp_path).write(broken, {})
    (sentence,) = conclusion(tmp_path, {})
    assert sentence == (
        "No backbone has a score in every setting, so none is recommended. The leaderboard says "
        "why: broken."
    )


def test_a_better_baseline_is_named_before_counts(tmp_path: Path) -> None:
    """What to take is no advice where raw pixels do as well."""
    store(tmp_path, "pixels", {SETTING: np.ones(N, bool)}, family="baseline")
    sentences = conclusion(tmp_path, {"first": FIRST, "second": SECOND})
    assert sentences[0].startswith("Take first or second")
    assert sentences[1].startswith("A baseline has a better score in 1 of 1 settings")


def test_several_settings(tmp_path: Path) -> None:
    settings = {("linear", "photos"): FIRST, ("knn", "photos"): FIRST}
    store(tmp_path, "first", settings)
    store(tmp_path, "third", dict.fromkeys(settings, THIRD))
    gathered = gather([tmp_path])
    (sentence, _) = conclusion_sentences(
        advise(gathered.records, BackboneLimits(), gathered.per_example)
    )
    assert sentence == (
        "Take first: over 2 tasks on photos it is significantly better than all others."
    )
