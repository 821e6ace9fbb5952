"""Few-shot against loops of scikit-learn fits: `python benchmarks/fewshot.py [--quick] [--features FILE.safetensors]`.

1. Episodes, 5-way 5-shot with 15 queries, of rows of length 1: all of them solved together (ours, each head alone, from cached rows to accuracies)
   against a loop that fits and predicts with scikit-learn's `LogisticRegression(C=1)`, `RidgeClassifier(alpha=1)` and `NearestCentroid()`, with one
   BLAS thread, which on few cores is far faster for it than several. `same`: share of episodes with equal accuracy.
2. 100 N-shot probes (10 draws of 1 to 10 shots), scored on all of test, of each head, against one `LogisticRegression(max_iter=1000)` fit on all of
   train: as called, and with one thread. Rows are standardised for it, as its documentation advises.

The loop is timed over `--loop` episodes and scaled to all of them. Everything else is timed `--rounds` times in turn; medians.
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
from numpy.typing import NDArray
from pairs import finish, machine
from safetensors.numpy import load_file
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from bob.numerics.search.similarity import unit
from bob.protocols.episodes import Episodes, Pooled, draw, eligible, solved
from bob.protocols.fewshot import FewShot, fewshot
from bob.protocols.sampling import pools
from bob.specs.settings import FewShotSettings
from bob.specs.settings.fewshot import Head

HEADS: tuple[Head, ...] = ("centroid", "ridge", "logistic")
PEERS: dict[str, Callable[[], Any]] = {
    "centroid": NearestCentroid,
    "ridge": lambda: RidgeClassifier(alpha=1.0),
    "logistic": lambda: LogisticRegression(C=1.0, max_iter=1000),
    "logistic, tight": lambda: LogisticRegression(C=1.0, max_iter=100_000, tol=1e-10),
}
TIGHT = {"logistic": "logistic, tight"}
"""scikit-learn's default tolerance stops before the optimum; answers are compared with its own at a tight one too."""
WAYS, SHOTS, QUERIES = 5, 5, 15

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def synthetic(n: int, d: int, classes: int) -> tuple[Floats, Ints]:
    """Gaussian classes in a decaying spectrum, and a common mean."""
    rng = np.random.default_rng(0)
    y = rng.integers(classes, size=n)
    x = 2 * rng.normal(size=(n, d)) + rng.normal(size=(classes, d))[y] + 1
    return (x * np.arange(1, d + 1) ** -0.3).astype(np.float32), y


def halves(x: Floats, y: Ints) -> Pooled:
    """Every third row is a test row."""
    test = np.arange(len(y)) % 3 == 0
    count = int(y.max()) + 1
    names = np.array([str(i) for i in range(len(y))])
    train_pools, test_pools = (
        pools(y[side], names[side].tolist(), count) for side in (~test, test)
    )
    return Pooled(x[~test], train_pools, x[test], test_pools)


def labels(of: tuple[Ints, ...], n: int) -> Ints:
    y = np.empty(n, np.int64)
    for c, rows in enumerate(of):
        y[rows] = c
    return y


def loop(head: str, drawn: Episodes, x: Floats, test_x: Floats, count: int) -> NDArray[np.float64]:
    """scikit-learn's accuracies, episode by episode."""
    y, true = np.repeat(np.arange(WAYS), SHOTS), np.repeat(np.arange(WAYS), QUERIES)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its centroids warn of features without spread
        return np.array(
            [
                (
                    PEERS[head]().fit(x[drawn.support[e]], y).predict(test_x[drawn.query[e]])
                    == true
                ).mean()
                for e in range(count)
            ]
        )


def timed(call: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Median seconds, and the last result."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def episodes_of(problem: Pooled, count: int, looped: int, rounds: int) -> dict[str, float]:
    """Ratios of the loop to ours, per head."""
    drawn = draw(problem, eligible(problem, SHOTS, QUERIES), WAYS, SHOTS, QUERIES, count, seed=0)
    x, test_x = unit(problem.x), unit(problem.test_x)
    ratios = {}
    for head in HEADS:
        ours, (top1, _) = timed(
            lambda head=head: solved(
                drawn, torch.from_numpy(x), torch.from_numpy(test_x), (head,), 1.0
            ),
            rounds,
        )
        theirs, expected = timed(lambda head=head: loop(head, drawn, x, test_x, looped), 1)
        theirs *= count / looped
        ratios[f"episodes_{head}"] = theirs / ours
        same = share_of_equals(top1[0, :looped], expected)
        told = f"{count} episodes, {head:9} ours {ours:7.3f} s   loop of scikit-learn {theirs:8.3f} s   {theirs / ours:6.1f}x   same {100 * same:.1f} %"
        if head in TIGHT:
            some = min(looped, 200)
            told += f", at a tight tolerance {100 * share_of_equals(top1[0, :some], loop(TIGHT[head], drawn, x, test_x, some)):.1f} % of {some}"
        print(told)
    return ratios


def share_of_equals(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Of episodes with the same accuracy."""
    return float((np.abs(ours - theirs) < 1e-9).mean())


def probes_of(problem: Pooled, rounds: int) -> dict[str, float]:
    """Ratios of one scikit-learn fit on all of train to our 100 probes, per head; as called and with one thread."""
    y, test_y = (
        labels(problem.pools, len(problem.x)),
        labels(problem.test_pools, len(problem.test_x)),
    )
    few = FewShot(
        problem.x, problem.pools, problem.test_x, test_y, tuple(map(str, range(len(problem.pools))))
    )
    standard = StandardScaler().fit_transform(problem.x)
    called, _ = timed(lambda: LogisticRegression(max_iter=1000).fit(standard, y), 1)
    with threadpool_limits(1):
        alone, _ = timed(lambda: LogisticRegression(max_iter=1000).fit(standard, y), 1)
    print(
        f"one scikit-learn fit on {len(y)} rows: {called:.3f} s as called, {alone:.3f} s with one thread"
    )
    ratios = {}
    for head in HEADS:
        settings = FewShotSettings(shots=tuple(range(1, 11)), draws=10, heads=(head,), l2=1.0)
        ours, _ = timed(lambda settings=settings: fewshot(few, settings, 0, "cpu"), rounds)
        ratios |= {f"probes_{head}": called / ours, f"probes_{head}_one_thread": alone / ours}
        print(
            f"100 probes, {head:9} ours {ours:7.3f} s   {called / ours:6.1f}x as called, {alone / ours:6.1f}x one thread"
        )
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="fewer episodes in the loop: under 45 s"
    )
    parser.add_argument(
        "--features", type=Path, help="a safetensors file with x (N, D), float, and y (N,), int"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", type=int, help="episodes of the loop of scikit-learn")
    args = parser.parse_args()
    if args.features:
        arrays = load_file(args.features)
        x, y = arrays["x"].astype(np.float32), arrays["y"].astype(np.int64)
    else:
        x, y = synthetic(15_000, 768, 20)
    problem = halves(x, y)
    print(
        f"{len(problem.x)} train and {len(problem.test_x)} test rows x {x.shape[1]}, {len(problem.pools)} classes; {machine()}"
    )
    solved_once = draw(problem, eligible(problem, SHOTS, QUERIES), WAYS, SHOTS, QUERIES, 20, seed=1)
    solved(
        solved_once,
        torch.from_numpy(unit(problem.x)),
        torch.from_numpy(unit(problem.test_x)),
        HEADS,
        1.0,
    )  # threads start outside the clock
    finish(
        episodes_of(problem, 1000, args.loop or (100 if args.quick else 1000), args.rounds)
        | probes_of(problem, args.rounds)
    )


if __name__ == "__main__":
    main()
