"""How descriptions of features order backbones, beside what was measured on the same data.

A description (RankMe, LogME, N-LEEP, ...) ranks nothing. What it would say is measured instead:
Kendall's tau of its values with the scores of the linear probe, over the backbones that have both
on a dataset; of distances of shifted sets, with the accuracy lost there. Baselines are left out:
they are far below on any scale, which inflates the tau.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bob.leaderboards.cells import is_baseline, mean
from bob.leaderboards.metric_traits import metric_traits
from bob.metrics import METRICS
from bob.outcomes import ShiftDistances
from bob.records.record import Record
from bob.statistics.correlation import kendall

PROBE = "linear"
"""The task whose first metric descriptions of features are compared with."""
LOST = "drop"
"""The metric of shifts that distances of shifted sets are compared with."""
LEAST_BACKBONES = 3
LEAST_FOR_AN_INTERVAL = 6
FIELLER = 0.437
"""Variance of atanh(tau) times n − 4 (Fieller, Hartley & Pearson 1957, doi:10.2307/2332878)."""


@dataclass(frozen=True)
class DescriptionAgreement:
    """Kendall's tau of one description with what was measured on one dataset."""

    dataset: str
    description: str
    measured: str
    """The metric of the probe, or of the shift, that it is compared with."""
    backbones: int
    tau: float
    low: float | None
    """Limits of 95 % over backbones; None for fewer than 6 of them, or for one order alone."""
    high: float | None


def description_agreements(records: Iterable[Record]) -> list[DescriptionAgreement]:
    """Return the agreement of every description of comparable records, by dataset."""
    measured: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    described: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    probe_metric = ""
    for record in records:
        if is_baseline(record) or record.external is not None or record.status != "ok":
            continue
        for name in record.task.metrics:
            describes = metric_traits(name).describes
            is_probe = record.task.name == PROBE and name == record.task.metrics[0]
            if not (describes or is_probe or name == LOST):
                continue
            probe_metric = name if is_probe else probe_metric
            if (value := _value(record, name)) is not None:
                of_kind = described if describes else measured
                of_kind[record.dataset_name, name][record.backbone_name] = value
    found = []
    for (dataset, name), values in described.items():
        reference = LOST if METRICS[name].outcome is ShiftDistances else probe_metric
        of_backbones = measured.get((dataset, reference), {})
        found.append(_agreement(dataset, name, reference, values, of_backbones))
    return [agreement for agreement in found if agreement is not None]


def tau_limits(tau: float, backbones: int) -> tuple[float, float] | None:
    """Return 95 % limits of Kendall's tau over backbones, by Fisher's transformation.

    None for fewer than 6 backbones, and for an order that agrees or disagrees throughout.
    """
    if backbones < LEAST_FOR_AN_INTERVAL or abs(tau) >= 1:
        return None
    centre, reach = math.atanh(tau), 1.96 * math.sqrt(FIELLER / (backbones - 4))
    return math.tanh(centre - reach), math.tanh(centre + reach)


def _value(record: Record, metric: str) -> float | None:
    """Return a score without suffix, mean over seeds; None where it is undefined or absent."""
    values = [score.value for score in record.scores if score.metric == metric]
    return mean(values) if values else None


def _agreement(
    dataset: str,
    description: str,
    measured: str,
    values: Mapping[str, float],
    of_backbones: Mapping[str, float],
) -> DescriptionAgreement | None:
    """Return the agreement over backbones with both values; None where it is undefined.

    Of a loss of accuracy it is with the loss itself, of other errors with what is right.
    """
    names = sorted(set(values) & set(of_backbones))
    if len(names) < LEAST_BACKBONES:
        return None
    is_as_it_reads = measured == LOST or metric_traits(measured).higher_is_better
    tau = kendall(
        np.array([values[name] for name in names]),
        (1.0 if is_as_it_reads else -1.0) * np.array([of_backbones[name] for name in names]),
    )
    if tau is None:
        return None
    low, high = tau_limits(tau, len(names)) or (None, None)
    return DescriptionAgreement(dataset, description, measured, len(names), tau, low, high)
