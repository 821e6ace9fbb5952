"""What the 95 % intervals cover over realistic test sets: `python tests/interval_coverage.py [--trials 2000]`. The table of docs/statistics.md.

A row is one kind of interval; a grid point is one test set (size, scores, classes). Coverage of shares is exact: a sum over a binomial's outcomes.
tests/test_intervals.py runs the same grids with fewer trials.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import binom

from bob.intervals import bootstrap
from bob.metrics import METRICS
from bob.outcomes import Classified, Detected
from bob.statistics import limits

Floats = NDArray[np.float64]

SIZES = (100, 300, 1_000, 5_000, 50_000)
SHARES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
CLASSES = (2, 3, 10, 30, 100)
FEW_WRONG = 10
"""With fewer expected right or wrong than this, what is seen takes few values, and the coverage of any method jumps with the share."""


def inside(found: limits.Pair, truth: float) -> float:
    """Share of the limits that hold the truth."""
    return float(((found[0] <= truth + 1e-12) & (truth - 1e-12 <= found[1])).mean())


def shares_exactly() -> dict[tuple[int, float], float]:
    """(n, share) → what Wilson's limits cover, averaged over 41 shares within a tenth of the distance to 0 or 1; no simulation."""
    return {(n, share): float(np.mean([_wilson_covers(n, p) for p in _around(share)])) for n, share in product(SIZES, SHARES)}


def _around(share: float) -> Floats:
    reach = 0.1 * min(share, 1 - share)
    return np.linspace(share - reach, share + reach, 41)


def _wilson_covers(n: int, p: float) -> float:
    successes = np.arange(max(0, int(n * p - 8 * np.sqrt(n))), min(n, int(n * p + 8 * np.sqrt(n))) + 1, dtype=np.float64)
    low, high = limits.wilson(successes, np.float64(n))
    return float(binom.pmf(successes, n, p)[(low <= p) & (p <= high)].sum())


def class_means(trials: int, sizes: tuple[int, ...] = SIZES, seed: int = 0) -> Iterator[tuple[str, float, float]]:
    """Of a mean over classes: what the point is, the expected number of independent mistakes that decide it, and what is covered."""
    rng = np.random.default_rng(seed)
    for total, classes, share, steep, spread in product(sizes, CLASSES, SHARES, (0.0, 0.8), (0.0, 1.0)):
        if total >= classes:
            n, p = _class_sizes(total, classes, steep), _class_shares(share, classes, spread, rng)
            successes = rng.binomial(n.astype(np.int64), p, (trials, classes)).astype(np.float64)
            variance = (p * (1 - p) / n).sum() / classes**2
            decisive = p.mean() * (1 - p.mean()) / variance * min(p.mean(), 1 - p.mean())
            point = f"{total} images, {classes} classes, mean {share}, sizes like rank^-{steep}, spread {spread}"
            yield point, float(decisive), inside(limits.mean_of_shares(successes, n), float(p.mean()))


def _class_sizes(total: int, classes: int, steep: float) -> Floats:
    weight = np.arange(1, classes + 1) ** -steep
    return np.asarray(np.maximum(1.0, np.round(total * weight / weight.sum())))


def _class_shares(mean: float, classes: int, spread: float, rng: np.random.Generator) -> Floats:
    """(K,) shares whose logits are normal with this standard deviation, moved until they have this mean."""
    off = spread * rng.normal(size=classes)
    least, most = -20.0, 20.0
    for _ in range(60):
        middle = (least + most) / 2
        least, most = (middle, most) if expit(off + middle).mean() < mean else (least, middle)
    return np.asarray(expit(off + least))


def bounded(kind: str, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Values in [0, 1] like those of queries: average precisions, reciprocal ranks, shares of the first five, errors over corruptions."""
    first, rest = rng.random(shape), rng.beta(1.0, 1.0, shape)
    if kind.startswith("ap"):  # some queries are perfect
        return np.where(first < float(kind.split()[1]), 1.0, rest)
    if kind.startswith("rr"):
        return np.where(first < float(kind.split()[1]), 1.0, 1 / (2 + np.floor(np.exp(2 * rng.exponential(size=shape)))))
    if kind == "of five":
        return rng.binomial(5, rng.beta(2, 1, shape)) / 5
    return np.asarray(expit(-1.5 + 2 * rng.normal(size=shape)))


BOUNDED = ("ap 0", "ap 0.4", "ap 0.8", "rr 0.3", "rr 0.7", "rr 0.9", "of five", "errors")


def surprises(skill: float, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """-log of the true class's probability: the logit of a probability is normal, its spread grows with skill."""
    return np.asarray(np.logaddexp(0.0, -rng.normal(skill, 0.5 + 0.5 * skill, shape)))


def means(of: Callable[..., Floats], kind: object, size: int, trials: int, seed: int = 0) -> Floats:
    """(trials, size) values of one kind."""
    return of(kind, np.random.default_rng(seed), (trials, size))


def true_mean(of: Callable[..., Floats], kind: object) -> float:
    return float(of(kind, np.random.default_rng(1), (1_000_000,)).mean())


def means_covered(trials: int, sizes: tuple[int, ...]) -> dict[str, dict[tuple[object, int], float]]:
    """By kind of interval."""
    queries = {
        (kind, n): inside(limits.mean_of_bounded(means(bounded, kind, n, trials)), true_mean(bounded, kind)) for kind in BOUNDED for n in sizes
    }
    losses: dict[tuple[object, int], float] = {
        (skill, n): inside(limits.mean_of_skewed(means(surprises, skill, n, trials)), true_mean(surprises, skill))
        for skill in (0.5, 1.0, 2.0)
        for n in sizes
    }
    return {"effective": dict(queries), "hall": losses}


def differences(trials: int, seed: int = 0) -> dict[str, dict[tuple[object, int], float]]:
    """Paired shares (tango), an accuracy less that on shifted sets (newcombe), and their ratio."""
    rng, found = np.random.default_rng(seed), {"tango": {}, "newcombe": {}, "ratio": {}}  # type: dict[str, dict[tuple[object, int], float]]
    for n, (up, down) in product((100, 300, 1_000, 10_000), ((0.05, 0.03), (0.1, 0.05), (0.05, 0.0), (0.3, 0.1))):
        seen = rng.multinomial(n, [up, down, 1 - up - down], trials).astype(np.float64)
        found["tango"][(up, down), n] = inside(limits.paired_shares(seen[:, 0], seen[:, 1], n), up - down)
    for n, (own, shifted) in product((100, 300, 1_000, 10_000), ((0.8, 0.6), (0.9, 0.7), (0.5, 0.45), (0.9, 0.2))):
        first, rest = rng.binomial(n, own, (trials, 1)).astype(np.float64), rng.binomial(n // 2, shifted, (trials, 2)).astype(np.float64)
        sides = (
            first[:, 0] / n,
            limits.wilson(first[:, 0], np.float64(n)),
            (2 * rest / n).mean(1),
            limits.mean_of_shares(rest, np.full(2, n / 2)),
        )
        found["newcombe"][(own, shifted), n] = inside(limits.difference(*sides), own - shifted)
        found["ratio"][(own, shifted), n] = inside(limits.ratio(*sides), shifted / own)
    return found


def detected(n: int, apart: float, seed: int) -> Detected:
    rng = np.random.default_rng(seed)
    return Detected.of(rng.normal(apart, 1, n), rng.normal(0, 1, n // 2))


def classified(n: int, skill: float, seed: int) -> Classified:
    rng = np.random.default_rng(seed)
    y = rng.integers(10, size=n)
    return Classified.from_logits(skill * (rng.normal(size=(n, 10)) + skill * np.eye(10)[y]), y)


def bootstrapped(trials: int, draws: int = 200) -> dict[tuple[str, float], float]:
    """Metric and how far apart its sides are → what the bootstrap covers on 300 examples."""
    asked: dict[str, Callable[[int, float, int], Any]] = dict.fromkeys(("auroc", "aupr_in", "aupr_out", "fpr_at_95_tpr"), detected)
    found = {}
    for (name, make), apart in product((asked | {"macro_f1": classified}).items(), (1.0, 2.0, 3.5)):
        metric = METRICS[name]
        truth = metric.function(make(200_000, apart, 0))
        limits = [bootstrap(make(300, apart, seed), metric, 0, draws) for seed in range(1, trials + 1)]
        found[name, apart] = float(np.mean([one is not None and one[0] <= truth <= one[1] for one in limits]))
    return found


def line(name: str, covered: list[float]) -> str:
    within = np.mean([0.94 <= one <= 0.96 for one in covered])
    low, high = np.quantile(covered, (0.05, 0.95))
    return f"| {name} | {len(covered)} | {100 * np.mean(covered):.1f} % | {100 * low:.1f}-{100 * high:.1f} % | {100 * within:.0f} % |"


def table(trials: int) -> Iterator[str]:
    yield "| kind | points | mean | 90 % of points | within 94-96 % |\n|---|---|---|---|---|"
    exact = shares_exactly()
    yield line("wilson", [one for (n, share), one in exact.items() if n * (1 - share) >= FEW_WRONG])
    yield line(f"wilson, fewer than {FEW_WRONG} wrong", [one for (n, share), one in exact.items() if n * (1 - share) < FEW_WRONG])
    classes = list(class_means(trials))
    yield line("score", [one for _, decisive, one in classes if decisive >= FEW_WRONG])
    yield line(f"score, fewer than {FEW_WRONG} wrong", [one for _, decisive, one in classes if decisive < FEW_WRONG])
    for found in (means_covered(trials, (100, 300, 1_000)), differences(trials)):
        for name, covered in found.items():
            yield line(name, list(covered.values()))
    yield line("bootstrap", list(bootstrapped(trials // 5).values()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2_000, help="simulated test sets per point")
    for text in table(parser.parse_args().trials):
        sys.stdout.write(text + "\n")
