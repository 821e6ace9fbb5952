"""Coverage of the 95 % intervals of descriptions: `diagnostics`, `shift_distance`, similarities.

The value of a description depends on the number of rows, so that the truth is its mean over samples
of the same size. Rows are those of classes with normal features whose variances fall like a power
of their place, as those of backbones do.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from bob.commands.similarity import similar_pairs
from bob.metrics import METRICS
from bob.metrics.intervals import CLOSED_FORMS
from bob.numerics.arrays import Floats, Ints
from bob.outcomes import FeatureDiagnostics, ShiftDistances
from bob.outcomes.descriptions import Descriptions
from bob.protocols import diagnostics, shift_distance
from bob.records.similarities import SimilarPair
from tests.builders.interval_coverage import Point

CLASSES = 5
PARTS = 5


def rows_of_classes(n: int, width: int, apart: float, seed: int) -> tuple[Floats, Ints]:
    """Return rows (n, width) and classes (n,) of a random sample."""
    rng, places = np.random.default_rng(seed), np.random.default_rng(0)
    spread = np.arange(1, width + 1) ** -0.5
    y = rng.integers(CLASSES, size=n)
    means = apart * places.normal(size=(CLASSES, width)) * spread
    x = means[y] + rng.normal(size=(n, width)) * spread + 1
    return x.astype(np.float32), y


def described(n: int, width: int, apart: float, seed: int) -> Descriptions:
    """Return the diagnostics of a sample."""
    problem = diagnostics.DiagnosticsProblem(*rows_of_classes(n, width, apart, seed))
    settings = diagnostics.DiagnosticsSettings(most_rows=n, parts=PARTS)
    outcome = diagnostics.PROTOCOL.solve(problem, settings, "cpu").parts[0].outcome
    assert isinstance(outcome, Descriptions)
    return outcome


def shifted(n: int, width: int, apart: float, seed: int) -> Descriptions:
    """Return the distances of a sample, whose features are moved, to a sample of train."""
    x, y = (rows_of_classes(n, width, 1.0, 2 * seed + i)[0] for i in (0, 1))
    settings = shift_distance.ShiftDistanceSettings(k=5, most_rows=n, parts=PARTS)
    return shift_distance.distances(
        x.astype(np.float64), y.astype(np.float64) * (1 + apart / 10), settings
    )


SETTINGS = ((150, 32, 1.0), (150, 256, 1.0), (500, 64, 0.3), (500, 64, 1.5))
"""Rows, width, and how far classes or sets are apart."""


def points(trials: int, settings: tuple[tuple[int, int, float], ...] = SETTINGS) -> Iterator[Point]:
    """Yield the coverage of every description, of the samples in which it has an interval."""
    for make, names in (
        (described, FeatureDiagnostics.NAMES),
        (shifted, ShiftDistances.NAMES),
    ):
        for at in settings:
            outcomes = [make(*at, seed) for seed in range(trials)]
            for name in names:
                covered = _covered(name, outcomes)
                if covered:
                    n, width, apart = at
                    label = f"{name} of {n} rows x {width}, apart {apart}"
                    yield Point(label, float(len(covered)), float(np.mean(covered)))


def _covered(name: str, outcomes: Sequence[Descriptions]) -> list[bool]:
    """Return whether the intervals that exist hold the mean over all samples."""
    metric = METRICS[name]
    values = [float(outcome.value[outcome.NAMES.index(name)]) for outcome in outcomes]
    truth = float(np.mean(values))
    limits = [
        CLOSED_FORMS[metric.interval](value, metric, outcome)
        for value, outcome in zip(values, outcomes, strict=True)
    ]
    return [low <= truth <= high for low, high in filter(None, limits)]


LATENT = 20
"""Directions in which both sets of features vary."""
PAIRS = ((150, 32, 0.5), (150, 256, 0.8), (400, 64, 0.3), (400, 64, 0.7))
"""Rows, width, and the share that two sets of features have in common."""


def pair_of_features(n: int, width: int, common: float, seed: int) -> SimilarPair:
    """Return the similarities of two sets of features of one random sample."""
    rng, places = np.random.default_rng(seed), np.random.default_rng(0)
    both, *own = rng.normal(size=(3, n, LATENT)) * np.arange(1, LATENT + 1) ** -0.5
    mixed = [
        (common * both + (1 - common) * of) @ places.normal(size=(LATENT, width)) for of in own
    ]
    noisy = [rows + 0.3 * rng.normal(size=rows.shape) + 1 for rows in mixed]
    (pair,) = similar_pairs(dict(zip("ab", noisy, strict=True)))
    return pair


def similarity_points(
    trials: int, settings: tuple[tuple[int, int, float], ...] = PAIRS
) -> Iterator[Point]:
    """Yield the coverage of every similarity: of the mean over samples of as many rows."""
    for n, width, common in settings:
        pairs = [pair_of_features(n, width, common, seed).model_dump() for seed in range(trials)]
        for name in ("cka", "mutual_knn", "rsa"):
            value, low, high = (
                np.array([pair[name + end] for pair in pairs]) for end in ("", "_low", "_high")
            )
            covered = (low <= value.mean()) & (value.mean() <= high)
            label = f"{name} of {n} rows x {width}, {common} in common"
            yield Point(label, float(trials), float(covered.mean()))
