"""A cell's features into its record: roles, protocol, metrics, provenance."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bob.backbones.card import Card, facts
from bob.datasets.dataset import Dataset, Split, SplitName
from bob.datasets.splits import automatic_test
from bob.errors import BadImageError, DatasetError
from bob.features.extract import bad_images_message
from bob.features.store import Effort, Features
from bob.plan import Cell, Plan, Request, draws, feature_key, seeds_of
from bob.protocols import PROTOCOLS
from bob.protocols.protocol import Problem, Result
from bob.provenance import provenance
from bob.records import Cost, DatasetFacts, Record, Score, TaskFacts
from bob.scoring import score
from bob.specs import DatasetSpec, TaskSpec


def assess(request: Request, plan: Plan, cell: Cell) -> tuple[Record, dict[str, NDArray[Any]]]:
    """The record of a cell whose features are stored, and its per-example arrays by `SEED.NAME`."""
    dataset, known = plan.datasets[cell.dataset.name], plan.cards[cell.backbone.name]
    features: dict[SplitName, Features] = {name: _features(request, cell, known, name, split) for name, split in dataset.splits.items()}
    seeds = seeds_of(request, cell.task, dataset)
    start = time.perf_counter()
    results = {seed: _solve(cell.task, dataset, features, seed, request.device) for seed in seeds}
    seconds = time.perf_counter() - start
    scores = [one for seed, result in results.items() for one in _scores(cell.task, result, seed if draws(cell.task, dataset) else None)]
    record = Record(
        **_identity(plan, cell),
        status="ok",
        dataset=_dataset_facts(request, cell.dataset, dataset, {name: found.bad for name, found in features.items()}),
        seeds=seeds,
        scores=tuple(scores),
        details=tuple({"seed": seed, **result.detail} for seed, result in results.items()),
        cost=_cost(request, features, seconds),
    )
    return record, {f"{seed}.{name}": values for seed, result in results.items() for name, values in result.outcome.to_arrays().items()}


def _features(request: Request, cell: Cell, known: Card, split_name: SplitName, split: Split) -> Features:
    found = request.store().read(feature_key(known, cell.backbone.pooling, split_name, split), len(split))
    if found.bad and not request.skip_bad:
        raise BadImageError(f"dataset {cell.dataset.name!r}, {split_name}: {bad_images_message(list(found.bad.values()))}")
    return found


def _solve(task: TaskSpec, dataset: Dataset, features: Mapping[SplitName, Features], seed: int, device: str) -> Result:
    return PROTOCOLS[task.protocol](problem(dataset, features, task.settings.held_out, seed), task.settings, device)


def problem(dataset: Dataset, features: Mapping[SplitName, Features], held_out: float | None, seed: int) -> Problem:
    """Features with roles. A val split is held out where there is one, else a stratified share of train that keeps groups together."""
    train, test = dataset.splits["train"].take(features["train"].positions), dataset.splits["test"].take(features["test"].positions)
    x, y, mask = features["train"].rows, train.y, np.zeros(len(train), bool)
    if "val" in dataset.splits:
        val = dataset.splits["val"].take(features["val"].positions)
        mask = np.repeat([False, True], [len(train), len(val)])
        x, y = np.concatenate([x, features["val"].rows]), np.concatenate([y, val.y])
    elif held_out is not None:
        mask = _held_out(train, held_out, seed)
    return Problem(x, y, mask, features["test"].rows, test.y, len(dataset.classes))


def _held_out(train: Split, share: float, seed: int) -> NDArray[np.bool_]:
    try:
        return automatic_test(train.y, train.content, train.groups, share, seed)
    except DatasetError as error:
        raise DatasetError(
            f"no train images can be held out to choose settings on: each of the {len(np.unique(train.y))} classes has a single train image "
            "(or one group). Give at least two per class, or a val split."
        ) from error


def _scores(task: TaskSpec, result: Result, seed: int | None) -> list[Score]:
    """Every metric of the task at the chosen setting, and the ranking one at every other."""
    chosen = [score(metric, result.outcome, bootstrap_seed=0, seed=seed) for metric in task.metrics]
    others = [score(task.metrics[0], outcome, bootstrap_seed=0, seed=seed, suffix=f"_{name}") for name, outcome in result.variants.items()]
    return [*chosen, *others]


def _identity(plan: Plan, cell: Cell) -> dict[str, Any]:
    known = plan.cards.get(cell.backbone.name)
    task = cell.task
    return {
        "key": cell.key,
        "backbone": facts(cell.backbone, known) if known else None,
        "backbone_name": cell.backbone.name,
        "family": cell.backbone.family,
        "task": TaskFacts(
            name=task.name, version=task.version, protocol=task.protocol, settings=task.settings.model_dump(mode="json"), metrics=task.metrics
        ),
        "dataset_name": cell.dataset.name,
        "provenance": provenance(),
    }


def failed(request: Request, plan: Plan, cell: Cell, reason: str) -> Record:
    """The record of a cell that has no scores, and why."""
    dataset = plan.datasets.get(cell.dataset.name)
    return Record(
        **_identity(plan, cell),
        status="failed",
        reason=reason,
        dataset=_dataset_facts(request, cell.dataset, dataset, {}) if dataset else None,
        seeds=request.seeds,
    )


def _dataset_facts(request: Request, spec: DatasetSpec, dataset: Dataset, bad: Mapping[SplitName, Mapping[int, str]]) -> DatasetFacts:
    return DatasetFacts(
        name=dataset.name,
        fingerprint=dataset.fingerprint(),
        split_origin=dict(dataset.split_origin),
        classes=len(dataset.classes),
        counts={name: len(split) - len(bad.get(name, {})) for name, split in dataset.splits.items()},
        bad_images={name: list(reasons.values()) for name, reasons in bad.items() if reasons},
        limit=request.limit,
        licence=spec.licence,
        notes=dataset.notes,
    )


def _cost(request: Request, features: Mapping[SplitName, Features], probe_seconds: float) -> Cost:
    """The effort of extraction is that of whoever extracted, which the shards remember; on another machine it would differ."""
    total = sum((found.effort for found in features.values()), Effort())
    return Cost(
        device=total.device or request.device,
        threads=torch.get_num_threads(),
        batch_size=total.batch_size or None,
        images=total.images,
        decode_seconds=total.decode_seconds,
        forward_seconds=total.forward_seconds,
        images_per_s=total.images / total.forward_seconds if total.forward_seconds else None,
        probe_seconds=probe_seconds,
    )
