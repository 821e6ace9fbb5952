"""Coverage of the 95 % intervals by simulation, on the grids of `tests.builders`."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest
from scipy.stats import norm

from bob.metrics.intervals import interval
from bob.outcomes import OodScores
from tests.builders import description_coverage as descriptions
from tests.builders import interval_coverage as grids
from tests.builders import question_coverage as questions
from tests.builders.outcomes import few_shot_curves


def assert_coverage(
    covered: Iterable[float], mean: tuple[float, float], point: tuple[float, float]
) -> None:
    """Check the mean coverage and the range of 90 % of the points.

    The points also scatter by the number of trials.
    """
    values = list(covered)
    assert mean[0] <= np.mean(values) <= mean[1]
    low, high = np.quantile(values, (0.05, 0.95))
    assert point[0] <= low and high <= point[1]


def decisive(points: Iterable[grids.Point]) -> list[float]:
    """Return the coverage of the points with enough expected mistakes."""
    return [point.coverage for point in points if point.decisive >= grids.FEW_WRONG]


def test_wilson_covers_95_percent() -> None:
    """Exact, without trials: every point with ten expected mistakes or more."""
    exact = grids.exact_coverage_of_shares()
    assert all(
        0.94 <= covered <= 0.96
        for (n, share), covered in exact.items()
        if n * (1 - share) >= grids.FEW_WRONG
    )
    assert 0.945 <= np.mean(list(exact.values())) <= 0.955


def test_the_score_interval_covers_means_over_classes() -> None:
    """250 trials: standard error of a point 1.4 percentage points."""
    points = list(grids.class_means(250, sizes=(100, 1_000)))
    assert_coverage(decisive(points), (0.945, 0.955), (0.92, 0.978))
    assert_coverage([point.coverage for point in points], (0.945, 0.96), (0.915, 0.985))


def test_the_intervals_of_means_cover() -> None:
    """1000 trials: standard error of a point 0.7 percentage points."""
    covered = grids.coverage_of_means(1_000, (100, 400))
    assert_coverage(covered["effective"].values(), (0.943, 0.957), (0.93, 0.968))
    assert_coverage(covered["hall"].values(), (0.94, 0.96), (0.925, 0.97))


@pytest.mark.parametrize("kind", ["tango", "newcombe", "ratio"])
def test_the_intervals_of_differences_and_ratios_cover(kind: str) -> None:
    covered = grids.coverage_of_differences(4_000)[kind]
    assert_coverage(covered.values(), (0.945, 0.955), (0.935, 0.965))


LARGE = 40_000
"""Examples on which true values are computed: their error is a tenth of that of 400 examples."""

JACKKNIFE: dict[str, Callable[[], Iterator[grids.Point]]] = {
    "detection": lambda: grids.ood_detection_points(
        150, ("auroc", "aupr_in", "aupr_out"), ((300, 150), (100, 1_000)), LARGE
    ),
    "macro_f1": lambda: grids.macro_f1_points(150, (300,), LARGE),
    "multilabel": lambda: grids.multilabel_points(150, ("label_ap", "roc_auc"), (200,), LARGE // 2),
}


@pytest.mark.parametrize("kind", JACKKNIFE)
def test_the_jackknife_covers(kind: str) -> None:
    """150 trials or more: standard error of a point 1.8 percentage points at most, of a mean over
    ten 0.6.
    """
    assert_coverage(decisive(JACKKNIFE[kind]()), (0.935, 0.965), (0.89, 1.0))


def test_the_interval_of_the_calibration_error_covers() -> None:
    """Calibrated, over- and underconfident predictions; 200 trials: a standard error of 1.5
    percentage points of a point. The interval of a calibrated probe covers more, since the bias
    that is allowed for is then the largest.
    """
    points = grids.ece_points(200, examples=10 * LARGE)
    assert_coverage([point.coverage for point in points], (0.945, 1.0), (0.91, 1.0))


def test_the_interval_of_a_rate_at_a_quantile_covers() -> None:
    sides = (300, 150), (100, 1_000)
    points = grids.ood_detection_points(200, ("fpr_at_95_tpr",), sides, 4 * LARGE)
    assert_coverage([point.coverage for point in points], (0.94, 0.975), (0.91, 1.0))


@pytest.mark.parametrize("shares", grids.GROUP_SHARES)
def test_the_interval_of_the_worst_group_covers(shares: tuple[float, ...]) -> None:
    """400 trials: standard error 1.1 percentage points. Equal groups are covered more often."""
    large = grids.shift_results(200_000, shares, 0)
    point = grids.metric_point("worst_group", grids.shift_results, (200, shares), large, 400)
    assert point.coverage >= 0.925


def test_the_bootstrap_of_the_best_f1_nearly_covers() -> None:
    """A maximum over thresholds is biased upwards, and the bootstrap removes a part of that. 100
    trials: standard error of a point 2.5 percentage points.
    """
    sides, scores = ((300, 150), (100, 100)), ("normal", "heavy tails")
    points = [
        grids.metric_point(
            "f1_max",
            grids.ood_scores,
            (kind, n, m, 1.5),
            grids.ood_scores(kind, 100 * n, 100 * m, 1.5, 0),
            100,
            100,
        )
        for kind in scores
        for n, m in sides
    ]
    assert_coverage([point.coverage for point in points], (0.89, 0.98), (0.86, 1.0))


def test_auroc_near_1_is_covered() -> None:
    """Normal scores, 3.5 apart: AUROC is Phi(3.5 / sqrt 2) = 0.9933.

    1000 trials: standard error 0.7 percentage points.
    """
    truth, covered = norm.cdf(3.5 / 2**0.5), []
    for seed in range(1_000):
        rng = np.random.default_rng(seed)
        outcome = OodScores.from_scores(rng.normal(3.5, 1, 200), rng.normal(0, 1, 100))
        _, low, high, _ = interval("auroc", outcome, seed=0)
        covered.append(low is not None and high is not None and low <= truth <= high)
    assert 0.93 <= np.mean(covered) <= 0.97


def test_students_interval_covers_few_shot_accuracy() -> None:
    limits = [
        interval("few_shot_top1", few_shot_curves(10, seed), seed=0)[1:3] for seed in range(3000)
    ]
    covered = [low is not None and high is not None and low <= 0.7 <= high for low, high in limits]
    assert 0.94 <= np.mean(covered) <= 0.96


CHEAP = {"class_subsets", "half_of_the_classes", "incremental_results", "first_places"}
CHEAP |= {"easy_and_hard", "groups", "shrunk_regression", "all_equal"}


def test_intervals_of_further_questions_cover() -> None:
    """Those without resamples of images; 100 trials, a standard error of 2.2 percentage points."""
    grids_of = tuple(grid for grid in questions.GRIDS if grid[1].__name__ in CHEAP)
    points = list(questions.points(100, grids_of, 100, further=False))
    assert len(grids_of) == len(CHEAP)
    assert_coverage([point.coverage for point in points], (0.93, 0.99), (0.89, 1.0))


def test_a_rank_correlation_over_classes_is_covered() -> None:
    """20 classes, 40 trials: a standard error of 3.5 percentage points."""
    large = questions.class_frequencies(20_000, 30, 0.5, 0)
    arguments = (20, 30, 0.5)
    make = questions.class_frequencies
    point = grids.metric_point("frequency_correlation", make, arguments, large, 40, 40)
    assert point.coverage >= 0.85


def test_the_intervals_of_descriptions_cover() -> None:
    """20 samples a line, 15 lines: standard error of their mean below 2 points."""
    covered = [point.coverage for point in descriptions.points(20, ((60, 24, 0.5),))]
    assert len(covered) == 15
    assert np.mean(covered) >= 0.92 and min(covered) >= 0.8


def test_the_intervals_of_similarities_cover() -> None:
    """20 samples a line, 3 lines: standard error of their mean below 3 points."""
    covered = [point.coverage for point in descriptions.similarity_points(20, ((60, 24, 0.6),))]
    assert len(covered) == 3
    assert np.mean(covered) >= 0.85
