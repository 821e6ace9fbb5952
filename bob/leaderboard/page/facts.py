"""Backbones, datasets and tasks as the page's cards show them."""

from collections.abc import Mapping, Sequence
from typing import Any

from bob.leaderboard.cells import is_share
from bob.metrics import METRICS
from bob.records.record import BackboneFacts, DatasetFacts, Record


def backbone(
    name: str, records: Sequence[Record], facts: BackboneFacts | None, device: str | None
) -> dict[str, Any]:
    """One backbone; one that never loaded has no card. `device` is where the speeds that are compared were measured."""
    family, speeds = records[0].family, _speeds(records)
    measured = {
        "speed": next((speed for where, speed in speeds if where == device), None),
        "speeds": speeds,
    }
    known = {
        "name": name,
        "family": family,
        "floor": family == "baseline",
        "external": records[0].external,
        "card": None,
        **measured,
    }
    if facts is None:
        return known
    seen = facts.pretraining
    numbers = {
        "params": facts.params,
        "gflops": facts.gflops,
        "width": facts.width,
        "mib": facts.weights_mib,
        "peak_mib": facts.peak_mib,
    }
    return (
        known
        | numbers
        | {"licence": facts.licence, "data": seen.data if seen else None, "card": _card(facts)}
    )


def _card(facts: BackboneFacts) -> dict[str, Any]:
    """The provenance: which checkpoint, and how an image becomes a row."""
    names = (
        "loader",
        "architecture",
        "weights",
        "weights_hash",
        "pooling",
        "precision",
        "geometry",
        "normalisation",
        "paper",
        "pretraining",
    )
    return {name: value for name, value in facts.model_dump(mode="json").items() if name in names}


def _speeds(records: Sequence[Record]) -> list[list[Any]]:
    """[device, images/s] per device: the fastest of its cells, since a busy machine only ever slows one down."""
    fastest: dict[str, float] = {}
    for cost in (record.cost for record in records):
        if cost and cost.images_per_s:
            fastest[cost.device] = max(cost.images_per_s, fastest.get(cost.device, 0.0))
    return [[device, float(f"{speed:.4g}")] for device, speed in sorted(fastest.items())]


def dataset(name: str, facts: DatasetFacts | None) -> dict[str, Any]:
    """One dataset; one that was never read is its name."""
    if facts is None:
        return {"name": name}
    kept = facts.model_dump(mode="json", exclude={"name", "bad_images"})
    return {"name": name, "bad_images": sum(map(len, facts.bad_images.values()))} | kept


def task(record: Record) -> dict[str, Any]:
    """One task, with how its metrics are read; the first one ranks."""
    facts = record.task
    shared = {
        "name": facts.name,
        "version": facts.version,
        "protocol": facts.protocol,
        "settings": facts.settings,
    }
    return shared | {"metrics": [metric(name) for name in facts.metrics]}


def metric(name: str) -> dict[str, Any]:
    """How a metric is read. One of a later version counts as a share, the higher the better."""
    known = METRICS.get(name)
    percent, higher = (known.highest == 1, known.higher_is_better) if known else (True, True)
    return {
        "name": name,
        "summary": known.summary if known else "",
        "share": is_share(name),
        "percent": percent,
        "higher": higher,
    }


def by_name(records: Sequence[Record]) -> Mapping[str, list[Record]]:
    """Records of each backbone, names in order."""
    groups: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: record.backbone_name):
        groups.setdefault(record.backbone_name, []).append(record)
    return groups
