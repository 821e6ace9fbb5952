"""`bob-bench run`: arguments become a request, a plan, records and a leaderboard."""

import argparse
import dataclasses
import re
from collections.abc import Mapping, Sequence

from bob.backbones.availability import backbone_unavailable_reason, require_code_permission
from bob.commands.arguments import local_datasets, parse_devices
from bob.commands.leaderboard import publish
from bob.commands.terminal import Terminal, counted, duration
from bob.datasets.availability import dataset_unavailable_reason
from bob.engine.estimate import estimate
from bob.engine.local import run as run_plan
from bob.errors import FAILED, OK
from bob.extraction.passes import auto_workers
from bob.io.files import require_writable
from bob.io.paths import default_cache
from bob.leaderboard.render.terminal import to_terminal
from bob.plan import Plan, Request, Skip, make_plan
from bob.records.record import Record
from bob.registry import (
    Registry,
    Selected,
    backbone_labels,
    dataset_labels,
    load_registry,
    select,
    task_labels,
)
from bob.specs import BackboneSpec, DatasetSpec, TaskSpec

SKIPS_LISTED = 3
"""Number of skips for similar reasons up to which each is printed on a line of its own."""
_NAMES = re.compile(r"'[^']*'|\([^)]*\)|https?://\S+")
"""Names and addresses, by which similar reasons differ."""


def run(arguments: argparse.Namespace) -> int:
    """Plan, print the estimated cost, compute, and write the leaderboard.

    Returns FAILED if a cell failed, or if a backbone or dataset that was named exactly is
    unavailable.
    """
    terminal = Terminal()
    request = make_request(arguments)
    if arguments.dry_run:
        request = request if request.offline else _without_downloads(terminal, request)
    else:
        require_writable(request.results)  # a cache may be read-only where all features are in it
    terminal.print("preparing backbones: each is checked when this machine first loads it")
    plan = make_plan(request)
    _print_plan(terminal, request, plan)
    if arguments.dry_run:
        return _exit_code(plan, [])
    try:
        records = run_plan(request, plan, terminal)
    except KeyboardInterrupt:
        publish(terminal, request.results)
        raise
    gathered = publish(terminal, request.results)
    requested = {cell.key for cell in (*plan.done, *plan.todo)} | {
        cell.key for cell, _ in (*plan.broken, *plan.not_applicable)
    }
    shown = gathered.with_keys(requested)
    if shown.records:
        terminal.render(to_terminal(shown.board()))
    return _exit_code(plan, records)


def make_request(arguments: argparse.Namespace) -> Request:
    """Return the arguments as plain values, with names resolved in the registries."""
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    device, *more_devices = parse_devices(arguments.device, arguments.precision)
    tasks = [chosen.spec for chosen in select(arguments.tasks, registry.tasks, "task", task_labels)]
    return Request(
        backbones=_backbones(arguments, registry),
        tasks=tasks,
        datasets=_datasets(arguments, registry, tasks),
        entries=registry.datasets,
        cache=arguments.cache_dir or default_cache(),
        results=arguments.results,
        device=device,
        more_devices=tuple(more_devices),
        precision=arguments.precision,
        runtime=arguments.runtime,
        preprocessing=arguments.preprocessing,
        stored=arguments.store_dtype,
        batch_size=arguments.batch_size,
        workers=arguments.workers or auto_workers(),
        limit=arguments.limit,
        max_params=arguments.max_params,
        seeds=arguments.seeds,
        offline=arguments.offline,
        fresh=arguments.fresh,
        skip_bad=arguments.skip_bad_images,
        fail_fast=arguments.fail_fast,
    )


def _without_downloads(terminal: Terminal, request: Request) -> Request:
    """Return the request without what a run would have to download, and print what that is."""
    here = [
        chosen for chosen in request.backbones if backbone_unavailable_reason(chosen.spec) is None
    ]
    datasets = {
        task: [chosen for chosen in several if dataset_unavailable_reason(chosen.spec) is None]
        for task, several in request.datasets.items()
    }
    absent = {chosen.spec.name for chosen in request.backbones} - {
        chosen.spec.name for chosen in here
    }
    absent |= {
        chosen.spec.name
        for several in request.datasets.values()
        for chosen in several
        if dataset_unavailable_reason(chosen.spec)
    }
    if absent:
        terminal.print(
            "not on this machine, to be downloaded first, and not in this plan: "
            f"{', '.join(sorted(absent))}"
        )
    return dataclasses.replace(request, backbones=here, datasets=datasets)


def _backbones(arguments: argparse.Namespace, registry: Registry) -> list[Selected[BackboneSpec]]:
    if arguments.backbones is None:
        chosen = [
            Selected(spec, False)
            for spec in registry.backbones.values()
            if backbone_unavailable_reason(spec) is None
        ]
    else:
        chosen = select(arguments.backbones, registry.backbones, "backbone", backbone_labels)
    require_code_permission([one.spec for one in chosen], arguments.allow_code)
    return chosen


def _datasets(
    arguments: argparse.Namespace, registry: Registry, tasks: Sequence[TaskSpec]
) -> Mapping[str, Sequence[Selected[DatasetSpec]]]:
    """Return the datasets of each task.

    Named datasets and those of `--data` go to every task; without them each task has its own.
    """
    own = local_datasets(arguments.data, registry)
    named = (
        []
        if arguments.datasets is None
        else select(arguments.datasets, registry.datasets, "dataset", dataset_labels)
    )
    if own or named:
        return {task.name: [*named, *own] for task in tasks}
    return {task.name: _own_datasets(task, registry) for task in tasks}


def _own_datasets(task: TaskSpec, registry: Registry) -> list[Selected[DatasetSpec]]:
    """Return the datasets of a task's file.

    They were not named on the command line, so that unavailable ones are skipped.
    """
    chosen = select(",".join(task.datasets), registry.datasets, "dataset", dataset_labels)
    return [Selected(one.spec, exact=False) for one in chosen]


def _not_applicable(plan: Plan) -> list[str]:
    """Return one line per reason, with the names of the backbones it applies to."""
    names: dict[str, set[str]] = {}
    for cell, reason in plan.not_applicable:
        names.setdefault(reason, set()).add(cell.backbone.name)
    return [f"{reason} {', '.join(sorted(backbones))}" for reason, backbones in names.items()]


def _print_plan(terminal: Terminal, request: Request, plan: Plan) -> None:
    for skip in plan.skipped:
        if skip.exact:
            terminal.error(f"missing: {skip.reason}")
    for text in skips_text([skip for skip in plan.skipped if not skip.exact]):
        terminal.note(f"skipped: {text}")
    if plan.too_large:
        terminal.note(f"excluded by --max-params: {', '.join(plan.too_large)}")
    for reason in dict.fromkeys(reason for _, reason in plan.broken):
        terminal.error(reason)
    for reason in (*plan.unsuited, *_not_applicable(plan)):
        terminal.note(f"not applicable: {reason}")
    for name in plan.datasets_to_do():
        for note in plan.datasets[name].notes:
            terminal.note(f"dataset {name}: {note}")
    sizes = [
        counted(len(plan.backbones), "backbone"),
        counted(len(request.tasks), "task"),
        counted(len(plan.datasets), "dataset"),
    ]
    terminal.print(
        f"plan: {' × '.join(sizes)} on {request.device}: "
        f"{counted(len(plan.todo), 'cell')} to do, {len(plan.done)} done"
    )
    if not (plan.backbones or plan.broken):
        terminal.note("no backbone to run; `bob-bench list backbones` shows those on this machine")
    if plan.todo:
        expected = estimate(request, plan)
        mib = f"{expected.disk_bytes / 2**20:.0f} MiB of features"
        terminal.print(
            f"      {expected.images_to_decode:,} images to decode, "
            f"{expected.images_to_embed:,} rows to embed, {mib}; "
            f"estimated time {duration(expected.seconds)}"
        )


def skips_text(skips: Sequence[Skip]) -> list[str]:
    """Return one line per skip, or one for all skips whose reasons differ in names only."""
    groups: dict[str, list[Skip]] = {}
    for skip in skips:
        groups.setdefault(f"{skip.kind} {_NAMES.sub('', skip.reason)}", []).append(skip)
    return [text for group in groups.values() for text in _similar_skips_text(group)]


def _similar_skips_text(skips: Sequence[Skip]) -> list[str]:
    if len(skips) <= SKIPS_LISTED:
        return [skip.reason for skip in skips]
    first, *others = skips
    return [
        f"{len(skips)} {first.kind}s for similar reasons, such as: {first.reason} "
        f"The others: {', '.join(skip.name for skip in others)}"
    ]


def _exit_code(plan: Plan, records: Sequence[Record]) -> int:
    is_missing = any(skip.exact for skip in plan.skipped)
    failed = bool(plan.broken) or any(record.status == "failed" for record in records)
    return FAILED if is_missing or failed else OK
