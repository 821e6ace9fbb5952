"""`bob-bench run` and `bob-bench leaderboard`: from flags to a request, a plan, the engine, and the leaderboard's files."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence

import torch

from bob.availability import backbone_absence
from bob.console import Terminal, duration
from bob.datasets.availability import availability as dataset_absence
from bob.datasets.open import from_data_flag
from bob.engine import run as run_plan
from bob.errors import FAILED, OK, ConfigError
from bob.features.extract import auto_workers
from bob.leaderboard.terminal import to_terminal
from bob.leaderboard.write import write_leaderboard
from bob.paths import default_cache
from bob.plan import Plan, Request, estimate, make_plan
from bob.recordbook import RecordBook
from bob.records import Record
from bob.registry import Chosen, Registry, backbone_labels, dataset_labels, load_registry, select, task_labels
from bob.specs import BackboneSpec, DatasetSpec, TaskSpec


def run(arguments: argparse.Namespace) -> int:
    """Plans, says what it will take, does it, writes the leaderboard. The exit code tells whether everything asked for was had."""
    terminal = Terminal()
    request = make_request(arguments)
    if arguments.dry_run and not request.offline:
        request = _without_downloads(terminal, request)
    terminal.say("preparing backbones: each is loaded and checked when this machine first meets it")
    plan = make_plan(request)
    _tell_plan(terminal, request, plan)
    if arguments.dry_run:
        return _exit_code(plan, [])
    try:
        records = run_plan(request, plan, terminal)
    except KeyboardInterrupt:
        write_leaderboard(request.book().read_all()[0], request.results)
        raise
    everything = _publish(terminal, request.book())
    asked = {cell.key for cell in (*plan.done, *plan.todo, *plan.broken)}
    if shown := [record for record in everything if record.key in asked]:
        terminal.show(to_terminal(shown))
    return _exit_code(plan, records)


def leaderboard(arguments: argparse.Namespace) -> int:
    """Writes the leaderboard from the records that there are."""
    terminal = Terminal()
    records = _publish(terminal, RecordBook(arguments.results))
    if not records:
        raise ConfigError(f"{arguments.results}: holds no records; run `bob-bench run` first, or name the folder with --results.")
    terminal.show(to_terminal(records))
    return OK


def make_request(arguments: argparse.Namespace) -> Request:
    """Flags as plain values, with names resolved in the registries."""
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    device = _device(arguments.device)
    tasks = [chosen.spec for chosen in select(arguments.tasks, registry.tasks, "task", task_labels)]
    return Request(
        backbones=_backbones(arguments, registry),
        tasks=tasks,
        datasets=_datasets(arguments, registry, tasks),
        cache=arguments.cache_dir or default_cache(),
        results=arguments.results,
        device=device,
        precision=arguments.precision,
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
    """What is on this machine; a dry run tells what would be downloaded and downloads nothing."""
    here = [chosen for chosen in request.backbones if backbone_absence(chosen.spec) is None]
    datasets = {task: [chosen for chosen in several if dataset_absence(chosen.spec) is None] for task, several in request.datasets.items()}
    absent = {chosen.spec.name for chosen in request.backbones} - {chosen.spec.name for chosen in here}
    absent |= {chosen.spec.name for several in request.datasets.values() for chosen in several if dataset_absence(chosen.spec)}
    if absent:
        terminal.say(f"not on this machine, to be obtained first, and not in this plan: {', '.join(sorted(absent))}")
    return dataclasses.replace(request, backbones=here, datasets=datasets)


def _backbones(arguments: argparse.Namespace, registry: Registry) -> list[Chosen[BackboneSpec]]:
    if arguments.backbones is None:
        return [Chosen(spec, False) for spec in registry.backbones.values() if backbone_absence(spec) is None]
    return select(arguments.backbones, registry.backbones, "backbone", backbone_labels)


def _datasets(arguments: argparse.Namespace, registry: Registry, tasks: Sequence[TaskSpec]) -> Mapping[str, Sequence[Chosen[DatasetSpec]]]:
    """Named datasets and one's own images go to every task; otherwise each task has its own."""
    own = [Chosen(from_data_flag(path), True) for path in arguments.data]
    if clash := [chosen.spec.name for chosen in own if chosen.spec.name in registry.datasets]:
        raise ConfigError(f"--data: {clash[0]!r} is the name of a registered dataset; rename the folder or table.")
    named = select(arguments.datasets, registry.datasets, "dataset", dataset_labels) if arguments.datasets else []
    if own or named:
        return {task.name: [*named, *own] for task in tasks}
    return {task.name: _own_datasets(task, registry) for task in tasks}


def _own_datasets(task: TaskSpec, registry: Registry) -> list[Chosen[DatasetSpec]]:
    """The datasets of a task's file; nobody named them on the command line, so what is absent is skipped."""
    chosen = select(",".join(task.datasets), registry.datasets, "dataset", dataset_labels)
    return [Chosen(one.spec, exact=False) for one in chosen]


def _device(asked: str) -> str:
    """The device, checked; float32 means float32 on it, so that rows agree between devices."""
    torch.backends.cudnn.allow_tf32 = False
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=asked)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"--device {asked!r} is not usable here ({str(error).splitlines()[0]}); use auto or cpu.") from error
    return asked


def _tell_plan(terminal: Terminal, request: Request, plan: Plan) -> None:
    for skip in plan.skipped:
        (terminal.complain if skip.exact else terminal.warn)(f"{'missing' if skip.exact else 'skipped'}: {skip.reason}")
    for reason in dict.fromkeys(plan.broken.values()):
        terminal.complain(reason)
    names = [f"{len(plan.cards)} backbones", f"{len(request.tasks)} tasks", f"{len(plan.datasets)} datasets"]
    terminal.say(f"plan: {' × '.join(names)} on {request.device}: {len(plan.todo)} cells to do, {len(plan.done)} done")
    if plan.todo:
        expected = estimate(request, plan)
        what = f"{expected.images_to_embed:,} rows to embed, {expected.disk_bytes / 2**20:.0f} MiB of features"
        terminal.say(f"      {what}; takes about {duration(expected.seconds)} here")


def _publish(terminal: Terminal, book: RecordBook) -> list[Record]:
    records, damaged = book.read_all()
    for problem in damaged:
        terminal.warn(problem)
    if records:
        terminal.written(write_leaderboard(records, book.results))
    return records


def _exit_code(plan: Plan, records: Sequence[Record]) -> int:
    lacking = any(skip.exact for skip in plan.skipped)
    failed = bool(plan.broken) or any(record.status == "failed" for record in records)
    return FAILED if lacking or failed else OK
