"""Few-shot heads against loops of scikit-learn fits.

    python benchmarks/fewshot.py [--quick] [--features FILE.safetensors]

1. Episodes, 5-way 5-shot with 15 queries, of rows of length 1. Ours solves all of them together,
   each head alone, from cached rows to accuracies. The peer is a loop that fits and predicts with
   scikit-learn's `LogisticRegression(C=1)`, `RidgeClassifier(alpha=1)` and `NearestCentroid()`,
   with one BLAS thread, which on few cores is far faster for it than all of them. `same` is the
   share of episodes with equal accuracy.
2. 100 N-shot probes (10 samples of 1 to 10 shots), scored on all of test, of each head, against one
   `LogisticRegression(max_iter=1000)` fit on all of train: as called, and with one thread. Rows are
   standardised for it, as its documentation advises.

The loop is timed over `--loop` episodes and scaled to all of them. Everything else is timed
`--rounds` times in turn; medians are printed.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pairs import finish, machine
from safetensors.numpy import load_file
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.fewshot.episodes import Episodes, episode_accuracies
from bob.numerics.sampling import pools
from bob.numerics.search.similarity import unit
from bob.protocols.episodes import (
    EpisodesProblem,
    EpisodesSettings,
    eligible_classes,
    sample_episodes,
)
from bob.protocols.fewshot import PROTOCOL, FewShotProblem, FewShotSettings, Head

HEADS: tuple[Head, ...] = ("centroid", "ridge", "logistic")
PEERS: dict[str, Callable[[], Any]] = {
    "centroid": NearestCentroid,
    "ridge": lambda: RidgeClassifier(alpha=1.0),
    "logistic": lambda: LogisticRegression(C=1.0, max_iter=1000),
    "logistic, tight": lambda: LogisticRegression(C=1.0, max_iter=100_000, tol=1e-10),
}
TIGHT = {"logistic": "logistic, tight"}
"""scikit-learn's default tolerance stops before the optimum, so that accuracies are compared with
those of a tight tolerance too."""
WAYS, SHOTS, QUERIES = 5, 5, 15


def synthetic(n: int, d: int, classes: int) -> tuple[Floats, Ints]:
    """Return Gaussian classes in a decaying spectrum with a common mean."""
    rng = np.random.default_rng(0)
    y = rng.integers(classes, size=n)
    x = 2 * rng.normal(size=(n, d)) + rng.normal(size=(classes, d))[y] + 1
    return (x * np.arange(1, d + 1) ** -0.3).astype(np.float32), y


def split(x: Floats, y: Ints) -> EpisodesProblem:
    """Return the problem in which every third row is a test row."""
    test = np.arange(len(y)) % 3 == 0
    count = int(y.max()) + 1
    names = np.array([str(i) for i in range(len(y))])
    train_pools, test_pools = (
        pools(y[side], names[side].tolist(), count) for side in (~test, test)
    )
    return EpisodesProblem(x[~test], train_pools, x[test], test_pools)


def labels(pools: tuple[Ints, ...], n: int) -> Ints:
    """Return the class of each row (N,)."""
    y = np.empty(n, np.int64)
    for c, rows in enumerate(pools):
        y[rows] = c
    return y


def sample(problem: EpisodesProblem, count: int) -> Episodes:
    settings = EpisodesSettings(
        ways=(WAYS,), shots=(SHOTS,), queries=QUERIES, episodes=count, heads=HEADS, l2=1.0
    )
    able = eligible_classes(problem, SHOTS, QUERIES)
    return sample_episodes(problem, able, WAYS, SHOTS, settings)


def solve(episodes: Episodes, x: Floats, test_x: Floats, *heads: Head) -> Doubles:
    """Return the accuracies (heads, E) of rows of length 1."""
    rows = torch.from_numpy(x), torch.from_numpy(test_x)
    return episode_accuracies(episodes, *rows, heads, 1.0)[0]


def loop(head: str, episodes: Episodes, x: Floats, test_x: Floats, count: int) -> Doubles:
    """Return scikit-learn's accuracies of the first episodes, one after the other."""
    y, true = np.repeat(np.arange(WAYS), SHOTS), np.repeat(np.arange(WAYS), QUERIES)
    accuracies = np.empty(count)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its centroids warn of features without spread
        for e in range(count):
            fit = PEERS[head]().fit(x[episodes.support[e]], y)
            accuracies[e] = (fit.predict(test_x[episodes.query[e]]) == true).mean()
    return accuracies


def timed(call: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Return the median of the seconds, and the last result."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def compare_episodes(
    problem: EpisodesProblem, count: int, looped: int, rounds: int
) -> dict[str, float]:
    """Return the ratio of the loop's seconds to ours, per head."""
    episodes = sample(problem, count)
    x, test_x = unit(problem.x), unit(problem.test_x)
    ratios = {}
    for head in HEADS:
        ours, top1 = timed(lambda head=head: solve(episodes, x, test_x, head), rounds)
        theirs, expected = timed(lambda head=head: loop(head, episodes, x, test_x, looped), 1)
        theirs *= count / looped
        ratios[f"episodes_{head}"] = theirs / ours
        same = share_of_equals(top1[0, :looped], expected)
        line = (
            f"{count} episodes, {head:9} ours {ours:7.3f} s   loop of scikit-learn {theirs:8.3f} s"
            f"   {theirs / ours:6.1f}x   same {100 * same:.1f} %"
        )
        if head in TIGHT:
            some = min(looped, 200)
            expected = loop(TIGHT[head], episodes, x, test_x, some)
            same = share_of_equals(top1[0, :some], expected)
            line += f", at a tight tolerance {100 * same:.1f} % of {some}"
        print(line)
    return ratios


def share_of_equals(ours: Doubles, theirs: Doubles) -> float:
    """Return the share of episodes with the same accuracy."""
    return float((np.abs(ours - theirs) < 1e-9).mean())


def compare_probes(problem: EpisodesProblem, rounds: int) -> dict[str, float]:
    """Return the ratio of one scikit-learn fit on all of train to our 100 probes, per head."""
    y = labels(problem.pools, len(problem.x))
    test_y = labels(problem.test_pools, len(problem.test_x))
    classes = tuple(map(str, range(len(problem.pools))))
    few = FewShotProblem(problem.x, problem.pools, problem.test_x, test_y, classes)
    standard = StandardScaler().fit_transform(problem.x)
    called, _ = timed(lambda: LogisticRegression(max_iter=1000).fit(standard, y), 1)
    with threadpool_limits(1):
        single, _ = timed(lambda: LogisticRegression(max_iter=1000).fit(standard, y), 1)
    print(
        f"one scikit-learn fit on {len(y)} rows: {called:.3f} s as called, {single:.3f} s with one "
        "thread"
    )
    ratios = {}
    for head in HEADS:
        settings = FewShotSettings(shots=tuple(range(1, 11)), draws=10, heads=(head,), l2=1.0)
        ours, _ = timed(lambda settings=settings: PROTOCOL.solve(few, settings, "cpu"), rounds)
        ratios |= {f"probes_{head}": called / ours, f"probes_{head}_one_thread": single / ours}
        print(
            f"100 probes, {head:9} ours {ours:7.3f} s   {called / ours:6.1f}x as called, "
            f"{single / ours:6.1f}x one thread"
        )
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="loop over fewer episodes: under 45 s")
    parser.add_argument(
        "--features", type=Path, help="safetensors file with x (N, D), float, and y (N,), int"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", type=int, help="number of episodes in scikit-learn's loop")
    args = parser.parse_args()
    if args.features:
        arrays = load_file(args.features)
        x, y = arrays["x"].astype(np.float32), arrays["y"].astype(np.int64)
    else:
        x, y = synthetic(15_000, 768, 20)
    problem = split(x, y)
    print(
        f"{len(problem.x)} train and {len(problem.test_x)} test rows x {x.shape[1]}, "
        f"{len(problem.pools)} classes; {machine()}"
    )
    # threads start outside the clock
    solve(sample(problem, 20), unit(problem.x), unit(problem.test_x), *HEADS)
    finish(
        compare_episodes(problem, 1000, args.loop or (100 if args.quick else 1000), args.rounds)
        | compare_probes(problem, args.rounds)
    )


if __name__ == "__main__":
    main()
