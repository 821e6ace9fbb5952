"""The engine of this process: passes put rows into the feature store, cells turn stored rows into records. Nothing else passes between them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import psutil
import torch

from bob.backbones.backbone import Backbone
from bob.backbones.card import load_backbone, speed_memory
from bob.backbones.fold import fold
from bob.engine.cell import assess, failed, not_applicable
from bob.errors import BobError
from bob.extraction.passes import Member, run_pass
from bob.extraction.progress import Watcher
from bob.extraction.texts import store_texts
from bob.features.inventory import About, describe, in_use
from bob.plan import Cell, Plan, Request, unpooled, whole_of
from bob.records.record import Record
from bob.records.store import Arrays
from bob.specs import BackboneSpec
from bob.wiring import Need, TextNeed

Failures = dict[BackboneSpec, str]
"""A forward that failed → why."""
WORKSPACE_MIB = 512
"""Memory that a loaded backbone is allowed for activations, besides its weights, when a pass is filled."""
MEMORY_SHARE = 0.6
"""The share of free memory that a pass may fill."""


class Console(Watcher, Protocol):
    """What the engine tells while it works."""

    def pass_begins(
        self, dataset: str, split: str, images: int, backbones: Sequence[str]
    ) -> None: ...
    def pass_ends(self) -> None: ...
    def cell_ends(self, record: Record) -> None: ...


def run(request: Request, plan: Plan, console: Console) -> list[Record]:
    """Does the plan, dataset by dataset; every cell ends as a record. Stops early only for fail_fast, Ctrl-C or a full disk."""
    with in_use(
        request.store().root, {plan.key_of(need) for cell in plan.todo for need in cell.needs}
    ):
        return _run(request, plan, console)


def _run(request: Request, plan: Plan, console: Console) -> list[Record]:
    for cell, reason in plan.not_applicable:
        _keep(request, None, not_applicable(request, plan, cell, reason), {})
    records = [
        _keep(request, None, failed(request, plan, cell, reason), {})
        for cell, reason in plan.broken
    ]
    forgotten: set[str] = set()
    for name in plan.datasets_to_do():
        if request.fail_fast and any(record.status == "failed" for record in records):
            break
        if request.fresh:
            _forget(request, plan, name, forgotten)
        failures = _embed_images(request, plan, name, console)
        failures |= _embed_texts(request, plan, name, failures)
        for cell in (cell for cell in plan.todo if cell.dataset.name == name):
            failure = next(
                (
                    failures[seen]
                    for need in cell.needs
                    if (seen := unpooled(need.backbone)) in failures
                ),
                None,
            )
            records.append(_do(request, plan, cell, failure, console))
            if request.fail_fast and records[-1].status == "failed":
                break
    return records


def _forget(request: Request, plan: Plan, name: str, forgotten: set[str]) -> None:
    """Removes the stored rows that the dataset's cells need, each key once per run."""
    needs: list[Need | TextNeed] = [
        need for together in plan.image_needs(name).values() for need in together
    ]
    for key in map(plan.key_of, [*needs, *plan.text_needs(name)]):
        if key.digest() not in forgotten:
            request.store().forget(key)
            forgotten.add(key.digest())


def _embed_images(request: Request, plan: Plan, name: str, console: Console) -> Failures:
    """Stores what is missing of the rows that a dataset's cells need."""
    failures: Failures = {}
    for needs in plan.image_needs(name).values():
        open_needs = [
            need
            for need in needs
            if unpooled(need.backbone) not in failures and _lacks_rows(request, plan, need)
        ]
        for group in _passes(request, plan, open_needs):
            failures |= _one_pass(request, plan, name, group, console)
    return failures


def _lacks_rows(request: Request, plan: Plan, need: Need) -> bool:
    return bool(request.store().missing(plan.key_of(need), len(whole_of(need)[1])))


def _passes(request: Request, plan: Plan, needs: Sequence[Need]) -> list[list[list[Need]]]:
    """The needs of each forward, in passes whose backbones fit in memory together."""
    forwards: dict[BackboneSpec, list[Need]] = {}
    for need in needs:
        forwards.setdefault(unpooled(need.backbone), []).append(need)
    free_mib, used_mib = _free_mib(request.device) * MEMORY_SHARE, 0.0
    passes: list[list[list[Need]]] = []
    for poolings in forwards.values():
        needed_mib = plan.cards[poolings[0].backbone].weights_mib + WORKSPACE_MIB
        if not passes or used_mib + needed_mib > free_mib:
            passes.append([])
            used_mib = 0.0
        passes[-1].append(poolings)
        used_mib += needed_mib
    return passes


def _free_mib(device: str) -> float:
    if device.startswith("cuda"):
        return float(torch.cuda.mem_get_info(device)[0]) / 2**20
    return float(psutil.virtual_memory().available) / 2**20


def _one_pass(
    request: Request, plan: Plan, name: str, forwards: Sequence[Sequence[Need]], console: Console
) -> Failures:
    """Every image of one split is decoded once for all these backbones; those that failed, with the reason."""
    failures: Failures = {}
    members: dict[BackboneSpec, Member] = {}
    split_name, split = whole_of(forwards[0][0])
    for poolings in forwards:
        spec = unpooled(poolings[0].backbone)
        try:
            members[spec] = _member(request, plan, poolings)
        except BobError as error:
            failures[spec] = str(error)
    console.pass_begins(name, split_name, len(split), [spec.name for spec in members])
    for spec, member in members.items():
        for pooling, key in member.keys.items():
            describe(
                request.store(), key, About(f"{spec.name} {pooling}", name, split_name, len(split))
            )
    try:
        run_pass(
            split,
            list(members.values()),
            request.store(),
            console,
            workers=request.workers,
            skip_bad=request.skip_bad,
        )
    except BobError as error:
        failures |= dict.fromkeys(members, f"dataset {name!r}, {split_name}: {error}")
    except (
        Exception
    ) as error:  # a reader's own code can raise anything, and must not take the other datasets down
        failures |= {
            spec: f"dataset {name!r}, {split_name}: {type(error).__name__}: {error}"
            for spec in members
        }
    finally:
        console.pass_ends()
    return failures | {spec: member.failure for spec, member in members.items() if member.failure}


def _member(request: Request, plan: Plan, needs: Sequence[Need]) -> Member:
    spec = needs[0].backbone
    one, *more = (
        _ready(request, spec, device) for device in (request.device, *request.more_devices)
    )
    return Member(
        backbone=one,
        keys={need.backbone.pooling: plan.key_of(need) for need in needs},
        batch_size=request.batch_size,
        replicas=more,
        runtime=request.runtime,
        memory=speed_memory(
            spec, request.cache, request.device, request.precision, offline=request.offline
        ),
    )


def _ready(request: Request, spec: BackboneSpec, device: str) -> Backbone:
    """The backbone as passes run it."""
    backbone = load_backbone(spec, device, request.precision, offline=request.offline)
    backbone.geometry = replace(backbone.geometry, fast=request.preprocessing == "fast")
    fold(backbone)
    return backbone


def _embed_texts(request: Request, plan: Plan, name: str, failures: Failures) -> Failures:
    """Stores the rows of sentences that a dataset's cells need; the backbones that failed, with the reason."""
    failed_now: Failures = {}
    for need in plan.text_needs(name):
        spec = unpooled(need.backbone)
        if (
            spec in failures
            or spec in failed_now
            or not request.store().missing(plan.key_of(need), len(need.texts))
        ):
            continue
        try:
            backbone = load_backbone(
                need.backbone, request.device, request.precision, offline=request.offline
            )
            store_texts(request.store(), plan.key_of(need), backbone, need.texts)
        except BobError as error:
            failed_now[spec] = str(error)
        except Exception as error:  # as above: a text tower's own code
            failed_now[spec] = (
                f"backbone {spec.name!r}: failed while embedding text: {type(error).__name__}: {error}"
            )
    return failed_now


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
