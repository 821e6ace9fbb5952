"""A cell's features into its record: rows, protocol, metrics, provenance."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bob.backbones.card import Card
from bob.backbones.weights.locate import source_in_words
from bob.datasets.dataset import Dataset
from bob.engine.scores import scores
from bob.errors import BadImageError
from bob.extraction.passes import bad_images_message
from bob.features.store import Effort, Features
from bob.plan import Cell, Plan, Request, seeds_of, whole_of
from bob.protocols.protocol import Result
from bob.records.provenance import provenance
from bob.records.record import BackboneFacts, Cost, DatasetFacts, Record, Score, TaskFacts
from bob.specs import BackboneSpec, TaskSpec
from bob.wiring import WIRING, Need, TextNeed

Bad = Mapping[str, Mapping[int, str]]
"""Split → position → why that image has no row."""


def assess(request: Request, plan: Plan, cell: Cell) -> tuple[Record, dict[str, NDArray[Any]]]:
    """The record of a cell whose features are stored, and its per-example arrays by `SEED.NAME` or `SEED.PART.NAME`."""
    dataset, wired = plan.datasets[cell.dataset.name], WIRING[cell.task.protocol]
    seeds = seeds_of(request.seeds, cell.task, dataset)
    features = {id(need): _features(request, plan, cell, need) for need in cell.needs}
    start = time.perf_counter()
    results = {
        seed: wired.solve(
            cell.task,
            dataset,
            cell.needs,
            lambda need: features[id(need)],
            seed,
            solving_on(request.device),
        )
        for seed in seeds
    }
    seconds = time.perf_counter() - start
    drawn = wired.draws(cell.task, dataset)
    bad = {need.name: features[id(need)].bad for need in cell.needs if isinstance(need, Need)}
    record = Record(
        **_identity(plan, cell),
        status="ok",
        dataset=dataset_facts(
            dataset.with_shifts({need.name for need in cell.needs}),
            bad,
            request.limit,
            cell.dataset.licence,
        ),
        seeds=seeds,
        scores=tuple(
            score
            for seed, result in results.items()
            for score in _scores(cell, result, seed if drawn else None)
        ),
        details=tuple({"seed": seed, **result.detail} for seed, result in results.items()),
        cost=_cost(request, list(features.values()), seconds),
    )
    return record, {
        f"{seed}.{name}": values
        for seed, result in results.items()
        for name, values in arrays_of(result).items()
    }


def solving_on(device: str) -> str:
    """Where a protocol computes: on the device of the forward, but for Apple's (mps), which has no float64."""
    return "cpu" if device == "mps" else device


def _features(request: Request, plan: Plan, cell: Cell, need: Need | TextNeed) -> Features:
    """The stored rows of a need; positions count in the need's own split."""
    if isinstance(need, TextNeed):
        return request.store().read(plan.key_of(need), len(need.texts))
    found = request.store().read(plan.key_of(need), len(whole_of(need)[1]))
    if need.split.origin is not None:
        found = found.view(need.split.origin.positions)
    if found.bad and not request.skip_bad:
        raise BadImageError(
            f"dataset {cell.dataset.name!r}, {need.name}: {bad_images_message(list(found.bad.values()))}"
        )
    return found


def _scores(cell: Cell, result: Result, seed: int | None) -> list[Score]:
    return [score for part in result.parts for score in scores(part, cell.task.metrics, seed)]


def arrays_of(result: Result) -> dict[str, NDArray[Any]]:
    """The headline's arrays by their names, those of other parts that are kept by SUFFIX.NAME."""
    kept = [
        part
        for i, part in enumerate(result.parts)
        if part.outcome is not None and (i == 0 or part.stored)
    ]
    return {
        f"{part.suffix}.{name}" if part.suffix else name: np.asarray(values)
        for part in kept
        if part.outcome is not None
        for name, values in part.outcome.to_arrays().items()
    }


def _identity(plan: Plan, cell: Cell) -> dict[str, Any]:
    known = plan.cards.get(cell.backbone)
    return {
        "key": cell.key,
        "backbone": facts(cell.backbone, known) if known else None,
        "backbone_name": cell.backbone.name,
        "family": cell.backbone.family,
        "task": task_facts(cell.task),
        "dataset_name": cell.dataset.name,
        "provenance": provenance(),
    }


def task_facts(task: TaskSpec) -> TaskFacts:
    """The task as a record tells it."""
    settings = task.settings.model_dump(mode="json")
    return TaskFacts(
        name=task.name,
        version=task.version,
        protocol=task.protocol,
        settings=settings,
        metrics=task.metrics,
    )


def failed(request: Request, plan: Plan, cell: Cell, reason: str) -> Record:
    """The record of a cell that has no scores, and why."""
    return _without_scores(request, plan, cell, "failed", reason)


def not_applicable(request: Request, plan: Plan, cell: Cell, reason: str) -> Record:
    """The record of a cell whose backbone cannot be asked this."""
    return _without_scores(request, plan, cell, "not_applicable", reason)


def _without_scores(request: Request, plan: Plan, cell: Cell, status: str, reason: str) -> Record:
    dataset = plan.datasets.get(cell.dataset.name)
    read = {need.name for need in cell.needs}
    known = (
        dataset_facts(dataset.with_shifts(read), {}, request.limit, cell.dataset.licence)
        if dataset
        else None
    )
    return Record.model_validate(
        {
            **_identity(plan, cell),
            "status": status,
            "reason": reason,
            "dataset": known,
            "seeds": request.seeds,
        }
    )


def dataset_facts(
    dataset: Dataset, bad: Bad, limit: int | None, licence: str | None
) -> DatasetFacts:
    """The dataset as a record tells it, with the shifts that were read."""
    sizes = {name: len(split) for name, split in dataset.splits.items()} | {
        name: len(shift.split) for name, shift in dataset.shifts.items()
    }
    return DatasetFacts(
        name=dataset.name,
        fingerprint=dataset.fingerprint(),
        split_origin=dict(dataset.split_origin),
        classes=len(dataset.classes),
        counts={name: size - len(bad.get(name, {})) for name, size in sizes.items()},
        bad_images={name: list(reasons.values()) for name, reasons in bad.items() if reasons},
        limit=limit,
        licence=licence,
        notes=dataset.notes,
    )


def _cost(request: Request, features: list[Features], probe_seconds: float) -> Cost:
    """The effort of extraction is that of whoever extracted, which the shards remember; on another machine it would differ."""
    total = sum((found.effort for found in features), Effort())
    return Cost(
        device=total.device or request.device,
        device_name=total.device_name or None,
        runtime=total.runtime or None,
        threads=total.threads or torch.get_num_threads(),
        batch_size=total.batch_size or None,
        images=total.images,
        decode_seconds=total.decode_seconds,
        forward_seconds=total.forward_seconds,
        images_per_s=total.images / total.forward_seconds if total.forward_seconds else None,
        decode_images_per_s=total.images / total.decode_seconds if total.decode_seconds else None,
        probe_seconds=probe_seconds,
        pass_peak_mib=total.peak_mib or None,
    )


def facts(spec: BackboneSpec, known: Card) -> BackboneFacts:
    """The card as a record tells it."""
    return BackboneFacts(
        name=spec.name,
        family=spec.family,
        loader=spec.loader,
        architecture=spec.architecture,
        weights=source_in_words(spec.weights),
        weights_hash=known.weights_hash,
        pooling=spec.pooling,
        precision=known.precision,
        width=known.widths[spec.pooling],
        params=known.params,
        gflops=known.gflops,
        weights_mib=known.weights_mib,
        peak_mib=known.peak_mib,
        geometry=dict(known.geometry),
        normalisation={name: tuple(values) for name, values in known.normalisation.items()},
        licence=spec.licence,
        paper=spec.paper,
        pretraining=spec.pretraining,
    )
