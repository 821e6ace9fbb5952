"""What the 95 % intervals cover over realistic test sets: `python -m tests.builders.interval_coverage [--trials 2000]`. The table of docs/statistics.md.

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

from bob.metrics import METRICS
from bob.metrics.intervals import CLOSED_FORMS, bootstrap
from bob.outcomes import ClassPredictions, OodScores, ShiftResults
from bob.outcomes.multilabel import MultilabelPredictions
from bob.statistics import limits

Floats = NDArray[np.float64]

SIZES = (100, 300, 1_000, 5_000, 50_000)
SHARES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
CLASSES = (2, 3, 10, 30, 100)
FEW_WRONG = 10
"""With fewer expected right or wrong than this, what is seen takes few values, and the coverage of any method jumps with the share."""


def inside(found: limits.Limits, truth: float) -> float:
    """Share of the limits that hold the truth."""
    return float(((found[0] <= truth + 1e-12) & (truth - 1e-12 <= found[1])).mean())


def shares_exactly() -> dict[tuple[int, float], float]:
    """(n, share) → what Wilson's limits cover, averaged over 41 shares within a tenth of the distance to 0 or 1; no simulation."""
    return {
        (n, share): float(np.mean([_wilson_covers(n, p) for p in _around(share)]))
        for n, share in product(SIZES, SHARES)
    }


def _around(share: float) -> Floats:
    reach = 0.1 * min(share, 1 - share)
    return np.linspace(share - reach, share + reach, 41)


def _wilson_covers(n: int, p: float) -> float:
    successes = np.arange(
        max(0, int(n * p - 8 * np.sqrt(n))),
        min(n, int(n * p + 8 * np.sqrt(n))) + 1,
        dtype=np.float64,
    )
    low, high = limits.wilson(successes, np.float64(n))
    return float(binom.pmf(successes, n, p)[(low <= p) & (p <= high)].sum())


def class_means(
    trials: int, sizes: tuple[int, ...] = SIZES, seed: int = 0
) -> Iterator[tuple[str, float, float]]:
    """Of a mean over classes: what the point is, the expected number of independent mistakes that decide it, and what is covered."""
    rng = np.random.default_rng(seed)
    for total, classes, share, steep, spread in product(
        sizes, CLASSES, SHARES, (0.0, 0.8), (0.0, 1.0)
    ):
        if total >= classes:
            n, p = _class_sizes(total, classes, steep), _class_shares(share, classes, spread, rng)
            successes = rng.binomial(n.astype(np.int64), p, (trials, classes)).astype(np.float64)
            variance = (p * (1 - p) / n).sum() / classes**2
            decisive = p.mean() * (1 - p.mean()) / variance * min(p.mean(), 1 - p.mean())
            point = f"{total} images, {classes} classes, mean {share}, sizes like rank^-{steep}, spread {spread}"
            yield (
                point,
                float(decisive),
                inside(limits.mean_of_shares(successes, n), float(p.mean())),
            )


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
        return np.where(
            first < float(kind.split()[1]),
            1.0,
            1 / (2 + np.floor(np.exp(2 * rng.exponential(size=shape)))),
        )
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


def means_covered(
    trials: int, sizes: tuple[int, ...]
) -> dict[str, dict[tuple[object, int], float]]:
    """By kind of interval."""
    queries = {
        (kind, n): inside(
            limits.mean_of_bounded(means(bounded, kind, n, trials)), true_mean(bounded, kind)
        )
        for kind in BOUNDED
        for n in sizes
    }
    losses: dict[tuple[object, int], float] = {
        (skill, n): inside(
            limits.mean_of_skewed(means(surprises, skill, n, trials)), true_mean(surprises, skill)
        )
        for skill in (0.5, 1.0, 2.0)
        for n in sizes
    }
    return {"effective": dict(queries), "hall": losses}


def differences(trials: int, seed: int = 0) -> dict[str, dict[tuple[object, int], float]]:
    """Paired shares (tango), an accuracy less that on shifted sets (newcombe), and their ratio."""
    rng, found = np.random.default_rng(seed), {"tango": {}, "newcombe": {}, "ratio": {}}  # type: dict[str, dict[tuple[object, int], float]]
    for n, (up, down) in product(
        (100, 300, 1_000, 10_000), ((0.05, 0.03), (0.1, 0.05), (0.05, 0.0), (0.3, 0.1))
    ):
        seen = rng.multinomial(n, [up, down, 1 - up - down], trials).astype(np.float64)
        found["tango"][(up, down), n] = inside(
            limits.paired_shares(seen[:, 0], seen[:, 1], n), up - down
        )
    for n, (own, shifted) in product(
        (100, 300, 1_000, 10_000), ((0.8, 0.6), (0.9, 0.7), (0.5, 0.45), (0.9, 0.2))
    ):
        first, rest = (
            rng.binomial(n, own, (trials, 1)).astype(np.float64),
            rng.binomial(n // 2, shifted, (trials, 2)).astype(np.float64),
        )
        sides = (
            first[:, 0] / n,
            limits.wilson(first[:, 0], np.float64(n)),
            (2 * rest / n).mean(1),
            limits.mean_of_shares(rest, np.full(2, n / 2)),
        )
        found["newcombe"][(own, shifted), n] = inside(limits.difference(*sides), own - shifted)
        found["ratio"][(own, shifted), n] = inside(limits.ratio(*sides), shifted / own)
    return found


SCORES: dict[str, Callable[[np.random.Generator, int, int, float], tuple[Floats, Floats]]] = {
    "normal": lambda rng, n, m, apart: (rng.normal(apart, 1, n), rng.normal(0, 1, m)),
    "others twice as wide": lambda rng, n, m, apart: (rng.normal(apart, 1, n), rng.normal(0, 2, m)),
    "heavy tails": lambda rng, n, m, apart: (apart + rng.standard_t(3, n), rng.standard_t(3, m)),
    "exponential": lambda rng, n, m, apart: (apart + rng.exponential(1, n), rng.exponential(1, m)),
}
"""Scores of n in-distribution images and of m others."""
SIDES = ((100, 100), (300, 150), (1_000, 1_000), (100, 1_000))
LARGE = 400_000
"""Examples that stand for all there are: the value on them is taken for the truth."""


def detected(scores: str, n: int, m: int, apart: float, seed: int) -> OodScores:
    return OodScores.from_scores(*SCORES[scores](np.random.default_rng(seed), n, m, apart))


def classified(
    n: int, classes: int, steep: float, skill: float, sharp: float, seed: int
) -> ClassPredictions:
    """Classes drawn like rank^-steep; logits are calibrated where `sharp` is 1."""
    rng, weight = np.random.default_rng(seed), np.arange(1, classes + 1) ** -steep
    y = rng.choice(classes, n, p=weight / weight.sum())
    return ClassPredictions.from_logits(
        sharp * skill * (rng.normal(size=(n, classes)) + skill * np.eye(classes)[y]), y
    )


def marked(n: int, classes: int, skill: float, seed: int) -> MultilabelPredictions:
    """Images with a tenth to a third of the classes each; those of one image come together."""
    rng = np.random.default_rng(seed)
    labels = rng.random((n, classes)) < np.linspace(0.05, 0.3, classes) * rng.uniform(
        0.5, 1.5, (n, 1)
    )
    return MultilabelPredictions((skill * labels + rng.normal(size=(n, classes))).astype(np.float32), labels)


def grouped(n: int, shares: tuple[float, ...], seed: int) -> ShiftResults:
    rng = np.random.default_rng(seed)
    return ShiftResults.from_test_sets([rng.random(n) < share for share in shares])


Point = tuple[str, float, float]
"""What it is, the expected number of independent mistakes that decide it, what is covered."""


def of_metric(
    name: str,
    make: Callable[..., Any],
    of: tuple[Any, ...],
    large: Any,
    trials: int,
    draws: int = 200,
) -> Point:
    """One point: a metric on outcomes `make(*of, seed)`, its truth from a `large` outcome."""
    metric = METRICS[name]
    truth, values, held = metric.function(large), np.empty(trials), np.empty(trials)
    for trial in range(trials):
        outcome = make(*of, trial + 1)
        values[trial] = metric.function(outcome)
        found = (
            bootstrap(outcome, metric, 0, draws)
            if metric.interval == "bootstrap"
            else CLOSED_FORMS[metric.interval](values[trial], metric, outcome)
        )
        held[trial] = found is not None and found[0] <= truth <= found[1]
    decisive = truth * (1 - truth) / max(values.var(), 1e-12) * min(truth, 1 - truth)
    return f"{name} of {', '.join(map(str, of))}", float(decisive), float(held.mean())


def detections(
    trials: int, names: tuple[str, ...], sides: tuple[tuple[int, int], ...] = SIDES
) -> Iterator[Point]:
    for (n, m), scores, apart in product(sides, SCORES, (1.0, 2.0, 3.0)):
        parts = LARGE // (n + m)
        large = detected(scores, parts * n, parts * m, apart, 0)
        for name in names:
            yield of_metric(name, detected, (scores, n, m, apart), large, trials)


def f1_scores(trials: int, sizes: tuple[int, ...] = (100, 300, 1_000)) -> Iterator[Point]:
    for (classes, steep), skill in product(
        ((3, 0.0), (10, 0.0), (10, 1.0), (30, 0.5)), (0.5, 1.0, 2.0, 3.0)
    ):
        large = classified(LARGE // 2, classes, steep, skill, 1.0, 0)
        for n in sizes:
            yield of_metric("macro_f1", classified, (n, classes, steep, skill, 1.0), large, trials)


def marks(
    trials: int, names: tuple[str, ...], sizes: tuple[int, ...] = (200, 1_000)
) -> Iterator[Point]:
    for classes, skill in product((5, 20), (0.5, 1.5, 3.0)):
        large = marked(LARGE // 4, classes, skill, 0)
        for name, n in product(names, sizes):
            yield of_metric(name, marked, (n, classes, skill), large, trials)


def calibration(trials: int, sizes: tuple[int, ...] = (300, 1_000)) -> Iterator[Point]:
    for skill, sharp in ((1.0, 1.5), (1.0, 3.0), (2.0, 1.2), (2.0, 2.0), (2.0, 0.5), (3.0, 1.5)):
        large = classified(LARGE // 2, 10, 0.0, skill, sharp, 0)
        for n in sizes:
            yield of_metric("ece", classified, (n, 10, 0.0, skill, sharp), large, trials)


def resampled_metrics(trials: int) -> Iterator[Point]:
    """Those without a closed form: the worst group, VOC's average precision."""
    for n, shares in product(
        (100, 300, 1_000), ((0.9, 0.7, 0.5), (0.95, 0.9, 0.8, 0.6), (0.9, 0.85))
    ):
        yield of_metric("worst_group", grouped, (n, shares), grouped(LARGE, shares, 0), trials)
    for n, skill in product((200, 500), (0.5, 1.5)):
        yield of_metric(
            "label_ap_11_point",
            marked,
            (n, 5, skill),
            marked(LARGE // 4, 5, skill, 0),
            trials // 2,
            100,
        )


def line(name: str, covered: list[float]) -> str:
    within = np.mean([0.94 <= one <= 0.96 for one in covered])
    low, high = np.quantile(covered, (0.05, 0.95))
    return f"| {name} | {len(covered)} | {100 * np.mean(covered):.1f} % | {100 * low:.1f}-{100 * high:.1f} % | {100 * within:.0f} % |"


def table(trials: int) -> Iterator[str]:
    yield "| kind | points | mean | 90 % of points | within 94-96 % |\n|---|---|---|---|---|"
    exact = shares_exactly()
    yield line("wilson", [one for (n, share), one in exact.items() if n * (1 - share) >= FEW_WRONG])
    yield line(
        f"wilson, fewer than {FEW_WRONG} wrong",
        [one for (n, share), one in exact.items() if n * (1 - share) < FEW_WRONG],
    )
    classes = list(class_means(trials))
    yield line("score", [one for _, decisive, one in classes if decisive >= FEW_WRONG])
    yield line(
        f"score, fewer than {FEW_WRONG} wrong",
        [one for _, decisive, one in classes if decisive < FEW_WRONG],
    )
    for found in (means_covered(trials, (100, 300, 1_000)), differences(trials)):
        for name, covered in found.items():
            yield line(name, list(covered.values()))
    closed = [
        *detections(trials // 2, ("auroc", "aupr_in", "aupr_out")),
        *f1_scores(trials // 2),
        *marks(trials // 2, ("label_ap", "roc_auc")),
        *calibration(trials // 2),
    ]
    quantiles, resamples = (
        list(detections(trials // 2, ("fpr_at_95_tpr",))),
        list(resampled_metrics(trials // 5)),
    )
    for name, points in (("jackknife", closed), ("quantile", quantiles), ("bootstrap", resamples)):
        yield line(name, [one for _, decisive, one in points if decisive >= FEW_WRONG])
        if few := [one for _, decisive, one in points if decisive < FEW_WRONG]:
            yield line(f"{name}, fewer than {FEW_WRONG} wrong", few)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2_000, help="simulated test sets per point")
    for text in table(parser.parse_args().trials):
        sys.stdout.write(text + "\n")
