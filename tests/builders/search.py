"""Features on which float32 alone orders rows wrongly, and slow searches to compare with."""

from collections.abc import Sequence

import numpy as np

from bob.numerics.arrays import Doubles, Floats, Ints

HARD_FEATURES = (
    "plain",
    "collapsed",
    "far from zero",
    "lattice",
    "forty rows, ten times each",
    "constant",
    "zero rows",
    "all zero",
    "float16's largest",
    "float16's smallest",
    "last bits",
)


def hard_features(kind: str) -> Floats:
    """Return (400, 24) rows of one of the kinds in `HARD_FEATURES`."""
    rng = np.random.default_rng(0)
    x: Doubles = rng.normal(size=(400, 24))
    if kind == "collapsed":
        x = rng.normal(size=24) + 1e-4 * x
    elif kind == "far from zero":
        x = x + 100
    elif kind == "lattice":
        x = rng.integers(-1, 2, x.shape).astype(np.float64)
    elif kind == "forty rows, ten times each":
        x = np.tile(x[:40], (10, 1))
    elif kind == "constant":
        x = np.tile(x[:1], (400, 1))
    elif kind == "zero rows":
        x[::3] = 0
    elif kind == "all zero":
        x = 0 * x
    elif kind == "float16's largest":
        x = 65504 * x / abs(x).max()
    elif kind == "float16's smallest":
        x = 6e-8 * rng.integers(-9, 10, x.shape).astype(np.float64)
    elif kind == "last bits":
        first = x[:1].astype(np.float32)
        upwards = np.where(rng.random(x.shape) < 0.2, 9, first).astype(np.float32)
        return np.nextafter(first, upwards).astype(np.float32)
    return x.astype(np.float32)


def near_ties(seed: int, n: int, width: int, shift: float = 0.0) -> Floats:
    """Return (n, width) rows of which many differ by a few units in the last place of float32, and
    some by nothing, around 8 points whose mean is about `shift`.
    """
    rng = np.random.default_rng(seed)
    few = rng.normal(size=(8, width)) + shift
    rows = few[rng.integers(8, size=n)] * (1 + 1e-7 * rng.integers(-3, 4, size=(n, width)))
    rows[: n // 4] = rng.normal(size=(n // 4, width))
    return rows.astype(np.float32)


def slow_similarities(gallery: Floats, queries: Floats, metric: str) -> Doubles:
    """Return (Q, N) in float64: cosines to 9 decimals, or minus the distances, query by query."""
    x, q = gallery.astype(np.float64), queries.astype(np.float64)
    if metric == "euclidean":
        return np.array([-np.sqrt(((x - row) ** 2).sum(1)) for row in q])
    lengths = (np.linalg.norm(rows, axis=1) for rows in (x, q))
    x, q = (
        rows / np.where(length > 0, length, 1)[:, None]
        for rows, length in zip((x, q), lengths, strict=True)
    )
    return np.array([(x * row).sum(1) for row in q]).round(9)


def ranks_in_order(
    orders: Sequence[Ints], positive: np.ndarray, excluded: np.ndarray
) -> list[tuple[list[int], int]]:
    """Return for each query the ranks of its positives in an order of the gallery, excluded items
    not counted, and the number of its positives.
    """
    answers = []
    for order, hit, gone in zip(orders, positive, excluded, strict=True):
        ranking = [item for item in order if not gone[item]]
        answers.append(([rank for rank, item in enumerate(ranking) if hit[item]], int(hit.sum())))
    return answers
