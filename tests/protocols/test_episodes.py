"""Episodes: samples, laws, and classes with too few images."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from bob.errors import NotApplicableError
from bob.numerics.arrays import Doubles, Ints
from bob.numerics.fewshot.episodes import Episodes
from bob.outcomes import FewShotCurves
from bob.protocols.episodes import (
    PROTOCOL,
    EpisodesProblem,
    EpisodesSettings,
    eligible_classes,
    sample_episodes,
)
from bob.protocols.protocol import Result, ResultPart
from tests.builders.fewshot import EPISODE_PEERS, HEADS, shuffled_classes
from tests.builders.protocols import BASELINE
from tests.builders.splits import make_dataset, make_split


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Limit threads, which on few cores cost scikit-learn's small products up to 20 times more
    than they save.
    """
    with threadpool_limits(1):
        yield


def settings(**changes: Any) -> EpisodesSettings:
    values = {
        "ways": (5,),
        "shots": (1, 5),
        "queries": 15,
        "episodes": 30,
        "heads": HEADS,
        "l2": 1.0,
    }
    return EpisodesSettings(**{**values, **changes})


def make_problem(
    classes: int = 8, train: int = 12, noise: float = 1.5, seed: int = 0
) -> EpisodesProblem:
    """Return a problem of Gaussian classes with 18 test images each."""
    rows = shuffled_classes(classes, (train, 18), width=40, noise=noise, seed=0)
    return EpisodesProblem(*rows, seed)


def sample(problem: EpisodesProblem, ways: int, shots: int, episodes: int) -> Episodes:
    able = eligible_classes(problem, shots, 15)
    return sample_episodes(problem, able, ways, shots, settings(episodes=episodes))


def solve(problem: EpisodesProblem, **changes: Any) -> Result:
    return PROTOCOL.solve(problem, settings(**changes), "cpu")


def top1(part: ResultPart) -> Doubles:
    """Return the accuracies (R, S) of a part."""
    assert isinstance(part.outcome, FewShotCurves)
    return part.outcome.top1


# --- samples


@pytest.mark.parametrize(("ways", "shots"), [(5, 1), (5, 5), (8, 3), (2, 4)])
def test_accuracies_are_those_of_a_loop_over_scikit_learn(ways: int, shots: int) -> None:
    problem = make_problem(seed=1)
    episodes = sample(problem, ways, shots, 40)
    result = solve(problem, ways=(ways,), shots=(shots,), episodes=40)
    x, test_x = normalize(problem.x), normalize(problem.test_x)
    y, true = np.repeat(np.arange(ways), shots), np.repeat(np.arange(ways), 15)
    for head, part in zip(HEADS, result.parts[1:], strict=True):
        # its centroids compute a spread within classes, which one shot does not have
        with np.errstate(invalid="ignore"):
            predicted = [
                EPISODE_PEERS[head]().fit(x[support], y).predict(test_x[query])
                for support, query in zip(episodes.support, episodes.query, strict=True)
            ]
        expected = (np.array(predicted) == true).mean(1)
        ours = top1(part)[:, 0]
        assert np.abs(ours - expected).max() <= 1 / len(true) + 1e-9  # one query at a boundary
        assert ours.mean() == pytest.approx(np.mean(expected), abs=1e-3)


def labels_of(pools: tuple[Ints, ...], rows: int) -> Ints:
    """Return the class of each row (N,)."""
    label = np.empty(rows, np.int64)
    for c, pool in enumerate(pools):
        label[pool] = c
    return label


def test_episodes_are_of_distinct_classes_and_images() -> None:
    problem = make_problem()
    episodes = sample(problem, 5, 3, 200)
    label = labels_of(problem.pools, len(problem.x))
    test_label = labels_of(problem.test_pools, len(problem.test_x))
    classes = label[episodes.support].reshape(200, 5, 3)
    assert (classes == classes[..., :1]).all()
    assert (test_label[episodes.query].reshape(200, 5, 15) == classes[..., :1]).all()
    assert all(len(set(row)) == 5 for row in classes[..., 0])
    assert all(len(set(row)) == 15 for row in episodes.support)
    assert all(len(set(row)) == 75 for row in episodes.query)
    # 1,000 choices of 8 classes: 125 each, with a standard deviation of 10
    assert np.bincount(classes[..., 0].ravel()).min() > 90


def test_episodes_depend_on_the_seed_and_not_on_features() -> None:
    problem = make_problem()
    other = replace(problem, x=problem.x[:, :3] * 2, test_x=problem.test_x[:, :3])
    here, there, reseeded = (
        sample(one, 5, 1, 20) for one in (problem, other, replace(problem, seed=1))
    )
    assert (here.support == there.support).all() and (here.query == there.query).all()
    assert (here.support != reseeded.support).any()


# --- laws


def test_perfect_features_score_1_and_useless_ones_chance() -> None:
    perfect = solve(make_problem(noise=0.0))
    assert all((top1(part) == 1).all() for part in perfect.parts)
    problem, rng = make_problem(), np.random.default_rng(0)
    x, test_x = (
        rng.standard_normal(rows.shape).astype(np.float32) for rows in (problem.x, problem.test_x)
    )
    useless = solve(replace(problem, x=x, test_x=test_x), episodes=400)
    assert all(top1(part).mean() == pytest.approx(1 / 5, abs=0.02) for part in useless.parts)


@pytest.mark.parametrize("change", ["rotated", "scaled"])
def test_rotating_and_scaling_features_changes_nothing(change: str) -> None:
    problem, rng = make_problem(), np.random.default_rng(0)
    turn = (
        np.linalg.qr(rng.standard_normal((40, 40)))[0] if change == "rotated" else 50 * np.eye(40)
    )
    x, test_x = ((rows @ turn).astype(np.float32) for rows in (problem.x, problem.test_x))
    moved = replace(problem, x=x, test_x=test_x)
    for here, there in zip(solve(problem).parts, solve(moved).parts, strict=True):
        assert top1(there) == pytest.approx(top1(here), abs=1 / 75 + 1e-9)
        assert top1(there).mean() == pytest.approx(top1(here).mean(), abs=1e-3)


# --- parts


def test_the_headline_is_the_first_head_at_the_first_ways_and_the_last_shots() -> None:
    result = solve(make_problem(), ways=(5, 8))
    suffixes = [part.suffix for part in result.parts[:3]]
    assert suffixes == ["", "logistic_5way_1shot", "ridge_5way_1shot"]
    assert result.parts[0].facets == {"head": "logistic", "ways": 5, "shots": 5}
    assert len(result.parts) == 1 + 2 * 2 * 3 and len(result.outcome) == 30
    assert result.detail["converged"]


def test_ways_and_shots_without_enough_classes_are_undefined() -> None:
    problem = make_problem(classes=6, train=3)
    parts = {part.suffix: part for part in solve(problem, ways=(5, 20), heads=("ridge",)).parts}
    assert parts["ridge_5way_1shot"].outcome is not None
    assert parts["ridge_5way_5shot"].undefined == (
        "5-way 5-shot needs 5 classes with 5 train and 15 test images; there are 0"
    )
    assert parts["ridge_20way_1shot"].undefined == (
        "20-way 1-shot needs 20 classes with 1 train and 15 test images; there are 6"
    )
    assert parts[""].outcome is None
    assert parts[""].undefined == parts["ridge_5way_5shot"].undefined


def test_a_dataset_needs_as_many_classes_as_the_smallest_episode() -> None:
    splits = {name: make_split("ab", [0, 1]) for name in ("train", "test")}
    with pytest.raises(NotApplicableError, match="needs 5 classes; dataset 'd' has 2"):
        PROTOCOL.needs(settings(ways=(20, 5)), make_dataset(splits), BASELINE)
