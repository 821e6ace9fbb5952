"""Gaussian classes for few-shot heads, and scikit-learn's heads as a second opinion."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler, normalize

from bob.numerics.arrays import Doubles, Floats, Ints
from bob.numerics.sampling import pools

HEADS = ("logistic", "ridge", "centroid")
EPISODE_PEERS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000),
    "ridge": lambda: RidgeClassifier(alpha=1.0),
    "centroid": NearestCentroid,
}
"""scikit-learn's classifiers of an episode, on rows of length 1."""


def gaussian_classes(
    classes: int, per_class: int, queries: int, width: int, noise: float, seed: int
) -> tuple[Floats, Ints, Floats, Ints]:
    """Return train rows, class by class, and their labels; then query rows and random labels."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((classes, width))
    y, query_y = np.repeat(np.arange(classes), per_class), rng.integers(classes, size=queries)
    x, query_x = (
        (means[labels] + noise * rng.standard_normal((len(labels), width)) + 3).astype(np.float32)
        for labels in (y, query_y)
    )
    return x, y, query_x, query_y


def shuffled_classes(
    classes: int, sizes: tuple[int, int], width: int, noise: float, seed: int
) -> tuple[Floats, tuple[Ints, ...], Floats, tuple[Ints, ...]]:
    """Return train rows and their pools by class, then test rows and theirs.

    `sizes` are the images per class of train and of test.
    """
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((classes, width))
    sides: list[tuple[Floats, tuple[Ints, ...]]] = []
    for per_class in sizes:
        y = rng.permutation(np.repeat(np.arange(classes), per_class))
        x = (means[y] + noise * rng.standard_normal((len(y), width)) + 2).astype(np.float32)
        sides.append((x, pools(y, [f"{seed} {per_class} {i}" for i in range(len(y))], classes)))
    (x, train), (test_x, test) = sides
    return x, train, test_x, test


def sklearn_scores(
    head: str, x: Doubles, y: Ints, classes: int, l2: float, test_x: Doubles
) -> Doubles:
    """Return scikit-learn's scores (Q, C) at the same objective, centred over classes."""
    if head == "centroid":
        # it computes a spread within classes, which one shot does not have, and does not use it
        with np.errstate(invalid="ignore"):
            centroids = NearestCentroid().fit(normalize(x), y).centroids_
        scores = -np.square(normalize(test_x)[:, None] - centroids).sum(2) / 2
    elif head == "ridge":
        scaler = StandardScaler().fit(x)
        targets = 2.0 * np.eye(classes)[y] - 1
        fit = Ridge(alpha=l2 * x.shape[1], solver="svd").fit(scaler.transform(x), targets)
        scores = fit.predict(scaler.transform(test_x))
    else:
        c = (2 if classes == 2 else 1) / (l2 * np.square(x - x.mean(0)).sum(1).mean())
        fit = LogisticRegression(C=c, tol=1e-9, max_iter=10_000).fit(x, y)
        scores = fit.decision_function(test_x)
        scores = scores if classes > 2 else np.stack([-scores, scores], 1) / 2
    centred: Doubles = scores - scores.mean(1, keepdims=True)
    return centred
