"""Features on which float32 alone orders rows wrongly, and slow searches to compare with."""

from itertools import groupby, pairwise

import numpy as np

from bob.numerics.arrays import Bools, Doubles, Floats, Ints
from bob.numerics.search.ranks import Ranks, TieGroups

Places = list[tuple[int, int, int]]
"""Of one query: for each positive its rank, 1 and 0; for each group of tied items its first rank,
its positives and its others."""

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


def slow_scores(gallery: Floats, queries: Floats, metric: str) -> tuple[Doubles, Doubles]:
    """Return the cosines, or minus the squared distances, and by how much scores that are tied may
    differ, both (Q, N) in float64, query by query.
    """
    x, q = gallery.astype(np.float64), queries.astype(np.float64)
    if metric == "euclidean":
        centre = np.median(x, axis=0)
        squares = [((rows - centre) ** 2).sum(1) for rows in (q, x)]
        scores = np.array([-((x - row) ** 2).sum(1) for row in q])
        return scores, 1e-13 * (squares[0][:, None] + squares[1])
    lengths = (np.linalg.norm(rows, axis=1) for rows in (x, q))
    x, q = (
        rows / np.where(length > 0, length, 1)[:, None]
        for rows, length in zip((x, q), lengths, strict=True)
    )
    cosines = np.array([(x * row).sum(1) for row in q])
    return cosines, np.full(cosines.shape, 1e-13)


def tie_groups(scores: Doubles, widths: Doubles) -> list[list[int]]:
    """Return the items of one query, best first, those that are tied together in one list."""
    order = np.argsort(-scores, kind="stable").tolist()
    groups = [order[:1]]
    for previous, item in pairwise(order):
        if scores[previous] - scores[item] <= max(widths[previous], widths[item]):
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def places(groups: list[list[int]], positive: Bools, excluded: Bools) -> Places:
    """Return the places of the positives (G,) among the items that are not excluded (G,)."""
    answer: Places = []
    start = 0
    for group in groups:
        ranked = [item for item in group if not excluded[item]]
        hits = sum(bool(positive[item]) for item in ranked)
        if hits in (0, len(ranked)):
            answer += [(start + i, 1, 0) for i in range(hits)]
        else:
            answer.append((start, hits, len(ranked) - hits))
        start += len(ranked)
    return answer


def slow_places(scores: Doubles, widths: Doubles, positive: Bools, excluded: Bools) -> list[Places]:
    """Return the places of the positives of Q queries; all arguments are (Q, G)."""
    rows = zip(scores, widths, positive, excluded, strict=True)
    return [places(tie_groups(*row[:2]), *row[2:]) for row in rows]


def places_of(row: Ints, rank: Ints, ties: TieGroups, queries: int) -> list[Places]:
    """Return the same of ranks as `bob.numerics.search.ranks.Ranks` holds them."""
    group_of = {
        at + i: (int(rank[at]), positives, others)
        for at, positives, others in zip(
            ties.at.tolist(), ties.positives.tolist(), ties.others.tolist(), strict=True
        )
        for i in range(positives)
    }
    entries = [group_of.get(i, (place, 1, 0)) for i, place in enumerate(rank.tolist())]
    answer: list[Places] = [[] for _ in range(queries)]
    for query, part in groupby(range(len(row)), key=lambda i: int(row[i])):
        for entry, _ in groupby(entries[i] for i in part):
            answer[query].append(entry)
    return answer


def places_of_ranks(ranks: Ranks | None, queries: int) -> list[Places]:
    assert ranks is not None
    return places_of(ranks.row, ranks.rank, ranks.ties, queries)
