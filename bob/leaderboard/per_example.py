"""Paired evidence: what each example gave to each backbone of a column, and who is told apart by it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.errors import UndefinedError
from bob.leaderboard.cells import Cell, better_first
from bob.metrics import METRICS
from bob.records.record import Record
from bob.statistics.aggregate import Floats
from bob.statistics.pairs import Test, fitting, p_values
from bob.statistics.ties import holm, tie_groups

Evidence = Callable[[Record], Floats | None]
"""Of a record: what each example (query, draw) gave (N,), of which its ranking metric is the mean; None where that is not at hand."""


def no_evidence(record: Record) -> None:
    """Where only the records are at hand."""


@dataclass(frozen=True)
class Tie:
    """How one backbone stands to the best of its column, on the same examples."""

    group: int
    """1: not told apart from the best. 2: not told apart from the best of the rest; and so on."""
    p: float
    """Against the best of the column, adjusted for the number of comparisons (Holm); 1 for the best itself."""
    test: Test


def per_example(record: Record, arrays: Mapping[str, NDArray[np.generic]]) -> Floats | None:
    """What each example gave (N,), mean over seeds, from the record's arrays by `SEED.NAME`; None for a metric that is no mean over examples."""
    metric = METRICS.get(record.task.metrics[0])
    if metric is None or metric.each is None:
        return None
    try:
        each = [metric.each(outcome) for outcome in outcomes(record, arrays)]
    except UndefinedError:
        return None
    return (
        np.mean(each, axis=0, dtype=np.float64)
        if each and len({len(values) for values in each}) == 1
        else None
    )


def outcomes(record: Record, arrays: Mapping[str, NDArray[np.generic]]) -> list[Any]:
    """The headline outcome of each seed, from the record's arrays; none for arrays that another version stored."""
    metric = METRICS.get(record.task.metrics[0])
    by_seed: dict[str, dict[str, NDArray[np.generic]]] = {}
    for name, values in arrays.items():
        seed, *rest = name.split(".")
        if len(rest) == 1:  # parts besides the headline have a longer name
            by_seed.setdefault(seed, {})[rest[0]] = values
    try:
        return [metric.outcome.from_arrays(held) for held in by_seed.values()] if metric else []  # type: ignore[attr-defined]
    except (ValueError, KeyError, TypeError):
        return []


def column_ties(cells: Sequence[Cell], evidence: Evidence) -> dict[str, Tie]:
    """Backbone → how it stands to the best of one column. Floors and published numbers take no part; cells without evidence have no entry.

    `cells` are of one task and dataset, so that they share the dataset's fingerprint: equally long evidence is on the same examples.
    """
    ranked = sorted(
        (cell for cell in cells if cell.value is not None and is_rival(cell.record)),
        key=better_first,
    )
    held = {
        cell.record.backbone_name: values
        for cell in ranked
        if (values := evidence(cell.record)) is not None
    }
    if not ranked or ranked[0].record.backbone_name not in held:
        return {}
    best = held[ranked[0].record.backbone_name]
    names = [name for name, values in held.items() if len(values) == len(best)]
    p, test = p_matrix([held[name] for name in names], ranked[0].metric)
    against_best = [1.0, *holm(p[0, 1:]).tolist()]
    return {
        name: Tie(group, adjusted, test)
        for name, group, adjusted in zip(names, tie_groups(p), against_best, strict=True)
    }


def tied(ties: Mapping[str, Tie]) -> frozenset[str]:
    """The backbones of a column that are not told apart from its best, the best included; none where the best stands alone."""
    group = frozenset(name for name, tie in ties.items() if tie.group == 1)
    return group if len(group) > 1 else frozenset()


def p_matrix(values: Sequence[Floats], metric: str) -> tuple[Floats, Test]:
    """(R, R) p-values of every pair of R backbones on the same N examples, and the test that gave them."""
    stacked = np.stack(values)
    test = fitting(stacked, draws=METRICS[metric].interval == "t")
    return p_values(stacked, test), test


def is_rival(record: Record) -> bool:
    """Whether a backbone is ranked: floors are what the others must beat, and take no place among them."""
    return record.family != "baseline"
