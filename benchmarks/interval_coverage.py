"""How often the 95 % intervals of further questions cover the true value: simulated test sets.

    python benchmarks/interval_coverage.py [--quick] [--trials N]

N simulated test sets (default: 500; 40 with --quick) per line, each of which has an interval; the
truth is the value on one very large test set. Lines are the calibration error under corruptions
(conditions share half of an image's noise), the metrics over groups, clearly different and equal
ones, the accuracy against frequency over classes, every further metric of class-incremental
learning, calibration, clusters, regression, long tails, image-text retrieval and anomalies, the
drop from easy to hard images, Kendall's tau of a description with the probe over backbones, what
two backbones get right together, and the descriptions of features and of shifts, whose truth is
their mean over samples of as many rows. The last line is JSON. `--only WORD` runs the lines of
`descriptions` or of `others`.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bob.leaderboards.description_agreement import tau_limits
from bob.statistics.complementarity import Complementarity
from tests.builders import description_coverage as descriptions
from tests.builders import interval_coverage as grids
from tests.builders import question_coverage as questions
from tests.metrics.test_concepts import sample as concepts
from tests.metrics.test_groups import random_groups

LARGE = 50_000
PAIRS = (
    (0.6, 0.15, 0.1, 0.15),
    (0.7, 0.1, 0.1, 0.1),
    (0.8, 0.1, 0.02, 0.08),
    (0.25, 0.25, 0.25, 0.25),
)
"""Shares of test images that both backbones, only the first, only the second and neither has right:
one clearly better, equal ones, one nearly always better, and independent ones."""


def coverages(trials: int) -> Iterator[tuple[str, float]]:
    """Yield names of metrics and settings, and the share of intervals that cover the truth."""
    for images, conditions, sharp in ((64, 75, 2.0), (300, 10, 2.0), (300, 10, 0.5)):
        point = grids.corruption_ece_point(images, conditions, 2.0, sharp, trials)
        yield point.label, point.coverage
    for images, shares in questions.GROUPS:
        large = random_groups(LARGE, shares, 0)
        for name in ("worst_group_top1", "group_gap", "adjusted_top1", "recall_gap"):
            point = grids.metric_point(name, random_groups, (images, shares), large, trials)
            yield point.label, point.coverage
    for classes, strength in ((40, 0.3), (100, 0.0), (100, 0.3)):
        large_concepts = concepts(LARGE, 30, strength, 0)
        for name in ("concept_correlation", "concept_gap"):
            arguments = (classes, 30, strength)
            point = grids.metric_point(name, concepts, arguments, large_concepts, trials, 100)
            yield point.label, point.coverage
    for point in questions.points(trials):
        yield point.label, point.coverage
    for backbones, correlation in ((6, 0.0), (8, 0.6), (20, 0.6)):
        covered = tau_coverage(backbones, correlation, trials)
        yield f"tau of {backbones} backbones, correlation {correlation}", covered
    for images in (100, 650):
        for of_pair in PAIRS:
            yield from pair_coverages(images, of_pair, trials)


def description_coverages(trials: int) -> Iterator[tuple[str, float]]:
    """Yield the coverage of each description of features and of shifts, and of similarities."""
    for point in (*descriptions.points(trials), *descriptions.similarity_points(trials)):
        yield point.label, point.coverage


def pair_coverages(
    images: int, shares: Sequence[float], trials: int
) -> Iterator[tuple[str, float]]:
    """Yield the coverage of each measure of two backbones; no interval counts as none."""
    truth = Complementarity(*(round(LARGE * share) for share in shares))
    drawn = np.random.default_rng(0).multinomial(images, shares, trials)
    samples = [Complementarity(*counts.tolist()) for counts in drawn]
    for measure in ("one_right", "oracle_gain", "rescued_by_b", "kappa"):
        exact = getattr(truth, measure)
        limits = [getattr(sample, f"{measure}_limits") for sample in samples]
        covered = [each is not None and each[0] <= exact <= each[1] for each in limits]
        yield f"{measure}, {images} images, shares {shares}", float(np.mean(covered))


def tau_coverage(backbones: int, correlation: float, trials: int) -> float:
    """Return the share of intervals that cover 2 asin(correlation) / pi, of normal pairs.

    An order without an interval counts as covered by [-1, 1].
    """
    rng, truth, covered = np.random.default_rng(0), 2 * np.arcsin(correlation) / np.pi, 0
    for _ in range(trials):
        x = rng.normal(size=backbones)
        y = correlation * x + np.sqrt(1 - correlation**2) * rng.normal(size=backbones)
        low, high = tau_limits(float(kendalltau(x, y).statistic), backbones) or (-1.0, 1.0)
        covered += low <= truth <= high
    return covered / trials


LINES = {"others": coverages, "descriptions": description_coverages}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="40 test sets per line")
    parser.add_argument("--trials", type=int, default=500, help="simulated test sets per line")
    parser.add_argument("--only", choices=LINES, help="lines to run (default: all)")
    arguments = parser.parse_args()
    trials, results = 40 if arguments.quick else arguments.trials, {}
    lines = [of for name, of in LINES.items() if arguments.only in (None, name)]
    for label, covered in chain.from_iterable(of(trials) for of in lines):
        print(f"{label}: {100 * covered:.1f} %", flush=True)
        results[label] = round(covered, 4)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
