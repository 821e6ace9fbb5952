"""Heads of episodes against a loop of scikit-learn fits."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from bob.numerics.arrays import Ints
from bob.numerics.fewshot.episodes import Episodes, episode_accuracies
from tests.builders.fewshot import EPISODE_PEERS, HEADS, shuffled_classes


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Limit threads, which on few cores cost scikit-learn's small products up to 20 times more
    than they save.
    """
    with threadpool_limits(1):
        yield


def sample(pools: tuple[Ints, ...], classes: Ints, count: int, seed: int) -> Ints:
    """Return `count` rows of each of the classes (E, N), (E, N · count)."""
    rng = np.random.default_rng(seed)
    return np.array(
        [np.concatenate([rng.permutation(pools[c])[:count] for c in row]) for row in classes]
    )


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize(("ways", "shots"), [(5, 1), (5, 5), (8, 3), (2, 4)])
def test_every_head_answers_like_a_loop_of_scikit_learn_fits(
    ways: int, shots: int, table: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether products are looked up in a table of all rows or computed for each episode."""
    monkeypatch.setattr("bob.numerics.fewshot.episodes.TABLE_FACTOR", 1e9 if table else 0)
    x, pools, test_x, test_pools = shuffled_classes(8, (12, 18), width=40, noise=1.5, seed=0)
    rng = np.random.default_rng(1)
    classes = np.array([rng.permutation(8)[:ways] for _ in range(40)])
    episodes = Episodes(
        sample(pools, classes, shots, seed=2), sample(test_pools, classes, 15, seed=3), ways
    )
    unit_x, unit_test_x = normalize(x), normalize(test_x)
    top1, gap = episode_accuracies(
        episodes, torch.from_numpy(unit_x), torch.from_numpy(unit_test_x), HEADS, 1.0
    )
    assert gap <= 1e-6
    y, true = np.repeat(np.arange(ways), shots), np.repeat(np.arange(ways), 15)
    for head, ours in zip(HEADS, top1, strict=True):
        # its centroids compute a spread within classes, which one shot does not have
        with np.errstate(invalid="ignore"):
            predicted = [
                EPISODE_PEERS[head]().fit(unit_x[support], y).predict(unit_test_x[query])
                for support, query in zip(episodes.support, episodes.query, strict=True)
            ]
        expected = (np.array(predicted) == true).mean(1)
        assert np.abs(ours - expected).max() <= 1 / len(true) + 1e-9  # one query at a boundary
        assert ours.mean() == pytest.approx(np.mean(expected), abs=1e-3)
