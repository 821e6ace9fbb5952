"""Episodes: every head against a loop of scikit-learn fits, draws, laws, known answers, and classes with too few images."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from bob.protocols.episodes import Pooled, draw, eligible, episodes, solved
from bob.protocols.sampling import pools
from bob.specs.settings import EpisodesSettings

HEADS = ("logistic", "ridge", "centroid")
PEERS = {
    "logistic": lambda: LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000),
    "ridge": lambda: RidgeClassifier(alpha=1.0),
    "centroid": lambda: NearestCentroid(),
}


@pytest.fixture(autouse=True)
def _one_thread():
    """On few cores, threads inside scikit-learn's small products cost up to 20 times what they save."""
    with threadpool_limits(1):
        yield


def settings(**changed):
    return EpisodesSettings(
        **{
            "ways": (5,),
            "shots": (1, 5),
            "queries": 15,
            "episodes": 30,
            "heads": HEADS,
            "l2": 1.0,
            **changed,
        }
    )


def made(classes=8, train=12, test=18, width=40, noise=1.5, seed=0):
    """A problem whose classes are Gaussian around random means."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((classes, width))
    sides = []
    for per_class in (train, test):
        y = rng.permutation(np.repeat(np.arange(classes), per_class))
        x = (means[y] + noise * rng.standard_normal((len(y), width)) + 2).astype(np.float32)
        sides += [x, pools(y, [f"{seed} {per_class} {i}" for i in range(len(y))], classes)]
    return Pooled(*sides)


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize(("ways", "shots"), [(5, 1), (5, 5), (8, 3), (2, 4)])
def test_every_head_answers_as_a_loop_of_scikit_learn_fits(ways, shots, table, monkeypatch):
    """Whether products are looked up in a table of all rows' or made for each episode."""
    problem = made()
    monkeypatch.setattr("bob.protocols.episodes.WORTH", 1e9 if table else 0)
    drawn = draw(problem, eligible(problem, shots, 15), ways, shots, 15, 40, seed=1)
    x, test_x = torch.from_numpy(normalize(problem.x)), torch.from_numpy(normalize(problem.test_x))
    top1, gap = solved(drawn, x, test_x, HEADS, 1.0)
    assert gap <= 1e-6
    y, true = np.repeat(np.arange(ways), shots), np.repeat(np.arange(ways), 15)
    for head, ours in zip(HEADS, top1, strict=True):
        with np.errstate(
            invalid="ignore"
        ):  # scikit-learn's centroids want a spread within classes, which one shot does not have, and do not use it
            predicted = [
                PEERS[head]().fit(x[s].numpy(), y).predict(test_x[q].numpy())
                for s, q in zip(drawn.support, drawn.query, strict=True)
            ]
        expected = (np.array(predicted) == true).mean(1)
        assert np.abs(ours - expected).max() <= 1 / len(true) + 1e-9  # one query at a boundary
        assert ours.mean() == pytest.approx(np.mean(expected), abs=1e-3)


def test_episodes_are_of_distinct_classes_and_images():
    problem = made()
    drawn = draw(problem, np.arange(8), 5, 3, 15, 200, seed=0)
    label = np.empty(len(problem.x), int)
    test_label = np.empty(len(problem.test_x), int)
    for c in range(8):
        label[problem.pools[c]], test_label[problem.test_pools[c]] = c, c
    classes = label[drawn.support].reshape(200, 5, 3)
    assert (classes == classes[..., :1]).all() and (
        test_label[drawn.query].reshape(200, 5, 15) == classes[..., :1]
    ).all()
    assert all(len(set(row)) == 5 for row in classes[..., 0])
    assert all(len(set(row)) == 15 for row in drawn.support) and all(
        len(set(row)) == 75 for row in drawn.query
    )
    assert (
        np.bincount(classes[..., 0].ravel()).min() > 90
    )  # 1,000 choices of 8 classes: 125 each, standard deviation 10


def test_episodes_depend_on_the_seed_and_not_on_features():
    problem = made()
    other = Pooled(problem.x[:, :3] * 2, problem.pools, problem.test_x[:, :3], problem.test_pools)
    here, there, again = (
        draw(one, np.arange(8), 5, 1, 15, 20, seed)
        for one, seed in ((problem, 0), (other, 0), (problem, 1))
    )
    assert (here.support == there.support).all() and (here.query == there.query).all()
    assert (here.support != again.support).any()


def test_known_answers():
    assert all(
        (part.outcome.top1 == 1).all()
        for part in episodes(made(noise=0.0), settings(), 0, "cpu").parts
    )
    problem, rng = made(), np.random.default_rng(0)
    x, test_x = (
        rng.standard_normal(rows.shape).astype(np.float32) for rows in (problem.x, problem.test_x)
    )
    useless = episodes(
        Pooled(x, problem.pools, test_x, problem.test_pools), settings(episodes=400), 0, "cpu"
    )
    assert all(part.outcome.top1.mean() == pytest.approx(1 / 5, abs=0.02) for part in useless.parts)


@pytest.mark.parametrize("change", ["rotated", "scaled"])
def test_what_must_not_move_an_accuracy(change):
    problem, rng = made(), np.random.default_rng(0)
    turn = (
        np.linalg.qr(rng.standard_normal((40, 40)))[0] if change == "rotated" else 50 * np.eye(40)
    )
    moved = Pooled(
        (problem.x @ turn).astype(np.float32),
        problem.pools,
        (problem.test_x @ turn).astype(np.float32),
        problem.test_pools,
    )
    for here, there in zip(
        episodes(problem, settings(), 0, "cpu").parts,
        episodes(moved, settings(), 0, "cpu").parts,
        strict=True,
    ):
        assert there.outcome.top1 == pytest.approx(here.outcome.top1, abs=1 / 75 + 1e-9)
        assert there.outcome.top1.mean() == pytest.approx(here.outcome.top1.mean(), abs=1e-3)


def test_parts_carry_their_facets_and_the_headline_is_the_first_ways_with_the_last_shots():
    result = episodes(made(), settings(ways=(5, 8)), 0, "cpu")
    assert [part.suffix for part in result.parts[:3]] == [
        "",
        "logistic_5way_1shot",
        "ridge_5way_1shot",
    ]
    assert result.parts[0].facets == {"head": "logistic", "ways": 5, "shots": 5}
    assert len(result.parts) == 1 + 2 * 2 * 3 and len(result.parts[0].outcome) == 30
    assert result.detail["converged"]


def test_too_few_classes_are_said_and_not_hidden():
    problem = made(classes=6, train=3)
    parts = {
        part.suffix: part
        for part in episodes(problem, settings(ways=(5, 20), heads=("ridge",)), 0, "cpu").parts
    }
    assert parts["ridge_5way_1shot"].outcome is not None
    assert (
        parts["ridge_5way_5shot"].undefined
        == "5-way 5-shot needs 5 classes with 5 train and 15 test images; there are 0"
    )
    assert (
        parts["ridge_20way_1shot"].undefined
        == "20-way 1-shot needs 20 classes with 1 train and 15 test images; there are 6"
    )
    assert parts[""].outcome is None and parts[""].undefined == parts["ridge_5way_5shot"].undefined
