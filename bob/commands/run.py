"""`bob-bench run`: arguments become a request, a plan, records and a leaderboard."""

import argparse
import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType

from bob.backbones.availability import backbone_unavailable_reason, require_code_permission
from bob.backbones.devices import parse_devices
from bob.commands import race
from bob.commands.arguments import data_options
from bob.commands.leaderboard import publish
from bob.commands.plan_report import print_plan
from bob.commands.recommend import advice_json
from bob.commands.terminal import Terminal
from bob.datasets.availability import dataset_unavailable_reason
from bob.datasets.output_folders import require_apart, require_images_apart
from bob.engine.choose import (
    connect_engine,
    device_of_cluster,
    make_engine,
    require_shareable,
)
from bob.engine.conductor import conduct
from bob.engine.engine import Engine
from bob.errors import FAILED, OK, ConfigError, NotApplicableError
from bob.extraction.passes import auto_workers
from bob.io.files import require_writable
from bob.io.paths import default_cache
from bob.leaderboards.advice import advise
from bob.leaderboards.gather import GatheredRecords
from bob.leaderboards.limits import BackboneLimits
from bob.leaderboards.page.html import PAGE_FILE
from bob.leaderboards.render.conclusion import conclusion_sentences
from bob.leaderboards.render.terminal import to_terminal
from bob.plan import (
    Machine,
    Places,
    Plan,
    Request,
    RunSettings,
    Workspace,
    make_plan,
    make_workspace,
    read_plan,
    specs_to_check,
)
from bob.plan.runtimes import require_stated_runtimes
from bob.records.record import Record
from bob.registry import choose_backbones, choose_datasets, load_registry, select, task_labels

SLURM_ARRAY = "SLURM_ARRAY_TASK_ID"
"""The variable that SLURM sets in each task of an array."""


def run(arguments: argparse.Namespace) -> int:
    """Plan, print the estimated cost, compute, and write the leaderboard.

    Returns FAILED if a cell failed, or if a backbone or dataset that was named exactly is
    unavailable.
    """
    terminal = Terminal(quiet=arguments.quiet or (arguments.json and not arguments.dry_run))
    if arguments.part and not arguments.plan:
        raise ConfigError("--part belongs to --plan FILE, which it divides.")
    if arguments.quiet and arguments.dry_run:
        raise ConfigError("--quiet leaves out the plan, which is all that --dry-run prints.")
    cache = arguments.cache_dir or default_cache()
    require_apart(arguments.data, {"--results": arguments.results, "--cache-dir": cache})
    if not arguments.dry_run:
        # a cache may be read-only where all features are in it
        require_writable(arguments.results)
    race.check_flags(arguments)
    cluster = connect_engine(arguments.engine)
    make = _read_plan if arguments.plan else _make_plan
    plan, workspace, engine = make(arguments, terminal, cluster)
    if arguments.json and arguments.dry_run:
        terminal.write_line(plan.to_json())
        return _exit_code(plan, [])
    print_plan(terminal, plan, workspace)
    _require_cells(plan)
    if arguments.dry_run:
        return _exit_code(plan, [])
    if cluster is None and (arguments.plan or SLURM_ARRAY in os.environ):
        require_shareable(workspace.places, terminal)
    if arguments.race:
        carried_out = race.race_records(arguments, plan, workspace, engine, terminal)
    else:
        carried_out = conduct(plan, workspace, engine, terminal)
    return _finish(arguments, plan, workspace, terminal, carried_out)


def _finish(
    arguments: argparse.Namespace,
    plan: Plan,
    workspace: Workspace,
    terminal: Terminal,
    carried_out: Iterable[Record],
) -> int:
    """Collect the records of a run and write the leaderboard, after an interruption too."""
    records: list[Record] = []
    results = workspace.places.results
    try:
        records += carried_out
    except KeyboardInterrupt:
        publish(terminal, results)
        raise
    workspace.places.records().sweep()
    gathered = publish(terminal, results)
    shown = gathered.with_keys({cell.key for cell in plan.all_cells()})
    if shown.records:
        _print_result(arguments, terminal, shown, results / PAGE_FILE)
    return _exit_code(plan, records)


def _print_result(
    arguments: argparse.Namespace, terminal: Terminal, shown: GatheredRecords, page: Path
) -> None:
    """Print the tables of a run and its conclusion, or the latter as JSON."""
    advice = advise(shown.records, BackboneLimits(), shown.per_example)
    conclusion = conclusion_sentences(advice)
    if arguments.json:
        values = {"page": str(page), "conclusion": conclusion, **advice_json(advice)}
        terminal.write_line(json.dumps(values, indent=1))
        return
    terminal.render(to_terminal(shown.board()))
    terminal.quiet = False
    if arguments.quiet:
        terminal.print_written([page])
    for sentence in conclusion:
        terminal.print(sentence)
    if not arguments.quiet:
        terminal.print(f"Charts, and how each number was made: {page}")


def _make_plan(
    arguments: argparse.Namespace, terminal: Terminal, cluster: ModuleType | None
) -> tuple[Plan, Workspace, Engine]:
    """Make the plan of the arguments, with its workspace and its engine."""
    request = make_request(arguments, cluster)
    if arguments.race:
        request = race.raceable(request, terminal)
    if arguments.dry_run and not request.machine.offline:
        report = terminal.note if arguments.json else terminal.print
        request = _without_downloads(report, request)
    if not arguments.json:
        terminal.print("preparing backbones: each is checked when this machine first loads it")
    workspace = make_workspace(request)
    engine = make_engine(cluster, workspace, arguments.workers, terminal)
    if workspace.card_source:
        workspace.add_cards(workspace.card_source(specs_to_check(request, workspace)))
    with terminal.checking() as workspace.report_check:
        plan = make_plan(request, workspace)
    workspace.report_check = None
    return plan, workspace, engine


def _read_plan(
    arguments: argparse.Namespace, terminal: Terminal, cluster: ModuleType | None
) -> tuple[Plan, Workspace, Engine]:
    """Read a plan, or one part of it; its settings replace those of the command line."""
    path: Path = arguments.plan
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--plan {str(path)!r}: cannot be read ({error}).") from error
    plan = read_plan(text, f"--plan {str(path)!r}")
    if arguments.part:
        plan = plan.part(*arguments.part)
    require_code_permission(list(plan.backbones.values()), arguments.allow_code)
    places = Places(arguments.cache_dir or default_cache(), arguments.results)
    for spec in plan.datasets.values():
        require_images_apart(spec, {"results": places.results, "cache": places.cache})
    machine = _machine(arguments, plan.settings.precision, cluster)
    require_stated_runtimes(plan, machine)
    workspace = Workspace(places, plan.settings, machine, plan.datasets)
    engine = make_engine(cluster, workspace, arguments.workers, terminal)
    if workspace.card_source:
        workspace.add_cards(workspace.card_source(plan.specs_to_check()))
    return plan, workspace, engine


def make_request(arguments: argparse.Namespace, cluster: ModuleType | None = None) -> Request:
    """Return the arguments as plain values, with names resolved in the registries."""
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    machine = _machine(arguments, arguments.precision, cluster)
    backbones = choose_backbones(arguments.backbones, registry)
    require_code_permission([chosen.spec for chosen in backbones], arguments.allow_code)
    tasks = [chosen.spec for chosen in select(arguments.tasks, registry.tasks, "task", task_labels)]
    return Request(
        backbones=backbones,
        tasks=tasks,
        datasets=choose_datasets(
            arguments.datasets,
            arguments.data,
            tasks,
            registry,
            data_options(arguments),
        ),
        entries=registry.datasets,
        places=Places(arguments.cache_dir or default_cache(), arguments.results),
        settings=RunSettings(
            precision=arguments.precision,
            preprocessing=arguments.preprocessing,
            alpha=arguments.alpha,
            stored=arguments.store_dtype,
            limit=arguments.limit,
            seeds=arguments.seeds,
            skip_bad=arguments.skip_bad_images,
            fresh=arguments.fresh,
        ),
        machine=machine,
        max_params=arguments.max_params,
    )


def _machine(
    arguments: argparse.Namespace, precision: str, cluster: ModuleType | None = None
) -> Machine:
    devices = (
        tuple(parse_devices(arguments.device, precision))
        if cluster is None
        else (device_of_cluster(cluster, arguments.device),)
    )
    return Machine(
        devices=devices,
        scoring_device=None if cluster is None else "cpu",
        is_remote=cluster is not None,
        batch_size=arguments.batch_size,
        workers=arguments.workers or auto_workers(),
        runtime=arguments.runtime,
        shares_runtimes=cluster is not None or arguments.plan is not None,
        offline=arguments.offline,
        fail_fast=arguments.fail_fast,
    )


def _without_downloads(report: Callable[[str], None], request: Request) -> Request:
    """Return the request without entries that need a download, and report their names."""
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
        report(
            "not on this machine, to be downloaded first, and not in this plan: "
            f"{', '.join(sorted(absent))}"
        )
    return dataclasses.replace(request, backbones=here, datasets=datasets)


def _require_cells(plan: Plan) -> None:
    """Raise NotApplicableError if no requested task applies to a dataset."""
    if plan.unsuited and not plan.skipped and not any(plan.all_cells()):
        raise NotApplicableError("no task applies to the datasets; see the reasons above.")


def _exit_code(plan: Plan, records: Sequence[Record]) -> int:
    is_missing = any(skip.exact for skip in plan.skipped)
    failed = bool(plan.failed) or any(record.status == "failed" for record in records)
    return FAILED if is_missing or failed else OK
