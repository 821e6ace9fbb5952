"""Backbones, datasets, tasks and metrics as the page's cards show them, as JSON values."""

from collections.abc import Mapping, Sequence
from typing import Any

from bob.leaderboards.abridge import MAX_ENTRIES, short_list, short_mapping, short_text
from bob.leaderboards.limits import undecided_speed
from bob.leaderboards.metric_traits import metric_traits
from bob.leaderboards.render.data_report import report_facts
from bob.leaderboards.speeds import Speeds
from bob.metrics import METRICS
from bob.records.record import BackboneFacts, DatasetFacts, Record

PROVENANCE = (
    "loader",
    "architecture",
    "weights",
    "weights_hash",
    "output",
    "precision",
    "geometry",
    "normalisation",
    "paper",
    "pretraining",
    "notes",
)
"""Fields of a backbone's card: which checkpoint, and how an image becomes a feature row."""


def backbone_json(
    name: str, records: Sequence[Record], facts: BackboneFacts | None, speeds: Speeds
) -> dict[str, Any]:
    """Describe one backbone; its card is None where it never loaded.

    `speed` is the one under the conditions at which speeds are compared, `fastest` that with any
    runtime on the same machine, `speeds` are all of them with their conditions as text, and
    `undecided` says why a speed below a limit decides nothing.
    """
    family = records[0].family
    described = {
        "name": name,
        "family": family,
        "baseline": family == "baseline",
        "external": records[0].external,
        "card": None,
        "speed": _rounded(speeds.comparable(name)),
        "fastest": _rounded(max(speeds.on_machine(name).values(), default=None)),
        "undecided": undecided_speed(name, speeds),
        "speeds": [
            [conditions.text(speeds.reference), _rounded(speed)]
            for conditions, speed in sorted(speeds.measured.get(name, {}).items())
        ],
    }
    if facts is None:
        return described
    pretraining = facts.pretraining
    values = facts.model_dump(mode="json") | {"geometry": short_mapping(facts.geometry)}
    return described | {
        "params": facts.params,
        "gflops": facts.gflops,
        "width": facts.width,
        "mib": facts.weights_mib,
        "peak_mib": facts.peak_mib,
        "licence": facts.licence,
        "input": _input_text(facts.geometry.get("input_px")),
        "data": pretraining.data if pretraining else None,
        "pretraining_images": pretraining.images if pretraining else None,
        "card": {name: values[name] for name in PROVENANCE},
    }


def _input_text(input_px: Any) -> str | None:
    """Return the size of the input in pixels, `224` or `256 × 128`; None where it is not stated."""
    if input_px is None:
        return None
    sides = input_px if isinstance(input_px, list | tuple) else [input_px]
    return " × ".join(map(str, dict.fromkeys(sides)))


def _rounded(speed: float | None) -> float | None:
    return None if speed is None else float(f"{speed:.6g}")


def dataset_json(name: str, facts: DatasetFacts | None) -> dict[str, Any]:
    """Describe one dataset; only its name where it was never read."""
    if facts is None:
        return {"name": name}
    abridged = {"bad_images", "split_origin", "notes", "report"}
    report = report_facts(facts.report) if facts.report else []
    described = facts.model_dump(mode="json", exclude=abridged)
    return described | {
        "name": name,
        "bad_images": sum(map(len, facts.bad_images.values())),
        "split_origin": short_mapping(facts.split_origin),
        "notes": short_list(facts.notes),
        "report": [[short_text(name), short_text(text)] for name, text in report[:MAX_ENTRIES]],
    }


def task_json(record: Record) -> dict[str, Any]:
    """Describe the record's task and its metrics; the first metric ranks."""
    facts = record.task
    return {
        "name": facts.name,
        "version": facts.version,
        "protocol": facts.protocol,
        "settings": short_mapping(facts.settings),
        "metrics": [metric_json(name) for name in facts.metrics],
    }


def metric_json(name: str) -> dict[str, Any]:
    """Describe how to read a metric.

    An unregistered metric, as of a later version, counts as what its name shows.
    """
    metric, traits = METRICS.get(name), metric_traits(name)
    return {
        "name": name,
        "summary": metric.summary if metric else "",
        "share": traits.is_share,
        "percent": traits.at_most_one,
        "higher": traits.higher_is_better,
    }


def records_by_backbone(records: Sequence[Record]) -> Mapping[str, list[Record]]:
    """Group records by backbone, in the order of the backbones' names."""
    groups: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: record.backbone_name):
        groups.setdefault(record.backbone_name, []).append(record)
    return groups
