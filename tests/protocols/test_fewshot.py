"""N-shot probes: samples, heads against scikit-learn, laws, and classes with too few images."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from bob.errors import ConfigError
from bob.numerics.arrays import Doubles
from bob.numerics.sampling import pools
from bob.outcomes import FewShotCurves
from bob.protocols.fewshot import PROTOCOL, FewShotProblem, FewShotSettings, sample_rows
from bob.protocols.protocol import Result
from bob.specs.yaml import build
from tests.builders.fewshot import HEADS, gaussian_classes, sklearn_scores
from tests.builders.protocols import BASELINE
from tests.builders.splits import make_dataset, make_split


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Limit threads, which on few cores cost scikit-learn's small products up to 20 times more
    than they save.
    """
    with threadpool_limits(1):
        yield


def settings(**changes: Any) -> FewShotSettings:
    values = {"shots": (1, 2, 4), "draws": 4, "heads": HEADS, "l2": 1.0}
    return FewShotSettings(**{**values, **changes})


def make_problem(
    classes: int = 4,
    per_class: int = 12,
    width: int = 30,
    noise: float = 1.0,
    queries: int = 40,
    seed: int = 0,
) -> FewShotProblem:
    x, y, test_x, test_y = gaussian_classes(classes, per_class, queries, width, noise, seed=0)
    content = [f"0-{i}" for i in range(len(y))]
    names = tuple(f"c{c}" for c in range(classes))
    return FewShotProblem(x, pools(y, content, classes), test_x, test_y, names, seed)


def solve(problem: FewShotProblem, **changes: Any) -> Result:
    return PROTOCOL.solve(problem, settings(**changes), "cpu")


def accuracies(problem: FewShotProblem, head: str, **changes: Any) -> Doubles:
    """Return the accuracies (R, S) of one head."""
    top1: Doubles = solve(problem, heads=(head,), **changes).outcome.top1
    return top1


# --- samples


def test_samples_depend_on_neither_the_order_nor_the_number_of_images() -> None:
    rng = np.random.default_rng(0)
    y, content = rng.integers(3, size=60), [f"image {i}" for i in range(60)]
    order = rng.permutation(60)
    here = sample_rows(pools(y, content, 3), 5, 4, seed=7)
    there = sample_rows(pools(y[order], [content[i] for i in order], 3), 5, 4, seed=7)
    assert (order[there] == here).all()
    assert (y[here] == np.arange(3)[:, None]).all()
    assert (sample_rows(pools(y, content, 3), 3, 2, seed=7) == here[:3, :, :2]).all()
    assert (sample_rows(pools(y, content, 3), 5, 4, seed=8) != here).any()


@pytest.mark.parametrize("head", HEADS)
def test_accuracies_are_those_of_a_loop_over_scikit_learn(head: str) -> None:
    problem = make_problem(noise=2.5, seed=3)
    top1, samples = accuracies(problem, head), sample_rows(problem.pools, 4, 4, seed=3)
    test_x = problem.test_x.astype(np.float64)
    for r in range(4):
        for j, shots in enumerate((1, 2, 4)):
            rows, y = samples[r, :, :shots].ravel(), np.repeat(np.arange(4), shots)
            scores = sklearn_scores(head, problem.x[rows].astype(np.float64), y, 4, 1.0, test_x)
            assert top1[r, j] == (scores.argmax(1) == problem.test_y).mean()


# --- laws


@pytest.mark.parametrize("head", HEADS)
def test_perfect_features_score_1_and_useless_ones_chance(head: str) -> None:
    assert (accuracies(make_problem(noise=0.0), head) == 1).all()
    problem = make_problem(classes=5, per_class=20, queries=2000)
    noise = np.random.default_rng(1).standard_normal(problem.x.shape).astype(np.float32)
    useless = accuracies(replace(problem, x=noise), head, draws=20)
    assert useless.mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    ("head", "change"),
    [
        (head, change)
        for head in HEADS
        for change in ("rotated", "scaled", "columns")
        if (head, change) != ("ridge", "rotated")
    ],
)
def test_rotating_scaling_and_permuting_features_changes_nothing(head: str, change: str) -> None:
    """The ridge head standardises each feature, as its source does, so that a rotation of features
    may change it.
    """
    problem, rng = make_problem(noise=2.0), np.random.default_rng(0)
    turn = {
        "rotated": np.linalg.qr(rng.standard_normal((30, 30)))[0],
        "scaled": 100 * np.eye(30),
        "columns": np.eye(30)[rng.permutation(30)],
    }[change]
    x, test_x = ((rows @ turn).astype(np.float32) for rows in (problem.x, problem.test_x))
    here = accuracies(problem, head)
    there = accuracies(replace(problem, x=x, test_x=test_x), head)
    # one image at a boundary may fall to either side
    assert there == pytest.approx(here, abs=1 / len(problem.test_y) + 1e-9)
    assert there.mean() == pytest.approx(here.mean(), abs=2e-3)


@pytest.mark.parametrize("head", HEADS)
def test_identical_features_predict_the_first_class(head: str) -> None:
    problem = make_problem()
    x, test_x = np.ones_like(problem.x), np.ones_like(problem.test_x)
    top1 = accuracies(replace(problem, x=x, test_x=test_x), head)
    assert (top1 == (problem.test_y == 0).mean()).all()


# --- parts


def test_the_headline_is_the_first_head_s_label_efficiency() -> None:
    parts = solve(make_problem()).parts
    assert [part.suffix for part in parts[:4]] == ["", "ridge", "centroid", "logistic_1shot"]
    assert parts[0].facets == {"head": "logistic", "shots": "1-4"}
    assert parts[0].metrics == ("label_efficiency",)
    assert parts[-1].facets == {"head": "centroid", "shots": 4}
    curve, at_1_shot, last = (parts[i].outcome for i in (0, 3, -1))
    assert isinstance(curve, FewShotCurves) and isinstance(at_1_shot, FewShotCurves)
    assert isinstance(last, FewShotCurves) and last.shots.tolist() == [4]
    assert at_1_shot.top1[:, 0] == pytest.approx(curve.top1[:, 0])


def test_numbers_of_shots_that_a_class_cannot_serve_are_undefined() -> None:
    result = solve(make_problem(per_class=3), shots=(1, 2, 16))
    assert result.parts[0].facets["shots"] == "1-2"
    assert result.detail["shots_left_out"] == [16]
    undefined = [part for part in result.parts if part.facets["shots"] == 16]
    assert len(undefined) == 3 and all(part.outcome is None for part in undefined)
    assert undefined[0].undefined == (
        "16 shots need as many train images per class; class 'c0' has 3 (byte-identical ones "
        "counted once)"
    )


@pytest.mark.parametrize("images", [0, 1])
def test_label_efficiency_needs_two_numbers_of_shots(images: int) -> None:
    problem = make_problem()
    few = replace(problem, pools=(problem.pools[0][:images], *problem.pools[1:]))
    headline = solve(few, shots=(1, 2)).parts[0]
    assert headline.outcome is None
    reason = f"two numbers of shots that every class can serve; class 'c0' has {images}"
    assert headline.undefined is not None and reason in headline.undefined


def test_the_val_split_is_not_read() -> None:
    splits = {name: make_split("ab", [0, 1]) for name in ("train", "val", "test")}
    needs = PROTOCOL.needs(settings(), make_dataset(splits), BASELINE)
    assert [need.name for need in needs] == ["train", "test"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shots": [4, 2]}, r"must ascend without repeats; got \[4, 2\]"),
        ({"heads": ["ridge", "ridge"]}, "must not repeat a head"),
    ],
)
def test_inconsistent_settings_are_refused(changes: dict[str, object], message: str) -> None:
    values = {"shots": [1, 2], "draws": 2, "heads": ["ridge"], "l2": 1.0, **changes}
    with pytest.raises(ConfigError, match=message):
        build(FewShotSettings, values, "x")
