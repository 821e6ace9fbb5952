"""The engine of this process: passes put rows into the feature store, cells turn stored rows into records. Nothing else passes between them."""

from collections.abc import Sequence
from typing import Protocol

import psutil
import torch

from bob.assess import assess, failed
from bob.backbones.card import load_backbone
from bob.backbones.fold import fold
from bob.datasets.dataset import Split
from bob.errors import BobError
from bob.features.extract import Member, Watcher, auto_batch, run_pass
from bob.plan import Cell, Plan, Request, feature_key
from bob.recordbook import Arrays
from bob.records import Record
from bob.specs import BackboneSpec

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
    records = [_keep(request, None, failed(request, plan, cell, reason), {}) for cell, reason in plan.broken.items()]
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
            members.append(_member(request, plan, spec, split_name, split))
        except BobError as error:
            failures[spec.name] = str(error)
    console.pass_begins(name, split_name, len(split), [member.backbone.spec.name for member in members])
    try:
        run_pass(split, members, request.store(), console, workers=request.workers, skip_bad=request.skip_bad)
    except BobError as error:
        failures |= {member.backbone.spec.name: f"dataset {name!r}, {split_name}: {error}" for member in members}
    except Exception as error:  # a reader's own code can raise anything, and must not take the other datasets down
        failures |= {member.backbone.spec.name: f"dataset {name!r}, {split_name}: {type(error).__name__}: {error}" for member in members}
    finally:
        console.pass_ends()
    return failures | {member.backbone.spec.name: member.failure for member in members if member.failure}


def _member(request: Request, plan: Plan, spec: BackboneSpec, split_name: str, split: Split) -> Member:
    backbone = load_backbone(spec, request.device, request.precision, offline=request.offline)
    fold(backbone)
    return Member(backbone, feature_key(plan.cards[spec.name], spec.pooling, split_name, split), request.batch_size or auto_batch(request.device))


def _do(request: Request, plan: Plan, cell: Cell, failure: str | None, console: Console) -> Record:
    """One cell into one record, whatever happens."""
    if failure:
        return _keep(request, console, failed(request, plan, cell, failure), {})
    try:
        record, arrays = assess(request, plan, cell)
    except BobError as error:
        record, arrays = failed(request, plan, cell, str(error)), {}
    except Exception as error:  # a failed cell is a failed record; the others go on
        record, arrays = failed(request, plan, cell, f"{type(error).__name__}: {error}"), {}
    return _keep(request, console, record, arrays)


def _keep(request: Request, console: Console | None, record: Record, arrays: Arrays) -> Record:
    request.book().write(record, arrays)
    if console:
        console.cell_ends(record)
    return record
