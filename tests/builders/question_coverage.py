"""Simulated test sets of further questions, for the coverage of their 95 % intervals.

`points` yields the coverage of every interval of `bob.metrics` that the grids of
`tests.builders.interval_coverage` leave out; `benchmarks/interval_coverage.py` prints them. The
truth is the value on one very large test set.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from bob.numerics.arrays import Doubles, Ints
from bob.outcomes import (
    ClassProbabilities,
    ClassSubsets,
    ClusterAssignments,
    ConceptResults,
    FirstPlaces,
    FrequencyResults,
    GroupResults,
    IncrementalResults,
    OodScores,
    RecallSums,
    RegressionResults,
    SelectivePredictions,
)
from tests.builders.interval_coverage import Point, class_predictions, metric_point, ood_scores

LARGE = 40_000
"""Images of the test set on which the true value is computed."""
DRAWS = 200
"""Resamples of a bootstrap, in place of 1,000."""
Make = Callable[..., Any]


def class_scores(n: int, classes: int, skill: float, seed: int) -> tuple[Ints, Doubles]:
    """Return classes (n,) and scores (n, classes): normal, higher by `skill` for the true class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    return y, rng.normal(size=(n, classes)) + skill * np.eye(classes)[y]


def class_subsets(n: int, classes: int, skill: float, seed: int) -> ClassSubsets:
    """Return ranks of the true class, on subsets of 2, 4, 6 … classes."""
    y, scores = class_scores(n, classes, skill, seed)
    rank = (scores > scores[np.arange(n), y][:, None]).sum(1)
    return ClassSubsets(y, rank, classes, np.arange(2, classes + 1, 2))


def half_of_the_classes(n: int, classes: int, skill: float, seed: int) -> ClassSubsets:
    """Return the same on subsets of half of the classes."""
    return class_subsets(n, classes, skill, seed).at(classes // 2)


def incremental_results(n: int, tasks: int, skill: float, seed: int) -> IncrementalResults:
    """Return two classes per task, whose scores never change."""
    y, scores = class_scores(n, 2 * tasks, skill, seed)
    seen = range(2, 2 * tasks + 1, 2)
    right = [(y < end) & (scores[:, :end].argmax(1) == y) for end in seen]
    return IncrementalResults(np.stack(right, axis=1), y // 2)


def probabilities(n: int, skill: float, sharp: float, seed: int) -> ClassProbabilities:
    """Return probabilities of ten classes, calibrated if `sharp` is 1."""
    y, scores = class_scores(n, 10, skill, seed)
    return ClassProbabilities.from_logits(sharp * skill * scores, y)


def selective(n: int, skill: float, coverage: float, seed: int) -> SelectivePredictions:
    """Return the most confident share of ten classes' predictions."""
    of_all = class_predictions(n, 10, 0.0, skill, 1.0, seed)
    assert of_all.confidence is not None
    return SelectivePredictions(of_all.rank == 0, of_all.confidence, coverage)


def clusters(n: int, classes: int, noise: float, seed: int) -> ClusterAssignments:
    """Return one cluster per class, but that a share of the images is in a random one."""
    rng = np.random.default_rng(seed)
    y, other = rng.integers(classes, size=(2, n))
    return ClusterAssignments(y, np.where(rng.random(n) < noise, other, y))


def regression(n: int, r2: float, tails: str, seed: int) -> RegressionResults:
    """Return targets that are predictions and independent errors; their R² is `r2`."""
    rng = np.random.default_rng(seed)
    draw = rng.normal if tails == "normal" else rng.exponential
    predicted, error = np.sqrt(r2) * draw(size=n), np.sqrt(1 - r2) * rng.normal(size=n)
    return RegressionResults(predicted + error, predicted)


def shrunk_regression(n: int, slope: float, seed: int) -> RegressionResults:
    """Return predictions that are too near the mean, with an error of their own."""
    rng = np.random.default_rng(seed)
    target, noise = rng.normal(size=(2, n))
    return RegressionResults(target, slope * target + 0.3 * noise)


def frequencies(n: int, classes: int, fall: float, seed: int) -> FrequencyResults:
    """Return classes with 500 to 5 train images and n test images, the rarer the less accurate."""
    rng = np.random.default_rng(seed)
    images = np.round(500 * 100 ** (-np.arange(classes) / (classes - 1))).astype(np.int64)
    y = np.repeat(np.arange(classes), n)
    right = rng.random(len(y)) < (0.9 - fall * np.arange(classes) / classes)[y]
    return FrequencyResults(right, y, images[y])


def class_frequencies(classes: int, n: int, strength: float, seed: int) -> ConceptResults:
    """Return classes with random numbers of train images, with n test images each."""
    rng = np.random.default_rng(seed)
    log_images = rng.normal(4, 1, classes)
    chance = 1 / (1 + np.exp(-strength * (log_images - 4) - 0.5 * rng.normal(size=classes)))
    return ConceptResults(rng.binomial(n, chance) / n, np.exp(log_images).astype(np.int64))


def places(n: int, median: float, seed: int) -> Doubles:
    """Return (n,) places of the first positive, log-normal around a median."""
    rng = np.random.default_rng(seed)
    return np.asarray(1 + np.floor(np.exp(rng.normal(np.log(median), 1.5, size=n))))


def first_places(n: int, median: float, seed: int) -> FirstPlaces:
    """Return them as an outcome."""
    return FirstPlaces(places(n, median, seed))


def recall_sums(n: int, median: float, seed: int) -> RecallSums:
    """Return five texts per image, both directions with the same places."""
    found = places(6 * n, median, seed)[:, None] <= np.array([1, 5, 10])
    return RecallSums(found.astype(np.float64), np.repeat([0, 1], [5 * n, n]))


def all_equal(n: int, share: float, seed: int) -> OodScores:
    """Return images that cannot be told apart, of which a share is anomalous."""
    inside = np.random.default_rng(seed).random(n) >= share
    return OodScores(np.zeros(n), inside)


def groups(n: int, shares: tuple[float, ...], seed: int) -> GroupResults:
    """Return n images per value of an attribute, of which these shares are right."""
    rng = np.random.default_rng(seed)
    right = np.concatenate([(rng.random(n) < share) * 1.0 for share in shares])
    value = np.repeat(np.arange(len(shares)), n)
    return GroupResults(right, np.zeros(len(value), np.int64), value)


GROUPS = tuple(
    (n, shares) for n in (50, 150) for shares in ((0.9, 0.75, 0.5), (0.75, 0.75, 0.75), (0.75,) * 8)
)
"""Settings of `groups`: clearly different accuracies, and equal ones."""


def easy_and_hard(n: int, classes: int, drop: float, seed: int) -> GroupResults:
    """Return n easy and n hard images per class, which are less often right by about a drop."""
    rng = np.random.default_rng(seed)
    chance = np.linspace(0.95, 0.6, classes)[:, None] - np.array([0.0, drop])
    y, value = (np.repeat(each.ravel(), n) for each in np.indices((classes, 2)))
    return GroupResults((rng.random(len(y)) < chance[y, value]) * 1.0, y, value)


GRIDS: tuple[tuple[tuple[str, ...], Make, tuple[tuple[Any, ...], ...], int], ...] = (
    (
        ("expected_incremental_top1", "expected_forgetting"),
        class_subsets,
        ((100, 10, 1.0), (500, 20, 2.0), (500, 100, 3.0)),
        LARGE,
    ),
    (("subset_top1",), half_of_the_classes, ((100, 10, 1.0), (500, 100, 3.0)), LARGE),
    (
        ("incremental_top1", "forgetting"),
        incremental_results,
        ((200, 5, 1.5), (600, 10, 2.0)),
        LARGE,
    ),
    (
        ("classwise_ece", "brier"),
        probabilities,
        ((300, 1.0, 1.5), (1_000, 2.0, 2.0), (300, 2.0, 0.5), (300, 2.0, 1.0)),
        LARGE,
    ),
    (("risk_at_coverage",), selective, ((300, 1.5, 0.5), (300, 1.5, 0.8)), LARGE),
    (
        ("adjusted_rand", "v_measure"),
        clusters,
        ((150, 3, 0.3), (600, 10, 0.5), (600, 10, 0.9)),
        LARGE,
    ),
    (
        ("r2", "mean_absolute_error", "spearman"),
        regression,
        ((100, 0.3, "normal"), (600, 0.8, "normal"), (600, 0.5, "exponential")),
        LARGE,
    ),
    (("r2",), shrunk_regression, ((600, 0.5), (600, 0.9)), LARGE),
    (
        ("many_shot_top1", "medium_shot_top1", "few_shot_class_top1", "head_tail_gap"),
        frequencies,
        ((10, 20, 0.4), (30, 60, 0.2)),
        1_000,
    ),
    (("frequency_correlation",), class_frequencies, ((20, 30, 0.5), (100, 30, 0.5)), LARGE),
    (("median_rank",), first_places, ((100, 20.0), (200, 3.0)), LARGE),
    (("rsum",), recall_sums, ((100, 10.0), (200, 3.0)), LARGE),
    (("group_ratio",), groups, GROUPS, LARGE),
    (("paired_drop",), easy_and_hard, ((30, 3, 0.2), (30, 45, 0.2), (100, 10, 0.0)), 5_000),
    (("f1_all_anomalous",), all_equal, ((300, 0.3), (100, 0.7)), LARGE),
)
"""(metrics, test sets, their arguments but the seed, size of the large one in place of the first
argument)."""


def points(
    trials: int, grids: tuple[Any, ...] = GRIDS, draws: int = DRAWS, *, further: bool = True
) -> Iterator[Point]:
    """Yield the coverage of each metric at each setting; `further` are F1 and calibration."""
    for names, make, settings, size in grids:
        for arguments in settings:
            large = make(size, *arguments[1:], 0)
            for name in names:
                yield metric_point(name, make, arguments, large, trials, draws)
    if further:
        yield from best_f1_points(trials, draws)
        yield from confidence_points(trials)


def best_f1_points(trials: int, draws: int) -> Iterator[Point]:
    """Yield the coverage of the best F1 of any threshold."""
    for (n, m), apart in product(((300, 150), (100, 300)), (1.0, 2.0)):
        copies = LARGE // (n + m)
        large = ood_scores("normal", n * copies, m * copies, apart, 0)
        yield metric_point("f1_max", ood_scores, ("normal", n, m, apart), large, trials, draws)


def confidence_points(trials: int) -> Iterator[Point]:
    """Yield the coverage of calibration errors of equal bins and of the risk-coverage curve."""
    for n, skill, sharp in ((300, 1.0, 1.5), (1_000, 2.0, 2.0), (300, 2.0, 1.0)):
        large = class_predictions(LARGE, 10, 0.0, skill, sharp, 0)
        for name in ("equal_mass_ece", "aurc"):
            arguments = (n, 10, 0.0, skill, sharp)
            yield metric_point(name, class_predictions, arguments, large, trials)
