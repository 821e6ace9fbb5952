"""Caveats of a result: what a reader of its scores must know, as sentences.

The notes of terminal, Markdown and page name the cells that have any, in these words.
"""

from collections.abc import Sequence

import numpy as np

from bob.datasets.assemble import quoted
from bob.errors import UndefinedError
from bob.numerics.arrays import Bools, Floats
from bob.numerics.search.chunks import slices

MOST = 0.5
"""Ties and queries without positives are ordinary below this share, and decide the score above
it."""
CELLS = 2**22
"""Features that are checked at once."""

Caveats = tuple[str, ...]


def features_checked(**features: Floats) -> Caveats:
    """Return a caveat for each set of features (N, D) whose rows are all equal.

    UndefinedError where a feature is not a finite number: no score can be right.
    """
    for name, rows in features.items():
        if bad := _not_finite(rows):
            raise UndefinedError(
                f"the {name} features hold NaN or infinity in {bad:,} of {len(rows):,} rows"
            )
    return tuple(
        f"all {len(rows):,} {name} features are equal: they say nothing about the images"
        for name, rows in features.items()
        if len(rows) > 1 and _all_equal(rows)
    )


def _not_finite(rows: Floats) -> int:
    """Return the number of rows that hold NaN or infinity."""
    parts = slices(len(rows), CELLS // max(1, rows.shape[1]))
    return sum(int((~np.isfinite(rows[part]).all(1)).sum()) for part in parts)


def _all_equal(rows: Floats) -> bool:
    parts = slices(len(rows), CELLS // max(1, rows.shape[1]))
    return bool((rows[1] == rows[0]).all()) and all((rows[p] == rows[0]).all() for p in parts)


def not_converged(gap: float, tolerance: float, of: str) -> Caveats:
    """Return a caveat where the solver of a probe stopped short of its tolerance."""
    if gap <= tolerance:
        return ()
    return (
        f"{of} did not converge: its objective is within {gap:.1e} of the optimum, where "
        f"{tolerance:.0e} is required",
    )


def at_edge(name: str, value: float, grid: tuple[float, float], widened: bool) -> Caveats:
    """Return a caveat where the best value of a grid from `grid[0]` to `grid[1]` is at its edge."""
    if value not in grid:
        return ()
    side = "smallest" if value == grid[0] else "largest"
    after = ", after it was widened" if widened else ""
    return (
        f"the best {name}, {value:.2g}, is the {side} of its grid{after}; others may be better",
    )


def mostly_tied(share: float, sentence: str) -> Caveats:
    """Return a caveat that begins with a share, where this is the larger part."""
    return (f"{100 * share:.0f} % {sentence}",) if share > MOST else ()


def few_queries(queries: int, without_positives: int) -> Caveats:
    """Return a caveat where most queries have no positive, so that scores rest on the others."""
    if without_positives <= MOST * queries:
        return ()
    return (
        f"scores are those of {queries - without_positives:,} of {queries:,} queries; the others "
        "have no positive in the gallery",
    )


def absent_classes(present: Bools, classes: Sequence[str], of: str) -> Caveats:
    """Return a caveat where some of the classes are not `present` (C,) in train.

    `of` is what they lack: `train pixel`.
    """
    if not (
        absent := [name for name, is_there in zip(classes, present, strict=True) if not is_there]
    ):
        return ()
    return (f"{len(absent)} of {len(classes)} classes have no {of}: {quoted(absent)}",)
