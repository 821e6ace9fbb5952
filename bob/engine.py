"""The engine of this process: passes put rows into the feature store, cells turn stored rows into records. Nothing else passes between them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from bob.backbones.backbone import Backbone
from bob.backbones.card import Card, facts, load_backbone
from bob.datasets.dataset import Dataset, Split
from bob.datasets.splits import automatic_test
from bob.errors import BadImageError, BobError, DatasetError
from bob.features.extract import Member, Watcher, auto_batch, bad_images_message, run_pass
from bob.features.store import Effort, Features
from bob.plan import Cell, Plan, Request, feature_key, seeds_of
from bob.protocols import PROTOCOLS
from bob.protocols.protocol import Problem, Result
from bob.provenance import provenance
from bob.recordbook import Arrays
from bob.records import Cost, DatasetFacts, Record, Score, TaskFacts
from bob.scoring import score
from bob.specs import BackboneSpec, DatasetSpec, TaskSpec

WORKSPACE_MIB = 512
"""Memory that a loaded backbone is allowed for activations, besides its weights, when a pass is filled."""
MEMORY_SHARE = 0.6
"""The share of free memory that a pass may fill."""


class Console(Watcher, Protocol):
    """What the engine tells while it works."""

    def pass_begins(self, dataset: str, split: str, images: int, backbones: Sequence[str]) -> None: ...
    def pass_ends(self) -> None: ...
    def cell_ends(self, record: Record) -> None: ...


def run(request: Request, plan: Plan, console: Console) -> list[Record]:
    """Does the plan, dataset by dataset; every cell ends as a record. Stops early only for fail_fast, Ctrl-C or a full disk."""
    records = [_keep(request, console, _failed(request, plan, cell, reason), {}) for cell, reason in plan.broken.items()]
    for name in plan.datasets_to_do():
        if request.fail_fast and any(record.status == "failed" for record in records):
            break
        failures = _extract(request, plan, name, console)
        for cell in (cell for cell in plan.todo if cell.dataset.name == name):
            records.append(_do(request, plan, cell, failures.get(cell.backbone.name), console))
            if request.fail_fast and records[-1].status == "failed":
                break
    return records


def _extract(request: Request, plan: Plan, name: str, console: Console) -> dict[str, str]:
    """Stores what is missing of a dataset's features; backbone → why it failed."""
    failures: dict[str, str] = {}
    for split_name, split in plan.datasets[name].splits.items():
        for group in _passes(request, plan, [spec for spec in plan.backbones_to_do(name) if spec.name not in failures], split_name, split):
            failures |= _one_pass(request, plan, name, split_name, split, group, console)
    return failures


def _passes(request: Request, plan: Plan, specs: Sequence[BackboneSpec], split_name: str, split: Split) -> list[list[BackboneSpec]]:
    """The backbones that lack rows, in groups that fit in memory together."""
    store, free_mib = request.store(), _free_mib(request.device) * MEMORY_SHARE
    groups: list[list[BackboneSpec]] = []
    used_mib = 0.0
    for spec in specs:
        key = feature_key(plan.cards[spec.name], spec.pooling, split_name, split)
        if request.fresh:
            store.forget(key)
        if not store.missing(key, len(split)):
            continue
        needed_mib = plan.cards[spec.name].weights_mib + WORKSPACE_MIB
        if not groups or used_mib + needed_mib > free_mib:
            groups.append([])
            used_mib = 0.0
        groups[-1].append(spec)
        used_mib += needed_mib
    return groups


def _free_mib(device: str) -> float:
    if device.startswith("cuda"):
        return float(torch.cuda.mem_get_info(device)[0]) / 2**20
    return float(psutil.virtual_memory().available) / 2**20


def _one_pass(
    request: Request, plan: Plan, name: str, split_name: str, split: Split, specs: Sequence[BackboneSpec], console: Console
) -> dict[str, str]:
    """Backbone → why it failed in this pass."""
    failures: dict[str, str] = {}
    members = []
    for spec in specs:
        try:
            members.append(_member(request, plan.cards[spec.name], split_name, split, load_backbone(spec, request.device, request.precision, offline=request.offline)))
        except BobError as error:
            failures[spec.name] = str(error)
    console.pass_begins(name, split_name, len(split), [member.backbone.spec.name for member in members])
    try:
        run_pass(split, members, request.store(), console, workers=request.workers, skip_bad=request.skip_bad)
    except BobError as error:
        failures |= {member.backbone.spec.name: f"dataset {name!r}, {split_name}: {error}" for member in members}
    finally:
        console.pass_ends()
    return failures | {member.backbone.spec.name: member.failure for member in members if member.failure}


def _member(request: Request, known: Card, split_name: str, split: Split, backbone: Backbone) -> Member:
    key = feature_key(known, backbone.spec.pooling, split_name, split)
    return Member(backbone, key, request.batch_size or auto_batch(request.device))


def _do(request: Request, plan: Plan, cell: Cell, failure: str | None, console: Console) -> Record:
    """One cell into one record, whatever happens."""
    if failure:
        return _keep(request, console, _failed(request, plan, cell, failure), {})
    try:
        record, arrays = _score(request, plan, cell)
    except BobError as error:
        record, arrays = _failed(request, plan, cell, str(error)), {}
    except Exception as error:  # a failed cell is a failed record; the others go on
        record, arrays = _failed(request, plan, cell, f"{type(error).__name__}: {error}"), {}
    return _keep(request, console, record, arrays)


def _keep(request: Request, console: Console, record: Record, arrays: Arrays) -> Record:
    request.book().write(record, arrays)
    console.cell_ends(record)
    return record


def _score(request: Request, plan: Plan, cell: Cell) -> tuple[Record, dict[str, NDArray[Any]]]:
    dataset, known = plan.datasets[cell.dataset.name], plan.cards[cell.backbone.name]
    features = {name: _features(request, cell, known, name, split) for name, split in dataset.splits.items()}
    seeds = seeds_of(request, cell.task, dataset)
    start = time.perf_counter()
    results = {seed: _solve(cell.task, dataset, features, seed, request.device) for seed in seeds}
    seconds = time.perf_counter() - start
    scores = [one for seed, result in results.items() for one in _scores(cell.task, result, seed if "val" not in dataset.splits else None)]
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


def _features(request: Request, cell: Cell, known: Card, split_name: str, split: Split) -> Features:
    found = request.store().read(feature_key(known, cell.backbone.pooling, split_name, split), len(split))
    if found.bad and not request.skip_bad:
        raise BadImageError(f"dataset {cell.dataset.name!r}, {split_name}: {bad_images_message(list(found.bad.values()))}")
    return found


def _solve(task: TaskSpec, dataset: Dataset, features: Mapping[str, Features], seed: int, device: str) -> Result:
    return PROTOCOLS[task.protocol](problem(dataset, features, task.settings.held_out, seed), task.settings, device)


def problem(dataset: Dataset, features: Mapping[str, Features], held_out: float, seed: int) -> Problem:
    """Features with roles: a val split is held out where there is one, else a stratified share of train that keeps groups and equal images together."""
    train, test = dataset.splits["train"].take(features["train"].positions), dataset.splits["test"].take(features["test"].positions)
    x, y = features["train"].rows, train.y
    if "val" in dataset.splits:
        val = dataset.splits["val"].take(features["val"].positions)
        mask = np.repeat([False, True], [len(train), len(val)])
        x, y = np.concatenate([x, features["val"].rows]), np.concatenate([y, val.y])
    else:
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


def _failed(request: Request, plan: Plan, cell: Cell, reason: str) -> Record:
    dataset = plan.datasets.get(cell.dataset.name)
    return Record(
        **_identity(plan, cell),
        status="failed",
        reason=reason,
        dataset=_dataset_facts(request, cell.dataset, dataset, {}) if dataset else None,
        seeds=request.seeds,
    )


def _dataset_facts(request: Request, spec: DatasetSpec, dataset: Dataset, bad: Mapping[str, Mapping[int, str]]) -> DatasetFacts:
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


def _cost(request: Request, features: Mapping[str, Features], probe_seconds: float) -> Cost:
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
