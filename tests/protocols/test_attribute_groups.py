"""Accuracy by groups beside every classifier: by hand, and through the tasks that state answers."""

import functools

import numpy as np
import pytest

from bob.datasets.dataset import Dataset, Shift
from bob.engine.solve import Solution, solve_task
from bob.features.store import Features
from bob.numerics.arrays import Ints
from bob.outcomes import GroupResults
from bob.protocols import (
    Answers,
    FeatureNeed,
    Inputs,
    Result,
    ResultPart,
    TextNeed,
    needs_of_task,
)
from bob.protocols.attribute_groups import LEAST_IMAGES, MOST_LISTED, groups_by, with_groups
from bob.records.record import Score
from bob.registry import load_registry
from tests.builders.protocols import BASELINE, make_inputs
from tests.builders.splits import digests, features_from, make_dataset, make_split

N = 160


@functools.cache
def lenses(n: int = N) -> Dataset:
    """Return two classes, each half of whose images were taken with each lens, and a shift."""
    lens = ["wide" if i % 4 < 2 else "tele" for i in range(n)]
    splits = {
        name: make_split(digests(n, name), [i % 2 for i in range(n)], attributes={"lens": lens})
        for name in ("train", "test")
    }
    attributes = {"lens": lens[: n - 4]}
    night = make_split(
        digests(n - 4, "night"), [i % 2 for i in range(n - 4)], attributes=attributes
    )
    return make_dataset(splits, ("cat", "dog"), shifts={"night": Shift(night, "shift")})


def rows(need: FeatureNeed | TextNeed) -> Features:
    """Return features that separate the classes, but for dogs that `wide` turns into cats.

    Image 3 of the test split is unreadable.
    """
    assert isinstance(need, FeatureNeed)
    split = need.images.open(lenses())
    noise = 0.1 * np.random.default_rng(len(need.name)).normal(size=(len(split), 3))
    x = noise + 3 * np.eye(3)[split.y]
    if need.name != "train":
        turned = (split.y == 1) & (np.array(split.attributes["lens"]) == "wide")
        x[turned] -= 3 * np.eye(3)[1] - 3 * np.eye(3)[0]
    read = [i for i in range(len(split)) if need.name != "test" or i != 3]
    return features_from(x[read].astype(np.float32), read)


def solution(task: str) -> Solution:
    spec = load_registry().tasks[task]
    needs = needs_of_task(spec, lenses(), BASELINE)
    inputs = Inputs(rows, make_inputs({}).statistics)
    return solve_task(spec, lenses(), needs, inputs, [0], "cpu")


def by_name(solved: Solution) -> dict[str, Score]:
    return {score.metric: score for score in solved.scores}


@pytest.mark.parametrize(
    ("task", "prefix"),
    [("knn", ""), ("ridge", ""), ("ood", "night_"), ("fewshot", "logistic_16shot_")],
    ids=["rank", "no probabilities", "a shifted set", "shares of draws"],
)
def test_every_kind_of_classifier_has_its_accuracy_by_groups(task: str, prefix: str) -> None:
    """The features of wide dogs are those of cats, so that all of them are wrong."""
    scores = by_name(solution(task))
    assert scores[f"worst_group_top1_{prefix}lens"].value == pytest.approx(0, abs=0.01)
    assert scores[f"group_gap_{prefix}lens"].value == pytest.approx(1, abs=0.01)
    assert scores[f"adjusted_top1_{prefix}lens"].value == pytest.approx(3 / 4, abs=0.01)
    assert scores[f"recall_gap_{prefix}lens"].value == pytest.approx(1 / 2, abs=0.01)
    wide = scores[f"group_top1_{prefix}lens=wide×dog"]
    assert wide.value == pytest.approx(0, abs=0.01)
    assert wide.facets.items() >= {"attribute": "lens", "value": "wide", "class": "dog"}.items()
    assert wide.facets.get("set") == ("night" if task == "ood" else None)


def test_unreadable_images_are_in_no_group() -> None:
    """Image 3 is a dog taken with the tele lens."""
    scores = by_name(solution("knn"))
    sizes = {name: score.n for name, score in scores.items() if name.startswith("group_top1")}
    assert sizes == {
        "group_top1_lens=tele×cat": 40,
        "group_top1_lens=wide×cat": 40,
        "group_top1_lens=tele×dog": 39,
        "group_top1_lens=wide×dog": 40,
    }


def test_the_detail_names_the_worst_group_and_the_gap_by_chance() -> None:
    solved = solution("ood")
    night = solved.details()[0]["groups"]["night"]["lens"]
    assert night["worst_group"] == ["wide", "dog"] and night["gap"] == 1
    assert night["gap_by_chance"] < night["gap"]
    assert night["small_groups"] == {} and night["small_groups_count"] == 0


def named(scores: Result) -> dict[str, ResultPart]:
    return {part.suffix: part for part in scores.parts}


def result(answers: Answers) -> Result:
    outcome = GroupResults(np.ones(1), np.zeros(1, np.int64), np.zeros(1, np.int64))
    return Result((ResultPart(outcome),), {"c": 1}, answers={"": answers})


def every(n: int) -> Ints:
    return np.arange(n)


def test_answers_for_some_images_are_matched_by_position() -> None:
    """Only cats are answered: right with `wide`, wrong with `tele`; dogs are in no group."""
    data = lenses()
    cats = data.splits["test"].y == 0
    wide = np.array(data.splits["test"].attributes["lens"]) == "wide"
    answers = Answers(wide[cats] * 1.0, rows=cats)
    parts = named(with_groups(result(answers), data, lambda name: every(N)))
    of_groups = {s: p.outcome for s, p in parts.items() if "value" in p.facets}
    assert set(of_groups) == {"lens=wide×cat", "lens=tele×cat"}
    for suffix, outcome in of_groups.items():
        assert isinstance(outcome, GroupResults)
        assert set(outcome.right.tolist()) == {float("wide" in suffix)} and len(outcome) == 40


def test_small_groups_are_counted_and_have_no_score() -> None:
    n = 2 * LEAST_IMAGES
    values = ["rare" if i < 3 else f"v{i % 2}" for i in range(n)]
    split = make_split(digests(n), [0] * n, attributes={"site": values})
    groups = groups_by("site", split, Answers(np.ones(n)), ("a",))
    assert [part.suffix for part in groups.parts(LEAST_IMAGES, "")] == ["site"]
    (comparison,) = groups.parts(LEAST_IMAGES, "")
    assert comparison.undefined == "fewer than two groups by site have 30 test images"
    described = groups.described(LEAST_IMAGES)
    assert described == {
        "small_groups": {"rare × a": 3, "v0 × a": 28, "v1 × a": 29},
        "small_groups_count": 3,
    }


def test_of_many_groups_only_the_comparison_is_scored() -> None:
    n = MOST_LISTED + 1
    split = make_split(digests(n), every(n).tolist(), attributes={"site": ["x"] * n})
    groups = groups_by("site", split, Answers(np.ones(n)), [str(i) for i in range(n)])
    assert [part.suffix for part in groups.parts(1, "")] == ["site"]
    assert len(groups.described(2)["small_groups"]) == MOST_LISTED
    assert groups.described(2)["small_groups_count"] == n


def test_results_without_answers_or_attributes_stay_as_they_are() -> None:
    plain = Result(result(Answers(np.ones(N))).parts, {})
    assert with_groups(plain, lenses(), lambda name: every(N)) is plain
    bare = make_dataset({name: make_split("ab", [0, 1]) for name in ("train", "test")})
    answered = result(Answers(np.ones(2)))
    assert with_groups(answered, bare, lambda name: every(2)) is answered
