"""`bob-bench cache`: what lies in the feature store, whether it is sound, what can go, and where else it could be."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from bob.commands.terminal import Terminal
from bob.errors import FAILED, OK, ConfigError
from bob.features.inventory import StoredFeatures, damaged_shards, stored_features, move, remove
from bob.io.paths import default_cache


def run(arguments: argparse.Namespace) -> int:
    """Acts on `<cache>/features`."""
    root: Path = (arguments.cache_dir or default_cache()) / "features"
    acts = {"show": _show, "verify": _verify, "prune": _prune, "move": _move}
    return acts[arguments.what](Terminal(), root, arguments)


def _show(terminal: Terminal, root: Path, _: argparse.Namespace) -> int:
    stored = stored_features(root)
    table = Table("backbone", "dataset", "split", "images", "MiB", "unused for", "complete", "key")
    for one in sorted(stored, key=lambda one: _names(one)):
        *names, images = _names(one)
        known = {True: "yes", False: "no", None: "unknown"}[one.complete]
        table.add_row(
            *names, images, f"{one.size_bytes / 2**20:.1f}", _age(one), known, one.digest[:12]
        )
    if stored:
        terminal.render(table)
    terminal.print(f"{root}: {len(stored)} sets of features, {_mib(stored):,.0f} MiB")
    return OK


def _verify(terminal: Terminal, root: Path, _: argparse.Namespace) -> int:
    """Reads every shard. A damaged one is never used; the run that needs it computes it again."""
    stored = stored_features(root)
    broken = [path for one in stored for path in damaged_shards(one)]
    for path in broken:
        terminal.error(f"{path}: is damaged; the next run that needs it computes it again.")
    terminal.print(f"{sum(one.shards for one in stored)} shards read, {len(broken)} damaged")
    return FAILED if broken else OK


def _prune(terminal: Terminal, root: Path, arguments: argparse.Namespace) -> int:
    if arguments.older_than is None and arguments.max_size is None:
        raise ConfigError(
            "cache prune: say what may go: --older-than 30d, --max-size 10G, or both."
        )
    chosen = to_prune(stored_features(root), arguments.older_than, arguments.max_size, time.time())
    if arguments.dry_run:
        return _tell(terminal, "would remove", chosen, [])
    return _tell(terminal, "removed", *remove(root, chosen))


def _move(terminal: Terminal, root: Path, arguments: argparse.Namespace) -> int:
    if arguments.to is None:
        raise ConfigError("cache move: say where to: --to DIR.")
    if arguments.to.absolute() == root.parent.absolute():
        raise ConfigError(f"cache move: --to {str(arguments.to)!r} is where the cache is.")
    code = _tell(terminal, "moved", *move(root, stored_features(root), arguments.to / "features"))
    terminal.print(f"use it with --cache-dir {arguments.to}, or BOB_CACHE={arguments.to}")
    return code


def to_prune(
    stored: Sequence[StoredFeatures], older_than_seconds: float | None, max_bytes: float | None, now: float
) -> list[StoredFeatures]:
    """What is older than allowed, and of the rest, the longest unused first, what is above the size."""
    old = [
        one
        for one in stored
        if older_than_seconds is not None and now - one.last_used > older_than_seconds
    ]
    rest = [one for one in stored if one not in old]
    excess = sum(one.size_bytes for one in rest) - max_bytes if max_bytes is not None else 0
    for one in sorted(rest, key=lambda one: one.last_used):
        if excess <= 0:
            break
        old.append(one)
        excess -= one.size_bytes
    return old


def _tell(terminal: Terminal, done: str, chosen: Sequence[StoredFeatures], kept: Sequence[StoredFeatures]) -> int:
    for one in chosen:
        terminal.print(f"  {done} {' · '.join(_names(one)[:3])} ({one.size_bytes / 2**20:.1f} MiB)")
    for one in kept:
        terminal.note(f"kept {' · '.join(_names(one)[:3])}: a running process uses it")
    terminal.print(f"{done} {len(chosen)} sets of features, {_mib(chosen):,.0f} MiB")
    return OK


def _names(one: StoredFeatures) -> tuple[str, str, str, str]:
    about = one.description
    return (
        (about.backbone, about.dataset, about.split, f"{about.images:,}")
        if about
        else ("unknown", "unknown", "unknown", "")
    )


def _mib(stored: Sequence[StoredFeatures]) -> float:
    return sum(one.size_bytes for one in stored) / 2**20


def _age(one: StoredFeatures) -> str:
    hours = (time.time() - one.last_used) / 3600
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"
