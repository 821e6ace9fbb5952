"""`bob-bench cache`: show, verify, prune and move stored features, and show tuned runtimes."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from bob.commands.terminal import Terminal
from bob.errors import FAILED, OK, ConfigError
from bob.features.inventory import (
    StoredFeatures,
    damaged_shards,
    foreign_files,
    move,
    remove,
    stored_features,
)
from bob.io.paths import default_cache

MIB = 2**20
USED = "used"


def run(arguments: argparse.Namespace) -> int:
    """Show, verify, prune or move the features below `<cache>/features`, or show runtimes."""
    cache: Path = arguments.cache_dir or default_cache()
    if arguments.what == "runtimes":
        return _show_runtimes(Terminal(), cache)
    root = cache / "features"
    actions = {"show": _show, "verify": _verify, "prune": _prune, "move": _move}
    return actions[arguments.what](Terminal(), root, arguments)


def _show(terminal: Terminal, root: Path, _: argparse.Namespace) -> int:
    stored = stored_features(root)
    table = Table("backbone", "dataset", "split", "images", "MiB", "unused for", "complete", "key")
    for features in sorted(stored, key=_fields):
        table.add_row(
            *_fields(features),
            f"{features.size_bytes / MIB:.1f}",
            _unused_for(features),
            _complete(features),
            features.digest[:12],
        )
    if stored:
        terminal.render(table)
    if any(features.lacks_temporary for features in stored):
        terminal.print(
            f"{USED}: features that only later statistics read were removed once these were "
            "stored; the cost of extraction and the unreadable images are still recorded"
        )
    terminal.print(f"{root}: {len(stored)} sets of features, {_total_mib(stored):,.0f} MiB")
    return OK


def _complete(features: StoredFeatures) -> str:
    """Return whether features are complete as text."""
    if features.lacks_temporary:
        return USED
    return {True: "yes", False: "no", None: "unknown"}[features.complete]


def _show_runtimes(terminal: Terminal, cache: Path) -> int:
    """Print the chosen runtime of each architecture, and what every other one achieved."""
    from bob.extraction.runtimes.choices import saved_choices  # loads torch

    choices = saved_choices(cache)
    for conditions, choice in choices:
        device_type, device_name, threads = conditions["device"]
        terminal.print(
            f"{conditions['forward']['architecture'] or conditions['forward']['loader']}, "
            f"{conditions['input_px']} px, output {', '.join(conditions['outputs'])}, "
            f"{conditions['precision']}, {device_type} ({device_name}, {threads} threads)"
        )
        for trial in choice.trials:
            is_chosen = (trial.runtime, trial.batch_size) == (choice.runtime, choice.batch_size)
            terminal.print(f"  {'*' if is_chosen else ' '} {trial.text}")
    count = f"{len(choices)} architecture{'' if len(choices) == 1 else 's'}"
    terminal.print(f"{cache / 'runtimes'}: {count}; * is the runtime in use")
    return OK


def _verify(terminal: Terminal, root: Path, _: argparse.Namespace) -> int:
    """Read every shard and report damaged ones, which runs never use."""
    stored = stored_features(root)
    damaged = {
        path: problem for features in stored for path, problem in damaged_shards(features).items()
    }
    for path, problem in damaged.items():
        terminal.error(f"{path}: {problem}")
    for path in (path for features in stored for path in foreign_files(features)):
        terminal.note(f"{path}: is not a file of the feature store, and is left alone.")
    shards = sum(features.shards for features in stored)
    terminal.print(f"{shards} shards read, {len(damaged)} damaged")
    return FAILED if damaged else OK


def _prune(terminal: Terminal, root: Path, arguments: argparse.Namespace) -> int:
    if arguments.older_than is None and arguments.max_size is None:
        raise ConfigError(
            "cache prune: say what to remove: --older-than 30d, --max-size 10G, or both."
        )
    stored = stored_features(root)
    excess = features_to_prune(stored, arguments.older_than, arguments.max_size, time.time())
    if arguments.dry_run:
        return _report(terminal, "would remove", excess, [])
    return _report(terminal, "removed", *remove(root, excess))


def _move(terminal: Terminal, root: Path, arguments: argparse.Namespace) -> int:
    if arguments.to is None:
        raise ConfigError("cache move: name the new cache folder with --to DIR.")
    code = _report(terminal, "moved", *move(root, stored_features(root), arguments.to / "features"))
    terminal.print(f"to use it, give --cache-dir {arguments.to} or set BOB_CACHE={arguments.to}")
    return code


def features_to_prune(
    stored: Sequence[StoredFeatures],
    older_than_seconds: float | None,
    max_bytes: float | None,
    now: float,
) -> list[StoredFeatures]:
    """Return the features to remove so that both limits hold; None is no limit.

    First come all features that were not used for `older_than_seconds`. Of the others, the least
    recently used follow until the rest takes at most `max_bytes`.
    """
    pruned = [
        features
        for features in stored
        if older_than_seconds is not None and now - features.last_used > older_than_seconds
    ]
    rest = [features for features in stored if features not in pruned]
    excess = (
        sum(features.size_bytes for features in rest) - max_bytes if max_bytes is not None else 0
    )
    for features in sorted(rest, key=lambda features: features.last_used):
        if excess <= 0:
            break
        pruned.append(features)
        excess -= features.size_bytes
    return pruned


def _report(
    terminal: Terminal,
    action: str,
    affected: Sequence[StoredFeatures],
    kept: Sequence[StoredFeatures],
) -> int:
    for features in affected:
        terminal.print(f"  {action} {_title(features)} ({features.size_bytes / MIB:.1f} MiB)")
    for features in kept:
        terminal.note(f"kept {_title(features)}: a running process uses it")
    terminal.print(f"{action} {len(affected)} sets of features, {_total_mib(affected):,.0f} MiB")
    return OK


def _fields(features: StoredFeatures) -> tuple[str, str, str, str]:
    """Return backbone, dataset, split and number of images as text."""
    description = features.description
    if description is None:
        return "unknown", "unknown", "unknown", ""
    return (
        description.backbone,
        description.dataset,
        description.split,
        f"{description.images:,}",
    )


def _title(features: StoredFeatures) -> str:
    return " · ".join(_fields(features)[:3])


def _total_mib(stored: Sequence[StoredFeatures]) -> float:
    return sum(features.size_bytes for features in stored) / MIB


def _unused_for(features: StoredFeatures) -> str:
    hours = (time.time() - features.last_used) / 3600
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"
