"""Per-example results of records, and the backbones of a column that are statistically tied."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.errors import UndefinedError
from bob.leaderboards.cells import BoardCell, best_first, is_baseline
from bob.metrics import METRICS
from bob.numerics.arrays import Doubles
from bob.records.record import Record
from bob.statistics.paired_tests import PairedTest, choose_test, p_values
from bob.statistics.ties import holm, tie_groups

PerExample = Callable[[Record], Doubles | None]
"""Maps a record to the (N,) values of its examples (or queries, or draws), whose mean is its first
metric; to None if they are unavailable."""


def no_per_example(record: Record) -> None:
    """Return None: only the records are available."""


@dataclass(frozen=True)
class TieStatus:
    """Paired comparison of one backbone with the best of its column."""

    group: int
    """1: statistically tied with the best. 2: tied with the best of the rest; and so on."""
    p: float
    """p-value against the best, adjusted for the number of comparisons (Holm); 1 for the best."""
    test: PairedTest


def per_example_values(record: Record, arrays: Mapping[str, NDArray[np.generic]]) -> Doubles | None:
    """Return the value of the record's first metric for each example (N,), mean over seeds.

    `arrays` are the record's, by `SEED.NAME`. None if the metric is not a mean over examples, or if
    the arrays were stored by another version.
    """
    metric = METRICS.get(record.task.metrics[0])
    if metric is None or metric.per_example is None:
        return None
    try:
        by_seed = [metric.per_example(outcome) for outcome in headline_outcomes(record, arrays)]
    except UndefinedError:
        return None
    if len({len(values) for values in by_seed}) != 1:
        return None
    mean: Doubles = np.mean(by_seed, axis=0, dtype=np.float64)
    return mean


def headline_outcomes(record: Record, arrays: Mapping[str, NDArray[np.generic]]) -> list[Any]:
    """Return the outcome that the record's first metric is computed from, one per seed.

    `arrays` are the record's, by `SEED.NAME`. Empty if they were stored by another version.
    """
    metric = METRICS.get(record.task.metrics[0])
    by_seed: dict[str, dict[str, NDArray[np.generic]]] = {}
    for key, values in arrays.items():
        seed, *names = key.split(".")
        if len(names) == 1:  # the arrays of a task's further parts have longer names
            by_seed.setdefault(seed, {})[names[0]] = values
    if metric is None:
        return []
    try:
        return [metric.outcome.from_arrays(named) for named in by_seed.values()]
    except (ValueError, KeyError, TypeError):
        return []


def column_ties(cells: Sequence[BoardCell], per_example: PerExample) -> dict[str, TieStatus]:
    """Compare every backbone of one column with the best one on the same examples.

    Cells without a value or per-example results have no entry, nor do baselines. `cells` share task
    and dataset fingerprint, so that arrays of equal length are of the same examples.
    """
    ranked = sorted(
        (cell for cell in cells if cell.value is not None and not is_baseline(cell.record)),
        key=best_first,
    )
    arrays = {
        cell.record.backbone_name: values
        for cell in ranked
        if (values := per_example(cell.record)) is not None
    }
    if not ranked or ranked[0].record.backbone_name not in arrays:
        return {}
    n = len(arrays[ranked[0].record.backbone_name])
    names = [name for name, values in arrays.items() if len(values) == n]
    p, test = p_matrix([arrays[name] for name in names], ranked[0].metric)
    adjusted = [1.0, *holm(p[0, 1:]).tolist()]
    return {
        name: TieStatus(group, adjusted_p, test)
        for name, group, adjusted_p in zip(names, tie_groups(p), adjusted, strict=True)
    }


def tied(ties: Mapping[str, TieStatus]) -> frozenset[str]:
    """Return the backbones tied with the best of a column, including the best.

    Empty if no other backbone is tied with it.
    """
    group = frozenset(name for name, tie in ties.items() if tie.group == 1)
    return group if len(group) > 1 else frozenset()


def p_matrix(values: Sequence[Doubles], metric: str) -> tuple[Doubles, PairedTest]:
    """Return (R, R) p-values of every pair of R backbones on the same N examples, and the test."""
    stacked = np.stack(values)
    test = choose_test(stacked, draws=METRICS[metric].interval == "t")
    return p_values(stacked, test), test
