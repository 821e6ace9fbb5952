"""`bob-bench fuse`: what several backbones gain together over the best of them."""

import argparse
import json
import time
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from bob.backbones.devices import usable_device
from bob.commands.features import several_backbones, stored_features
from bob.commands.terminal import Terminal
from bob.datasets.dataset import Dataset, SplitName
from bob.datasets.image_sets import ImageSet
from bob.engine.fused import fused_record
from bob.engine.solve import solver_device
from bob.errors import OK
from bob.features.store import Features
from bob.plan import Workspace
from bob.protocols.classification import (
    classification_needs,
    classification_problem,
    held_out_of,
)
from bob.protocols.fusion import Fusion, fuse
from bob.protocols.linear import LinearSettings
from bob.registry import Registry, load_registry
from bob.specs import BackboneSpec

TASK = "linear"
"""The task whose settings the probes have."""


def run(arguments: argparse.Namespace) -> int:
    """Print the accuracy of each backbone and of each fusion, and the gain with its interval.

    ConfigError where features are not stored, NotApplicableError where no probe can be fitted.
    """
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    backbones, workspace, dataset = several_backbones(arguments, registry)
    settings = _settings(registry)
    features = _features(workspace, dataset, backbones)
    start = time.perf_counter()
    problems = {
        name: classification_problem(dataset, splits, held_out_of(settings), arguments.seed)
        for name, splits in features.items()
    }
    fusion = fuse(problems, settings, solver_device(usable_device(arguments.device)))
    seconds = time.perf_counter() - start
    terminal = Terminal()
    if arguments.record:
        task = registry.tasks[TASK]
        record, arrays = fused_record(
            fusion, task, workspace, dataset, features, backbones, arguments.seed, seconds
        )
        terminal.note(f"recorded: {workspace.places.records().write(record, arrays)}")
    if arguments.json:
        terminal.write_line(json.dumps(fusion_json(fusion), indent=1))
        return OK
    terminal.render(_table(fusion))
    for sentence in sentences(fusion):
        terminal.print(sentence)
    return OK


def fusion_json(fusion: Fusion) -> dict[str, Any]:
    """Return a fusion as plain values."""
    return {
        "backbones": {
            name: {"held_out_top1": row.held_out_top1, "top1": row.top1}
            for name, row in fusion.singles.items()
        },
        "fusions": {
            mode: {"held_out_top1": row.held_out_top1, "top1": row.top1}
            for mode, row in fusion.fused.items()
        },
        "best_single": fusion.best_single,
        "mode": fusion.mode,
        "gain": fusion.gain._asdict(),
        "oracle_gain": fusion.oracle_gain,
    }


def sentences(fusion: Fusion) -> list[str]:
    """Return the gain with its interval, and what an oracle would gain."""
    gain, points = fusion.gain, 100 * fusion.gain.value
    interval = (
        ""
        if gain.low is None or gain.high is None
        else f" [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
    )
    return [
        f"Gain of {fusion.mode} over {fusion.best_single}, both chosen on held-out train images: "
        f"{points:+.1f} percentage points{interval} (95 % confidence interval over test images, "
        f"exact McNemar p = {gain.p:.3g}).",
        f"A choice of the right backbone for each image would gain {100 * fusion.oracle_gain:.1f} "
        "points; part of that is luck that no fusion can use.",
        "A fusion costs as much as all of its backbones together, and is ranked on no leaderboard; "
        "with --record, leaderboards show it beside the single backbones.",
    ]


def _settings(registry: Registry) -> LinearSettings:
    settings = registry.tasks[TASK].settings
    assert isinstance(settings, LinearSettings)
    return settings


def _features(
    workspace: Workspace, dataset: Dataset, backbones: list[BackboneSpec]
) -> dict[str, dict[SplitName, Features]]:
    """Return the features of each backbone, by split, of the images that all could read."""
    needed = {need.images.split for need in classification_needs(dataset, backbones[0])}
    names: list[SplitName] = [name for name in dataset.splits if name in needed]
    features = {
        spec.name: {
            name: stored_features(workspace, dataset.name, spec, ImageSet(name)) for name in names
        }
        for spec in backbones
    }
    for name in names:
        read = [set(splits[name].positions.tolist()) for splits in features.values()]
        common = np.array(sorted(set.intersection(*read)), np.int64)
        for splits in features.values():
            splits[name] = _among(splits[name], common)
    return features


def _among(features: Features, positions: np.ndarray) -> Features:
    """Return the features of these images, which count in the split as before."""
    viewed = features.view(positions)
    return Features(viewed.parts, positions, features.bad, features.effort)


def _table(fusion: Fusion) -> Table:
    table = Table(title=Text("linear probe, top1 in %"), title_justify="left")
    for head in ("backbones", "held-out", "test"):
        table.add_column(Text(head), justify="left" if head == "backbones" else "right")
    rows = [
        *((name, row, name == fusion.best_single) for name, row in fusion.singles.items()),
        *((f"all, {mode}", row, mode == fusion.mode) for mode, row in fusion.fused.items()),
    ]
    for name, row, is_chosen in rows:
        marked = f"{name} (chosen)" if is_chosen else name
        cells = (marked, f"{100 * row.held_out_top1:.1f}", f"{100 * row.top1:.1f}")
        table.add_row(*map(Text, cells))
    return table
