"""`bob-bench reproduce`: one record is computed again from the images on, and compared."""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from bob.backbones.availability import require_code_permission
from bob.backbones.devices import parse_devices
from bob.commands.terminal import Terminal
from bob.datasets.content.images import DEFAULT_ALPHA
from bob.datasets.own import recorded_spec
from bob.engine.conductor import conduct
from bob.engine.local import LocalEngine
from bob.errors import FAILED, OK, ConfigError
from bob.extraction.passes import auto_workers
from bob.io.paths import default_cache
from bob.leaderboards.render.text import MISSING
from bob.plan import (
    Machine,
    Places,
    Plan,
    Request,
    RunSettings,
    Workspace,
    make_plan,
    make_workspace,
)
from bob.records.differences import (
    Difference,
    ScorePair,
    environment_differences,
    input_differences,
    score_pairs,
)
from bob.records.record import PRECOMPUTED, Record
from bob.records.store import RecordStore
from bob.registry import Registry, Selected, load_registry
from bob.specs import BackboneSpec, DatasetSpec, TaskSpec

STORED = ("float32", "float16")
"""Data types of stored features, which a record does not state: its key decides between them."""


def run(arguments: argparse.Namespace) -> int:
    """Recompute a record. Returns FAILED if a score differs."""
    terminal = Terminal()
    recorded = RecordStore(arguments.results).with_prefix(
        arguments.record, lambda record: recorded_spec(record, arguments.data) is not None
    )
    with tempfile.TemporaryDirectory(prefix="bob-bench-") as scratch:
        new = _recompute(recorded, arguments, Path(scratch), terminal)
    return _report(terminal, recorded, new)


def _recompute(
    recorded: Record, arguments: argparse.Namespace, scratch: Path, terminal: Terminal
) -> Record:
    """Compute the record of the same inputs again. Everything is stored in `scratch`."""
    plan, workspace = _plan(recorded, arguments, scratch)
    if missing := [skip.reason for skip in plan.skipped]:
        raise ConfigError("\n".join(missing))
    list(conduct(plan, workspace, LocalEngine(workspace), terminal))
    records, _ = RecordStore(scratch / "results").read_all()
    if not records:
        raise ConfigError(f"the task is not applicable: {'; '.join(plan.unsuited)}")
    return records[0]


def _plan(recorded: Record, arguments: argparse.Namespace, scratch: Path) -> tuple[Plan, Workspace]:
    """Return the plan of one cell; of two data types the one that gives the record's key."""
    plans = []
    for stored in STORED:
        request = _request(recorded, arguments, scratch, stored)
        workspace = make_workspace(request)
        plan = make_plan(request, workspace)
        plans.append((plan, workspace))
        if recorded.key in {cell.key for cell in plan.all_cells()}:
            return plan, workspace
    return plans[0]


def _request(
    recorded: Record, arguments: argparse.Namespace, scratch: Path, stored: str
) -> Request:
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    task, backbone, dataset = _specs(recorded, registry, arguments)
    require_code_permission([backbone], arguments.allow_code)
    facts, images, cost = recorded.backbone, recorded.dataset, recorded.cost
    precision = facts.precision if facts else "float32"
    geometry = facts.geometry if facts else {}
    runtime = cost.runtime if cost and cost.runtime else "auto"
    return Request(
        backbones=[Selected(backbone, exact=True)],
        tasks=[task],
        datasets={task.name: [Selected(dataset, exact=True)]},
        entries=registry.datasets,
        places=Places(
            arguments.cache_dir or default_cache(), scratch / "results", scratch / "features"
        ),
        settings=RunSettings.model_validate(
            {
                "precision": precision,
                "preprocessing": geometry.get("preprocessing", "exact"),
                "alpha": images.alpha if images and images.alpha else DEFAULT_ALPHA,
                "stored": stored,
                "limit": images.limit if images else None,
                "seeds": recorded.seeds,
                "skip_bad": bool(images and images.bad_images),
            }
        ),
        machine=Machine(
            devices=tuple(parse_devices(arguments.device, precision)),
            batch_size=cost.batch_size if cost else None,
            workers=auto_workers(),
            runtime="auto" if "+" in runtime else runtime,
            offline=arguments.offline,
        ),
    )


def _specs(
    recorded: Record, registry: Registry, arguments: argparse.Namespace
) -> tuple[TaskSpec, BackboneSpec, DatasetSpec]:
    """Return the entries of a record's task, backbone and dataset."""
    if recorded.backbone and recorded.backbone.output == PRECOMPUTED:
        raise ConfigError(
            f"record {recorded.key[:16]} was computed from a file of features; "
            "`bob-bench evaluate FILE --fresh` computes it again."
        )
    own = recorded_spec(recorded, arguments.data)
    datasets = {**registry.datasets, **({own.name: own} if own else {})}
    for kind, name, entries, remedy in (
        ("task", recorded.task.name, registry.tasks, "--tasks-dir DIR"),
        ("backbone", recorded.backbone_name, registry.backbones, "--registry FILE"),
        ("dataset", recorded.dataset_name, datasets, "--data PATH or --tasks-dir DIR"),
    ):
        if name not in entries:
            raise ConfigError(
                f"{kind} {name!r} of record {recorded.key[:16]} is not in the registry; "
                f"give {remedy}."
            )
    return (
        registry.tasks[recorded.task.name],
        registry.backbones[recorded.backbone_name],
        datasets[recorded.dataset_name],
    )


def _report(terminal: Terminal, recorded: Record, new: Record) -> int:
    """Print scores and differences; FAILED unless all scores are identical."""
    pairs = score_pairs(recorded, new)
    terminal.render(_table(pairs))
    inputs = input_differences(recorded, new)
    _print_differences(terminal, "inputs that differ from the record's", inputs)
    environment = environment_differences(recorded, new)
    _print_differences(terminal, "environment that differs from the record's", environment)
    if (recorded.status, recorded.reason) != (new.status, new.reason):
        terminal.error(f"the record is {_status(recorded)}, the new one {_status(new)}")
        return FAILED
    differing = [pair for pair in pairs if not pair.is_identical]
    if differing:
        terminal.error(f"{len(differing)} of {len(pairs)} scores differ")
        return FAILED
    terminal.print(f"all {len(pairs)} scores are identical to the recorded ones")
    return OK


def _status(record: Record) -> str:
    return f"{record.status} ({record.reason})" if record.reason else record.status


def _table(pairs: list[ScorePair]) -> Table:
    table = Table("metric", "part", "seed", "recorded", "new", "difference")
    for pair in pairs:
        table.add_row(
            pair.metric,
            ", ".join(f"{name} {value}" for name, value in pair.facets.items()),
            MISSING if pair.seed is None else str(pair.seed),
            _number(pair.recorded),
            _number(pair.new),
            _change(pair),
        )
    return table


def _change(pair: ScorePair) -> str:
    if pair.recorded is None or pair.new is None or pair.is_identical:
        return ""
    return f"{pair.new - pair.recorded:+.2g}"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.6f}"


def _print_differences(terminal: Terminal, title: str, differences: list[Difference]) -> None:
    if differences:
        terminal.print(f"{title}:")
    for difference in differences:
        before, after = map(_fact, (difference.recorded, difference.new))
        terminal.print(f"  {difference.name}: {before} → {after}")


def _fact(value: object) -> str:
    """Return a fact of a record as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return str(value)
