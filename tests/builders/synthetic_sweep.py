"""A synthetic sweep of any size for the leaderboard's load test.

By default it has 70 backbones × 40 datasets × 6 tasks. `python -m tests.builders.synthetic_sweep
FOLDER` writes it as a results folder, with per-example arrays of the classification tasks. Scores
are the sum of a backbone's latent quality, a dataset's difficulty and noise; some cells failed. The
same arguments give the same records.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bob.outcomes import ClassPredictions
from bob.records.record import Cost, DatasetFacts, Record, Score, TaskFacts
from bob.records.store import RecordStore
from bob.specs import Family, Pretraining
from bob.statistics.limits import wilson
from tests.builders.leaderboard_records import dataset, facts, score, task

FAMILIES: tuple[Family, ...] = ("supervised", "ssl", "clip", "domain")
ARCHITECTURES = (
    "resnet50",
    "vit_small_patch16",
    "convnext_base",
    "swin_tiny_patch4",
    "vit_large_patch14",
    "efficientnet_b3",
    "regnety_040",
)
SUBJECTS = (
    "birds",
    "cars",
    "cells",
    "clouds",
    "crops",
    "dishes",
    "fabrics",
    "flowers",
    "fungi",
    "insects",
    "landuse",
    "leaves",
    "pets",
    "roofs",
    "scenes",
)
LICENCES = ("Apache-2.0", "MIT", "CC-BY-NC-4.0", None)
PRETRAINING = {
    "supervised": "ImageNet-1k",
    "ssl": "LVD-142M",
    "clip": "LAION-2B",
    "domain": "BigEarthNet",
}
TASKS = {
    "linear": task(
        "linear",
        metrics=(
            "top1",
            "top5",
            "mean_per_class",
            "balanced_accuracy",
            "macro_f1",
            "log_loss",
            "ece",
        ),
        held_out=0.2,
    ),
    "knn": task(
        "knn",
        metrics=("top1", "top5", "mean_per_class", "macro_f1"),
        k=[1, 5, 10, 20, 50, 100, 200],
    ),
    "fewshot": task(
        "fewshot",
        metrics=("top1", "mean_per_class"),
        shots=[1, 5, 10, 25],
        heads=["centroid", "ridge", "logistic"],
    ),
    "ood": task("ood", metrics=("top1", "drop")),
    "ood_detection": task("ood_detection", metrics=("auroc",)),
    "retrieval": task("retrieval", metrics=("map",)),
}
WITH_ARRAYS = ("linear", "knn", "ood")
"""Tasks whose records have per-example arrays."""
EXAMPLES = 1000
"""Test examples per dataset."""


def records(backbones: int = 70, datasets: int = 40, seed: int = 0) -> list[Record]:
    """Return the records of the sweep, by backbone, dataset and task."""
    return [record for record, _ in sweep(backbones, datasets, seed)]


def sweep(backbones: int, datasets: int, seed: int) -> Iterator[tuple[Record, float | None]]:
    """Yield each record with its value, None if it failed."""
    rng = np.random.default_rng(seed)
    offsets = [(_dataset(d), rng.normal(0.5, 0.9)) for d in range(datasets)]
    for b in range(backbones):
        backbone = _backbone(b, rng)
        for dataset_facts, offset in offsets:
            for difficulty, (name, task_facts) in enumerate(TASKS.items()):
                logit = (
                    backbone["quality"]
                    + offset
                    + backbone["by_task"][name]
                    + rng.normal(0, 0.3)
                    - 0.3 * difficulty
                )
                value = float(np.round(EXAMPLES / (1 + np.exp(-logit))) / EXAMPLES)
                yield _record(backbone, task_facts, dataset_facts, value, rng)


def _backbone(b: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return facts and latent properties of the b-th backbone; the first two are baselines."""
    is_baseline = b in (0, 1)
    family: Family = "baseline" if is_baseline else FAMILIES[b % len(FAMILIES)]
    architecture = ARCHITECTURES[b % len(ARCHITECTURES)]
    version = b // len(ARCHITECTURES)
    if is_baseline:
        name = ("raw_pixels", "channel_statistics")[b]
        params, quality, pretraining = 0, -2.0 + b * 0.2, None
    else:
        name = f"{family}-{architecture}-v{version}"
        params = int(10 ** rng.uniform(6.5, 8.6))
        quality = 0.25 * np.log10(params / 1e6) + rng.normal(0.3, 0.35)
        pretraining = Pretraining(
            method=family,
            data=PRETRAINING[family],
            images=10**6 * (b + 1),
            seen=(_dataset(b).name,) if b % 3 == 0 else (),
        )
    backbone_facts = facts(
        name,
        family,
        architecture=architecture,
        params=params,
        gflops=params / 5e6,
        width=512 + 64 * (b % 12),
        weights_mib=params * 4 / 2**20,
        licence=LICENCES[b % 4],
        pretraining=pretraining,
    )
    return {
        "name": name,
        "family": family,
        "facts": backbone_facts,
        "quality": quality,
        "failure_rate": 0.02 * (b % 9 == 5),
        "by_task": dict(zip(TASKS, rng.normal(0, 0.12, len(TASKS)), strict=True)),
        "images_per_s": 40_000 / (4 + params / 1e6),
    }


def _dataset(d: int) -> DatasetFacts:
    name = f"{SUBJECTS[d % len(SUBJECTS)]}{d // len(SUBJECTS) or ''}"
    counts = {"train": 1000 * (d + 2), "test": EXAMPLES}
    return dataset(
        name,
        fingerprint=f"print-of-{name}",
        classes=2 + 7 * (d % 30),
        counts=counts,
        licence=LICENCES[d % 3],
    )


def _record(
    backbone: Mapping[str, Any],
    task_facts: TaskFacts,
    dataset_facts: DatasetFacts,
    value: float,
    rng: np.random.Generator,
) -> tuple[Record, float | None]:
    has_failed = rng.random() < backbone["failure_rate"]
    speed = backbone["images_per_s"] * rng.uniform(0.9, 1.0)
    images = sum(dataset_facts.counts.values())
    cost = Cost(
        device="cuda:0",
        threads=8,
        batch_size=256,
        images=images,
        decode_seconds=images / 900,
        forward_seconds=images / speed,
        images_per_s=speed,
        probe_seconds=1.5,
    )
    shared = {
        "key": f"{rng.integers(2**63):016x}{rng.integers(2**63):016x}",
        "backbone": backbone["facts"],
        "backbone_name": backbone["name"],
        "family": backbone["family"],
        "task": task_facts,
        "dataset": dataset_facts,
        "dataset_name": dataset_facts.name,
        "provenance": {"created": "2026-01-05T10:00:00Z", "bob": "0.1.0"},
        "cost": cost,
    }
    if has_failed:
        return Record(status="failed", reason="out of memory at batch 1", seeds=(), **shared), None
    selected = {}
    if task_facts.name == "linear":
        selected = {
            "c": 10 ** float(rng.integers(-4, 4)),
            "c_at_edge": False,
            "converged": True,
            "held_out_top1": value,
        }
    scores = tuple(_scores(task_facts, value, rng))
    return Record(status="ok", seeds=(0,), scores=scores, details=(selected,), **shared), value


def _scores(task_facts: TaskFacts, value: float, rng: np.random.Generator) -> Iterator[Score]:
    """Yield the task's metrics, then the further scores of its protocol."""
    yield _share(task_facts.metrics[0], value)
    for metric in task_facts.metrics[1:]:
        yield score(metric, value * float(rng.uniform(0.9, 1.0)), 0, n=EXAMPLES)
    if task_facts.name == "knn":
        for k in task_facts.settings["k"]:
            yield _share(f"top1_k{k}", value * float(rng.uniform(0.9, 1.0)), {"k": k})
    if task_facts.name == "fewshot":
        for head in task_facts.settings["heads"]:
            for shots in task_facts.settings["shots"]:
                yield _share(
                    f"top1_{head}_{shots}shot",
                    value * (1 - 0.5 / np.sqrt(shots)) * float(rng.uniform(0.95, 1.0)),
                    {"head": head, "shots": shots},
                )
    if task_facts.name == "ood":
        yield _share("top1_test", value, {"shift": "test"})
        for shift in ("sketch", "photo"):
            shifted = value * float(rng.uniform(0.6, 0.9))
            yield _share(f"top1_{shift}", shifted, {"shift": shift})
            yield score(f"drop_{shift}", value - shifted, 0, facets={"shift": shift})


def _share(metric: str, value: float, facets: Mapping[str, Any] | None = None) -> Score:
    low, high = map(float, wilson(np.float64(value * EXAMPLES), np.float64(EXAMPLES)))
    return Score(
        metric=metric,
        facets=dict(facets or {}),
        seed=0,
        value=float(value),
        low=low,
        high=high,
        n=EXAMPLES,
        interval="wilson",
    )


def write(folder: Path, backbones: int, datasets: int) -> None:
    """Write the sweep into a results folder."""
    store, rng = RecordStore(folder), np.random.default_rng(1)
    for record, value in sweep(backbones, datasets, 0):
        arrays = {}
        if value and record.task.name in WITH_ARRAYS:
            arrays = dict(_predictions(value, rng).to_arrays())
        store.write(record, {f"0.{name}": values for name, values in arrays.items()})


def _predictions(value: float, rng: np.random.Generator) -> ClassPredictions:
    """Return predictions between two classes whose top-1 accuracy is `value`."""
    y = rng.integers(0, 2, EXAMPLES)
    correct = rng.permutation(EXAMPLES) < round(value * EXAMPLES)
    return ClassPredictions(y, np.where(correct, y, 1 - y), np.where(correct, 0, 1), 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbones", type=int, default=70)
    parser.add_argument("--datasets", type=int, default=40)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.backbones, arguments.datasets)
