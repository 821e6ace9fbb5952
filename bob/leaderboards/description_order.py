"""Backbones in the order of a description of their features, beside what was measured.

The order is shown with its agreement with the linear probe (`description_agreement`), and is no
result. Baselines are left out, as there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bob.errors import ConfigError, nearest
from bob.leaderboards.cells import is_baseline
from bob.leaderboards.description_agreement import (
    PROBE,
    DescriptionAgreement,
    description_agreements,
)
from bob.outcomes import FeatureDiagnostics
from bob.records.record import Record, Score


@dataclass(frozen=True)
class DescribedBackbone:
    """What a description says of a backbone, and what the probe measured."""

    name: str
    value: float
    low: float | None
    high: float | None
    measured: float | None
    """The score of the linear probe on the same dataset; None without a record."""


@dataclass(frozen=True)
class DescriptionOrder:
    """Backbones on one dataset by one description, highest first."""

    dataset: str
    description: str
    backbones: tuple[DescribedBackbone, ...]
    agreement: DescriptionAgreement | None
    """None for fewer than three backbones with both values."""


def description_names(text: str) -> list[str]:
    """Return the descriptions that a comma-separated list names: `logme` is `log_me`.

    ConfigError for a name that is none.
    """
    known = {_plain(name): name for name in FeatureDiagnostics.NAMES}
    names = []
    for word in filter(None, map(str.strip, text.split(","))):
        if _plain(word) not in known:
            raise ConfigError(
                f"--by {word!r} is no description of features{nearest(word, known)} "
                f"Available: {', '.join(known)}."
            )
        names.append(known[_plain(word)])
    return list(dict.fromkeys(names))


def description_orders(records: Sequence[Record], names: Sequence[str]) -> list[DescriptionOrder]:
    """Return the order by each description on each dataset that has values of it."""
    records = [record for record in records if not is_baseline(record) and record.status == "ok"]
    agreements = {
        (each.dataset, each.description): each for each in description_agreements(records)
    }
    orders = []
    for dataset in dict.fromkeys(record.dataset_name for record in records):
        here = [record for record in records if record.dataset_name == dataset]
        for name in names:
            backbones = sorted(_described(here, name), key=lambda each: (-each.value, each.name))
            if backbones:
                agreement = agreements.get((dataset, name))
                orders.append(DescriptionOrder(dataset, name, tuple(backbones), agreement))
    return orders


def _described(records: Sequence[Record], name: str) -> Iterator[DescribedBackbone]:
    """Yield each backbone of a dataset's records that has a value of the description."""
    probe = {
        record.backbone_name: _score(record, record.task.metrics[0])
        for record in records
        if record.task.name == PROBE
    }
    for record in records:
        score = _score(record, name)
        if score is not None and score.value is not None:
            measured = probe.get(record.backbone_name)
            yield DescribedBackbone(
                record.backbone_name,
                score.value,
                score.low,
                score.high,
                measured.value if measured else None,
            )


def _score(record: Record, metric: str) -> Score | None:
    return next((score for score in record.scores if score.metric == metric), None)


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")
