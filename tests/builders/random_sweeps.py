"""Random record sets of every kind that the leaderboard meets, for the property tests of verdicts.

They differ in tasks, datasets and backbones, in what is missing (cells, scores, arrays), in seeds,
limits of comparability (baselines, published tables, contamination), and in how far the backbones
are apart. The same seed gives the same records.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.leaderboards.per_example import per_example_values
from bob.leaderboards.published import read_published, rename_clashes
from bob.metrics import metric_named
from bob.numerics.arrays import Doubles
from bob.outcomes import (
    ClassPredictions,
    FewShotCurves,
    OodScores,
    RetrievalResults,
    ShiftResults,
)
from bob.records.record import Cost, Record, TaskFacts
from bob.specs import Pretraining
from tests.builders.leaderboard_records import dataset, facts, failed, record, score, task

SHOTS = np.array([1, 5])


def class_predictions(rng: np.random.Generator, skill: Doubles) -> ClassPredictions:
    right = rng.random(len(skill)) < skill
    y = np.arange(len(skill)) % 2
    return ClassPredictions(y, np.where(right, y, 1 - y), (~right).astype(np.int64), 2)


def shift_results(rng: np.random.Generator, skill: Doubles) -> ShiftResults:
    """Three shifted sets of unequal sizes beside the test set in distribution."""
    shift = np.sort(np.arange(len(skill)) * 7 % 10 % 4)
    return ShiftResults(rng.random(len(skill)) < skill - 0.05 * shift, shift, shift)


def retrieval_results(rng: np.random.Generator, skill: Doubles) -> RetrievalResults:
    ap = np.clip(skill + 0.2 * rng.normal(size=len(skill)), 0.01, 1.0)
    query = np.arange(len(skill))
    return RetrievalResults(query, np.ones_like(query), ap, ap, ap, ap, ap)


def ood_scores(rng: np.random.Generator, skill: Doubles) -> OodScores:
    inside = np.arange(len(skill)) % 3 > 0
    return OodScores(4 * skill * inside + rng.normal(size=len(skill)), inside)


def few_shot_curves(rng: np.random.Generator, skill: Doubles) -> FewShotCurves:
    draws = np.clip(skill.mean() + 0.03 * rng.normal(size=(10, 2)), 0, 1)
    return FewShotCurves(draws, SHOTS)


TASKS: dict[str, tuple[TaskFacts, Callable[[np.random.Generator, Doubles], Any]]] = {
    "fewshot": (task("fewshot", metrics=("label_efficiency",)), few_shot_curves),
    "knn": (task("knn", metrics=("top1",)), class_predictions),
    "linear": (task("linear", metrics=("top1", "ece")), class_predictions),
    "ood": (task("ood", metrics=("shifted_top1", "drop")), shift_results),
    "ood_detection": (task("ood_detection", metrics=("auroc",)), ood_scores),
    "retrieval": (task("retrieval", metrics=("mean_ap",)), retrieval_results),
    "worst_group": (task("worst_group", metrics=("macro_f1",)), class_predictions),
}


@dataclass
class RandomSweep:
    """Records with their arrays."""

    records: list[Record]
    arrays: Mapping[str, Mapping[str, NDArray[Any]]]
    """By key of the record; a record without arrays has no entry."""

    def per_example(self, of: Record) -> Doubles | None:
        arrays = self.arrays.get(of.key)
        return None if arrays is None else per_example_values(of, arrays)


def random_sweep(seed: int) -> RandomSweep:
    """Return a random record set."""
    rng = np.random.default_rng(seed)
    tasks = rng.choice(list(TASKS), rng.integers(1, 4), replace=False).tolist()
    count = int(rng.choice([1, 2, 3, 7]))
    datasets = [f"d{d}" for d in range(count)]
    if count == 7 and rng.random() < 0.3:
        datasets = [f"imagenet-c.fog.{d}" for d in range(1, 6)] + ["pets", "cars"]
    images = int(rng.choice([3, 12, 40, 120]))
    shared = rng.normal(0, 0.25, images)
    quality = np.sort(rng.normal(0.6, rng.choice([0.0, 0.02, 0.1]), rng.integers(1, 6)))
    missing, undefined, without_arrays = rng.choice([0.0, 0.0, 0.1, 0.4], 3)
    without_arrays = 1.0 if rng.random() < 0.2 else without_arrays
    records: list[Record] = []
    arrays: dict[str, dict[str, NDArray[Any]]] = {}
    for b, level in enumerate(quality):
        is_baseline = b == 0 and len(quality) > 1 and rng.random() < 0.3
        name = f"b{b}"
        seen = tuple(datasets[:1]) if rng.random() < 0.2 else ()
        backbone = facts(
            name,
            "baseline" if is_baseline else "supervised",
            params=int(rng.integers(1, 100)) * 1_000_000,
            pretraining=Pretraining(method="supervised", data="x", images=1, seen=seen),
        )
        copy = rng.random() < 0.2  # of the backbone before it
        for task_name in tasks:
            facts_of_task, outcome_of = TASKS[task_name]
            for data in datasets:
                shared_fields: dict[str, Any] = {
                    "task": facts_of_task,
                    "dataset": dataset(data, f"print of {data}"),
                    "backbone": backbone,
                    "family": backbone.family,
                    "cost": cost(rng),
                }
                if rng.random() < missing:
                    if rng.random() < 0.5:
                        records.append(failed(name, **{**shared_fields, "cost": None}))
                    continue
                if task_name == "knn" and rng.random() < 0.05:
                    fields = {"status": "not_applicable", "reason": "no", "scores": ()}
                    records.append(record(name, **{**shared_fields, **fields}))
                    continue
                seeds = tuple(range(int(rng.choice([1, 1, 3]))))
                case = seed * 1000 + (b - 1 if copy and b else b)
                skill = np.clip((quality[b - 1] if copy and b else level) + shared, 0, 1)
                outcomes = [
                    outcome_of(np.random.default_rng([case, one_seed, len(data)]), skill)
                    for one_seed in seeds
                ]
                metric = metric_named(facts_of_task.metrics[0])
                values: list[float | None] = [metric.function(outcome) for outcome in outcomes]
                if rng.random() < undefined:
                    values[-1] = None
                scores = tuple(
                    score(metric.name, value, one_seed, undefined=None if value else "why")
                    for one_seed, value in zip(seeds, values, strict=True)
                )
                made = record(name, scores=scores, seeds=seeds, **shared_fields)
                records.append(made)
                if rng.random() >= without_arrays:
                    if rng.random() < 0.05 and images > 3:  # by another version: other examples
                        outcomes = [
                            outcome.take(np.arange(len(outcome) - 1)) for outcome in outcomes
                        ]
                    arrays[made.key] = {
                        f"{one_seed}.{key}": array
                        for one_seed, outcome in zip(seeds, outcomes, strict=True)
                        for key, array in outcome.to_arrays().items()
                    }
    return RandomSweep([*records, *published(rng, tasks, datasets, records)], arrays)


def cost(rng: np.random.Generator) -> Cost:
    return Cost(
        device="cpu",
        runtime=str(rng.choice(["eager", "openvino"])),
        threads=2,
        batch_size=8,
        images=100,
        decode_seconds=1.0,
        forward_seconds=1.0,
        images_per_s=float(rng.integers(10, 1000)),
        probe_seconds=1.0,
    )


def published(
    rng: np.random.Generator,
    tasks: Sequence[str],
    datasets: Sequence[str],
    measured: Sequence[Record],
) -> list[Record]:
    """Return the records of a published table, for some sets."""
    if rng.random() < 0.8:
        return []
    rows = [
        f"p{row},{data},{TASKS[task_name][0].metrics[0]},{rng.random():.3f},{task_name}"
        for row in range(3)
        for task_name in tasks
        for data in datasets
    ]
    text = "\n".join(["backbone,dataset,metric,value,task", *rows]) + "\n"
    return rename_clashes(measured, read_published(text, "paper.csv")[0])
