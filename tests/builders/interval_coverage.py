"""Coverage of the 95 % intervals over realistic test sets.

`python -m tests.builders.interval_coverage [--trials 2000]` prints the table of
docs/explanation/statistics.md. A row is one kind of interval; a grid point is one test set (size,
scores, classes). The coverage of shares is exact: a sum over the outcomes of a binomial.
tests/metrics/test_intervals.py runs the same grids with fewer trials.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit
from scipy.stats import binom

from bob.metrics import METRICS
from bob.metrics.intervals import CLOSED_FORMS, bootstrap
from bob.numerics.arrays import Doubles
from bob.outcomes import (
    ClassPredictions,
    CorruptionProbabilities,
    MultilabelPredictions,
    OodScores,
    ShiftResults,
)
from bob.statistics import limits

SIZES = (100, 300, 1_000, 5_000, 50_000)
SHARES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
CLASSES = (2, 3, 10, 30, 100)
FEW_WRONG = 10
"""Expected mistakes (or right answers) below which coverage is reported separately.

The observed share then takes few values, and the coverage of any method jumps with the true share.
"""


class Point(NamedTuple):
    """One test set of a grid."""

    label: str
    decisive: float
    """The expected number of independent mistakes (or right answers) that decide the score."""
    coverage: float


def coverage(computed: limits.Limits, truth: float) -> float:
    """Return the share of the limits that contain the truth."""
    low, high = computed
    return float(((low <= truth + 1e-12) & (truth - 1e-12 <= high)).mean())


def exact_coverage_of_shares() -> dict[tuple[int, float], float]:
    """Return the coverage of Wilson's limits by (n, share), without simulation.

    It is averaged over 41 shares within a tenth of the distance to 0 or 1.
    """
    return {
        (n, share): float(np.mean([_wilson_coverage(n, p) for p in _around(share)]))
        for n, share in product(SIZES, SHARES)
    }


def _around(share: float) -> Doubles:
    reach = 0.1 * min(share, 1 - share)
    return np.linspace(share - reach, share + reach, 41)


def _wilson_coverage(n: int, p: float) -> float:
    successes = np.arange(
        max(0, int(n * p - 8 * np.sqrt(n))),
        min(n, int(n * p + 8 * np.sqrt(n))) + 1,
        dtype=np.float64,
    )
    low, high = limits.wilson(successes, np.float64(n))
    return float(binom.pmf(successes, n, p)[(low <= p) & (p <= high)].sum())


def class_means(trials: int, sizes: tuple[int, ...] = SIZES, seed: int = 0) -> Iterator[Point]:
    """Yield the points of a mean over classes."""
    rng = np.random.default_rng(seed)
    for total, classes, share, steep, spread in product(
        sizes, CLASSES, SHARES, (0.0, 0.8), (0.0, 1.0)
    ):
        if total >= classes:
            n, p = _class_sizes(total, classes, steep), _class_shares(share, classes, spread, rng)
            successes = rng.binomial(n.astype(np.int64), p, (trials, classes)).astype(np.float64)
            variance = (p * (1 - p) / n).sum() / classes**2
            decisive = p.mean() * (1 - p.mean()) / variance * min(p.mean(), 1 - p.mean())
            label = (
                f"{total} images, {classes} classes, mean {share}, "
                f"sizes like rank^-{steep}, spread {spread}"
            )
            covered = coverage(limits.mean_of_shares(successes, n), float(p.mean()))
            yield Point(label, float(decisive), covered)


def _class_sizes(total: int, classes: int, steep: float) -> Doubles:
    weight = np.arange(1, classes + 1) ** -steep
    return np.asarray(np.maximum(1.0, np.round(total * weight / weight.sum())))


def _class_shares(mean: float, classes: int, spread: float, rng: np.random.Generator) -> Doubles:
    """Return (K,) shares with this mean, whose logits are normal with this standard deviation."""
    logits = spread * rng.normal(size=classes)
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(logits + middle).mean() < mean else (low, middle)
    return np.asarray(expit(logits + low))


def bounded(kind: str, rng: np.random.Generator, shape: tuple[int, ...]) -> Doubles:
    """Return values in [0, 1] like those of queries or images.

    "ap": average precisions; "rr": reciprocal ranks, with a share of perfect queries each;
    "of five": shares of the first five; "errors": errors over corruptions.
    """
    first, rest = rng.random(shape), rng.beta(1.0, 1.0, shape)
    if kind.startswith("ap"):
        return np.where(first < float(kind.split()[1]), 1.0, rest)
    if kind.startswith("rr"):
        later_ranks = 2 + np.floor(np.exp(2 * rng.exponential(size=shape)))
        return np.where(first < float(kind.split()[1]), 1.0, 1 / later_ranks)
    if kind == "of five":
        return rng.binomial(5, rng.beta(2, 1, shape)) / 5
    return np.asarray(expit(-1.5 + 2 * rng.normal(size=shape)))


BOUNDED = ("ap 0", "ap 0.4", "ap 0.8", "rr 0.3", "rr 0.7", "rr 0.9", "of five", "errors")


def log_losses(skill: float, rng: np.random.Generator, shape: tuple[int, ...]) -> Doubles:
    """Return -log(probability of the true class).

    The logit of the probability is normal, with a spread that grows with skill.
    """
    return np.asarray(np.logaddexp(0.0, -rng.normal(skill, 0.5 + 0.5 * skill, shape)))


def samples(
    sample: Callable[..., Doubles], kind: object, size: int, trials: int, seed: int = 0
) -> Doubles:
    """Return (trials, size) values of one kind."""
    return sample(kind, np.random.default_rng(seed), (trials, size))


@cache
def true_mean(sample: Callable[..., Doubles], kind: object) -> float:
    """Return the mean of a million values."""
    return float(sample(kind, np.random.default_rng(1), (1_000_000,)).mean())


def coverage_of_means(
    trials: int, sizes: tuple[int, ...]
) -> dict[str, dict[tuple[object, int], float]]:
    """Return the coverage of means by kind of interval, then by (kind of values, size)."""
    effective: dict[tuple[object, int], float] = {}
    for kind, n in product(BOUNDED, sizes):
        values = samples(bounded, kind, n, trials)
        effective[kind, n] = coverage(limits.mean_of_bounded(values), true_mean(bounded, kind))
    hall: dict[tuple[object, int], float] = {}
    for skill, n in product((0.5, 1.0, 2.0), sizes):
        values = samples(log_losses, skill, n, trials)
        hall[skill, n] = coverage(limits.mean_of_skewed(values), true_mean(log_losses, skill))
    return {"effective": effective, "hall": hall}


def coverage_of_differences(
    trials: int, seed: int = 0
) -> dict[str, dict[tuple[object, int], float]]:
    """Return the coverage of differences by kind of interval, then by (true shares, size).

    Paired shares (tango), an accuracy minus that on shifted sets (newcombe), and their ratio.
    """
    rng = np.random.default_rng(seed)
    covered: dict[str, dict[tuple[object, int], float]] = {"tango": {}, "newcombe": {}, "ratio": {}}
    for n, (up, down) in product(
        (100, 300, 1_000, 10_000), ((0.05, 0.03), (0.1, 0.05), (0.05, 0.0), (0.3, 0.1))
    ):
        counts = rng.multinomial(n, [up, down, 1 - up - down], trials).astype(np.float64)
        paired = limits.paired_shares(counts[:, 0], counts[:, 1], n)
        covered["tango"][(up, down), n] = coverage(paired, up - down)
    for n, (inside, shifted) in product(
        (100, 300, 1_000, 10_000), ((0.8, 0.6), (0.9, 0.7), (0.5, 0.45), (0.9, 0.2))
    ):
        first = rng.binomial(n, inside, (trials, 1)).astype(np.float64)
        rest = rng.binomial(n // 2, shifted, (trials, 2)).astype(np.float64)
        sides = (
            first[:, 0] / n,
            limits.wilson(first[:, 0], np.float64(n)),
            (2 * rest / n).mean(1),
            limits.mean_of_shares(rest, np.full(2, n / 2)),
        )
        key = (inside, shifted), n
        covered["newcombe"][key] = coverage(limits.difference(*sides), inside - shifted)
        covered["ratio"][key] = coverage(limits.ratio(*sides), shifted / inside)
    return covered


SCORES: dict[str, Callable[[np.random.Generator, int, int, float], tuple[Doubles, Doubles]]] = {
    "normal": lambda rng, n, m, apart: (rng.normal(apart, 1, n), rng.normal(0, 1, m)),
    "others twice as wide": lambda rng, n, m, apart: (rng.normal(apart, 1, n), rng.normal(0, 2, m)),
    "heavy tails": lambda rng, n, m, apart: (apart + rng.standard_t(3, n), rng.standard_t(3, m)),
    "exponential": lambda rng, n, m, apart: (apart + rng.exponential(1, n), rng.exponential(1, m)),
}
"""Scores of n in-distribution images and of m others."""

SIDES = ((100, 100), (300, 150), (1_000, 1_000), (100, 1_000))

LARGE = 400_000
"""Examples of the large test set on which the true value is computed."""


def ood_scores(scores: str, n: int, m: int, apart: float, seed: int) -> OodScores:
    """Return `SCORES[scores]` of n in-distribution images and of m others, `apart` from them."""
    return OodScores.from_scores(*SCORES[scores](np.random.default_rng(seed), n, m, apart))


def class_predictions(
    n: int, classes: int, steep: float, skill: float, sharp: float, seed: int
) -> ClassPredictions:
    """Return predictions of classes sampled like rank^-steep; calibrated if `sharp` is 1."""
    rng, weight = np.random.default_rng(seed), np.arange(1, classes + 1) ** -steep
    y = rng.choice(classes, n, p=weight / weight.sum())
    return ClassPredictions.from_logits(
        sharp * skill * (rng.normal(size=(n, classes)) + skill * np.eye(classes)[y]), y
    )


def multilabel_predictions(n: int, classes: int, skill: float, seed: int) -> MultilabelPredictions:
    """Return predictions for images with 5 to 30 % of the classes, whose labels are correlated."""
    rng = np.random.default_rng(seed)
    labels = rng.random((n, classes)) < np.linspace(0.05, 0.3, classes) * rng.uniform(
        0.5, 1.5, (n, 1)
    )
    scores = (skill * labels + rng.normal(size=(n, classes))).astype(np.float32)
    return MultilabelPredictions(scores, labels)


def shift_results(n: int, shares: tuple[float, ...], seed: int) -> ShiftResults:
    """Return results on one test set of n images for each share of right predictions."""
    rng = np.random.default_rng(seed)
    return ShiftResults.from_test_sets([rng.random(n) < share for share in shares])


def metric_point(
    name: str,
    make: Callable[..., Any],
    arguments: tuple[Any, ...],
    large: Any,
    trials: int,
    draws: int = 200,
) -> Point:
    """Return the point of a metric on outcomes `make(*arguments, seed)`.

    The truth is the metric's value on the outcome `large`.
    """
    metric = METRICS[name]
    truth, values, covered = metric.function(large), np.empty(trials), np.empty(trials)
    for trial in range(trials):
        outcome = make(*arguments, trial + 1)
        values[trial] = metric.function(outcome)
        interval = (
            bootstrap(outcome, metric, 0, draws)
            if metric.interval == "bootstrap"
            else CLOSED_FORMS[metric.interval](values[trial], metric, outcome)
        )
        covered[trial] = interval is not None and interval[0] <= truth <= interval[1]
    decisive = truth * (1 - truth) / max(values.var(), 1e-12) * min(truth, 1 - truth)
    label = f"{name} of {', '.join(map(str, arguments))}"
    return Point(label, float(decisive), float(covered.mean()))


def ood_detection_points(
    trials: int,
    names: tuple[str, ...],
    sides: tuple[tuple[int, int], ...] = SIDES,
    examples: int = LARGE,
) -> Iterator[Point]:
    """Yield points of metrics of out-of-distribution detection.

    Here and below, `examples` is the size of the test set on which the true value is computed.
    """
    for (n, m), scores, apart in product(sides, SCORES, (1.0, 2.0, 3.0)):
        copies = examples // (n + m)
        large = ood_scores(scores, copies * n, copies * m, apart, 0)
        for name in names:
            yield metric_point(name, ood_scores, (scores, n, m, apart), large, trials)


def macro_f1_points(
    trials: int, sizes: tuple[int, ...] = (100, 300, 1_000), examples: int = LARGE // 2
) -> Iterator[Point]:
    """Yield points of macro F1 over numbers and sizes of classes."""
    for (classes, steep), skill in product(
        ((3, 0.0), (10, 0.0), (10, 1.0), (30, 0.5)), (0.5, 1.0, 2.0, 3.0)
    ):
        large = class_predictions(examples, classes, steep, skill, 1.0, 0)
        for n in sizes:
            arguments = (n, classes, steep, skill, 1.0)
            yield metric_point("macro_f1", class_predictions, arguments, large, trials)


def multilabel_points(
    trials: int,
    names: tuple[str, ...],
    sizes: tuple[int, ...] = (200, 1_000),
    examples: int = LARGE // 4,
) -> Iterator[Point]:
    """Yield points of metrics of multilabel classification."""
    for classes, skill in product((5, 20), (0.5, 1.5, 3.0)):
        large = multilabel_predictions(examples, classes, skill, 0)
        for name, n in product(names, sizes):
            yield metric_point(name, multilabel_predictions, (n, classes, skill), large, trials)


def ece_points(
    trials: int, sizes: tuple[int, ...] = (300, 1_000), examples: int = LARGE // 2
) -> Iterator[Point]:
    """Yield points of the expected calibration error: calibrated, over- and underconfident."""
    calibrated = (1.0, 1.0), (3.0, 1.0)
    for skill, sharp in (*calibrated, (1.0, 1.5), (1.0, 3.0), (2.0, 1.2), (2.0, 0.5), (3.0, 1.5)):
        large = class_predictions(examples, 10, 0.0, skill, sharp, 0)
        for n in sizes:
            arguments = (n, 10, 0.0, skill, sharp)
            yield metric_point("ece", class_predictions, arguments, large, trials)


def corruption_probabilities(
    n: int, conditions: int, skill: float, sharp: float, seed: int
) -> CorruptionProbabilities:
    """Return ten classes of n images, half of whose noise all conditions share."""
    rng = np.random.default_rng(seed)
    y = rng.integers(10, size=n)
    shared = rng.normal(size=(n, 10)) * np.sqrt(0.5) + skill * np.eye(10)[y]
    noise = rng.normal(size=(conditions, n, 10)) * np.sqrt(0.5)
    logits = sharp * skill * (shared + noise)
    return CorruptionProbabilities.side_by_side(
        [CorruptionProbabilities.from_logits(condition, y) for condition in logits]
    )


def corruption_ece_point(n: int, conditions: int, skill: float, sharp: float, trials: int) -> Point:
    """Return the point of the calibration error over conditions of the same images."""
    large = corruption_probabilities(LARGE // 20, conditions, skill, sharp, 0)
    arguments = (n, conditions, skill, sharp)
    return metric_point("corruption_ece", corruption_probabilities, arguments, large, trials)


GROUP_SHARES = (
    (0.9, 0.7, 0.5),
    (0.95, 0.9, 0.8, 0.6),
    (0.9, 0.85),
    (0.8, 0.8, 0.8),
    (0.75,) * 8,
)
"""True accuracies of groups: clearly different ones, similar ones, equal ones."""


def worst_group_points(trials: int) -> Iterator[Point]:
    """Yield points of the lowest of several accuracies."""
    for n, shares in product((100, 300, 1_000), GROUP_SHARES):
        large = shift_results(LARGE, shares, 0)
        yield metric_point("worst_group", shift_results, (n, shares), large, trials)


def bootstrap_points(trials: int) -> Iterator[Point]:
    """Yield points of a metric without a closed form: VOC's average precision."""
    for n, skill in product((200, 500), (0.5, 1.5)):
        large = multilabel_predictions(LARGE // 4, 5, skill, 0)
        yield metric_point(
            "label_ap_11_point", multilabel_predictions, (n, 5, skill), large, trials // 2, 100
        )


def table_row(name: str, covered: list[float]) -> str:
    """Return a row of the Markdown table."""
    within = np.mean([0.94 <= coverage <= 0.96 for coverage in covered])
    low, high = np.quantile(covered, (0.05, 0.95))
    return (
        f"| {name} | {len(covered)} | {100 * np.mean(covered):.1f} % "
        f"| {100 * low:.1f}-{100 * high:.1f} % | {100 * within:.0f} % |"
    )


def table(trials: int) -> Iterator[str]:
    """Yield the lines of the Markdown table."""
    yield "| kind | points | mean | 90 % of points | within 94-96 % |\n|---|---|---|---|---|"
    few = f"fewer than {FEW_WRONG} wrong"
    many_wrong: list[float] = []
    few_wrong: list[float] = []
    for (n, share), covered in exact_coverage_of_shares().items():
        (many_wrong if n * (1 - share) >= FEW_WRONG else few_wrong).append(covered)
    yield table_row("wilson", many_wrong)
    yield table_row(f"wilson, {few}", few_wrong)
    classes = list(class_means(trials))
    yield table_row("score", [point.coverage for point in classes if point.decisive >= FEW_WRONG])
    yield table_row(
        f"score, {few}", [point.coverage for point in classes if point.decisive < FEW_WRONG]
    )
    for by_kind in (
        coverage_of_means(trials, (100, 300, 1_000)),
        coverage_of_differences(trials),
    ):
        for name, by_point in by_kind.items():
            yield table_row(name, list(by_point.values()))
    jackknife = [
        *ood_detection_points(trials // 2, ("auroc", "aupr_in", "aupr_out")),
        *macro_f1_points(trials // 2),
        *multilabel_points(trials // 2, ("label_ap", "roc_auc")),
    ]
    quantile = list(ood_detection_points(trials // 2, ("fpr_at_95_tpr",)))
    resamples = list(bootstrap_points(trials // 5))
    for name, points in (
        ("jackknife", jackknife),
        ("quantile", quantile),
        ("bootstrap", resamples),
        ("lowest", list(worst_group_points(trials // 2))),
    ):
        yield table_row(name, [point.coverage for point in points if point.decisive >= FEW_WRONG])
        if few_decisive := [point.coverage for point in points if point.decisive < FEW_WRONG]:
            yield table_row(f"{name}, {few}", few_decisive)
    yield table_row("folded", [point.coverage for point in ece_points(trials // 2)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2_000, help="simulated test sets per point")
    for text in table(parser.parse_args().trials):
        sys.stdout.write(text + "\n")
