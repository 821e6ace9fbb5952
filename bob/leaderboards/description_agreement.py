"""How descriptions of features order backbones, beside the probe on the same data.

A description (RankMe, LogME, N-LEEP, ...) ranks nothing. What it would say is measured instead:
Kendall's tau of its values with the scores of the linear probe, over the backbones that have both
on a dataset. Baselines are left out: they are far below on any scale, which inflates the tau.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bob.leaderboards.cells import is_baseline, mean
from bob.leaderboards.metric_traits import metric_traits
from bob.records.record import Record
from bob.statistics.correlation import kendall

PROBE = "linear"
"""The task whose first metric descriptions are compared with."""
LEAST_BACKBONES = 3
LEAST_FOR_AN_INTERVAL = 6
FIELLER = 0.437
"""Variance of atanh(tau) times n − 4 (Fieller, Hartley & Pearson 1957, doi:10.2307/2332878)."""


@dataclass(frozen=True)
class DescriptionAgreement:
    """Kendall's tau of one description with the probe on one dataset."""

    dataset: str
    description: str
    probe_metric: str
    backbones: int
    tau: float
    low: float | None
    """Limits of 95 % over backbones; None for fewer than 6 of them, or for one order alone."""
    high: float | None


def description_agreements(records: Iterable[Record]) -> list[DescriptionAgreement]:
    """Return the agreement of every description of comparable records, by dataset."""
    probes: dict[str, dict[str, float]] = defaultdict(dict)
    described: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    probe_metric = ""
    for record in records:
        if is_baseline(record) or record.external is not None or record.status != "ok":
            continue
        metrics = record.task.metrics
        if record.task.name == PROBE:
            probe_metric = metrics[0]
            if (value := _value(record, probe_metric)) is not None:
                probes[record.dataset_name][record.backbone_name] = value
        for name in metrics:
            if metric_traits(name).describes and (value := _value(record, name)) is not None:
                described[record.dataset_name, name][record.backbone_name] = value
    found = (
        _agreement(dataset, name, probe_metric, values, probes.get(dataset, {}))
        for (dataset, name), values in described.items()
    )
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
    probe_metric: str,
    values: Mapping[str, float],
    probes: Mapping[str, float],
) -> DescriptionAgreement | None:
    """Return the agreement over backbones with both values; None where it is undefined."""
    names = sorted(set(values) & set(probes))
    if len(names) < LEAST_BACKBONES:
        return None
    sign = 1.0 if metric_traits(probe_metric).higher_is_better else -1.0
    tau = kendall(
        np.array([values[name] for name in names]),
        sign * np.array([probes[name] for name in names]),
    )
    if tau is None:
        return None
    low, high = tau_limits(tau, len(names)) or (None, None)
    return DescriptionAgreement(dataset, description, probe_metric, len(names), tau, low, high)
