"""Paired differences of all pairs of backbones, for boards that are small enough to hold them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bob.leaderboards.cells import BoardCell, BoardColumn
from bob.leaderboards.per_example import ExampleValues, paired_test
from bob.numerics.arrays import Doubles, Ints
from bob.statistics.paired_tests import pairwise_limits

MOST_PAIRS = 10_000
"""Most pairs over all columns: of more, the page would grow by more than 0.3 MB."""


@dataclass(frozen=True, eq=False)
class PairGaps:
    """Differences in one column of R backbones with results on the same N examples.

    Pairs (i, j) are those of i < j, row by row: P = R (R - 1) / 2.
    """

    names: tuple[str, ...]
    """(R,)"""
    n: int
    low: Doubles
    high: Doubles
    """(P,) 95 % limits of i minus j; NaN without an interval."""
    right: Ints | None
    """(R,) examples that each has right; None where the metric is not right or wrong."""
    both: Ints | None
    """(P,) examples that both have right; None as for `right`."""


def pair_gaps(
    cells: Mapping[BoardColumn, Iterable[BoardCell]], examples: ExampleValues
) -> dict[BoardColumn, PairGaps]:
    """Return the differences by column; empty if there are more than MOST_PAIRS.

    In each column, backbones without per-example results are left out, as are those on another
    number of examples than most.
    """
    measured = {
        column: [cell for cell in of_column if cell.value is not None and not cell.record.external]
        for column, of_column in cells.items()
    }
    sizes = [len(of_column) for of_column in measured.values()]
    if sum(size * (size - 1) // 2 for size in sizes) > MOST_PAIRS:
        return {}
    gaps = {column: _gaps(of_column, examples) for column, of_column in measured.items()}
    return {column: gap for column, gap in gaps.items() if gap is not None}


def _gaps(cells: Iterable[BoardCell], examples: ExampleValues) -> PairGaps | None:
    """Return the differences in one column; None for fewer than two comparable backbones."""
    read = [(cell, values) for cell in cells if (values := examples(cell.record)) is not None]
    lengths = [len(values) for _, values in read]
    n = max(lengths, key=lambda length: (lengths.count(length), length), default=0)
    kept = [(cell, values) for cell, values in read if len(values) == n]
    if n == 0 or len(kept) < 2:
        return None
    names = tuple(cell.record.backbone_name for cell, _ in kept)
    values = np.stack([row for _, row in kept])
    low, high = pairwise_limits(values, paired_test(values, kept[0][0].metric))
    if not np.isin(values, (0.0, 1.0)).all():
        return PairGaps(names, n, low, high, None, None)
    both = (values @ values.T)[np.triu_indices(len(values), 1)]
    return PairGaps(names, n, low, high, values.sum(1).astype(int), both.astype(int))
