"""`bob-bench features`: the stored features of a backbone on a dataset, written to one file.

`bob-bench evaluate` reads such files.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from bob.backbones.availability import require_code_permission
from bob.commands.arguments import local_datasets, usable_device
from bob.commands.terminal import Terminal, counted
from bob.datasets.dataset import Dataset, Split
from bob.datasets.open import open_dataset
from bob.errors import OK, ConfigError
from bob.features.store import Features
from bob.io.files import atomic_writer
from bob.io.paths import default_cache
from bob.plan import Plan, Request, card_of, whole_of
from bob.registry import Registry, backbone_labels, dataset_labels, load_registry, select
from bob.specs import BackboneSpec, DatasetSpec
from bob.wiring import Need

FORMATS = (".npz", ".safetensors")
Columns = dict[str, NDArray[Any]]


def run(arguments: argparse.Namespace) -> int:
    """Write the features of all splits with ids, labels, classes, splits and groups.

    Nothing is computed. ConfigError if features are not stored.
    """
    if arguments.to.suffix.lower() not in FORMATS:
        raise ConfigError(f"--to {str(arguments.to)!r}: must end in {' or '.join(FORMATS)}.")
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    backbone, entry = _backbone(arguments, registry), _entry(arguments, registry)
    cache = arguments.cache_dir or default_cache()
    dataset = open_dataset(entry, cache, offline=True, entries=registry.datasets)
    if any(split.labels is not None for split in dataset.splits.values()) or any(
        (split.y < 0).any() for split in dataset.splits.values()
    ):
        raise ConfigError(
            f"dataset {entry.name!r}: some images have several labels or none, "
            "which feature files cannot hold."
        )
    request = _request(arguments, backbone, cache)
    rows = {
        name: _rows(request, backbone, dataset.name, Need(backbone, name, split))
        for name, split in dataset.splits.items()
    }
    columns = _columns(dataset, rows)
    _write(arguments.to, columns)
    terminal = Terminal()
    for shift in dataset.shifts:
        terminal.note(
            f"shift {shift} of {dataset.name!r} is excluded: a file holds train, val and test"
        )
    terminal.print(f"{counted(len(columns['x']), 'row')} of {columns['x'].shape[1]} values")
    terminal.print_written([arguments.to])
    return OK


def _backbone(arguments: argparse.Namespace, registry: Registry) -> BackboneSpec:
    chosen = [
        one.spec
        for one in select(arguments.backbone, registry.backbones, "backbone", backbone_labels)
    ]
    if len(chosen) > 1:
        raise ConfigError(
            f"{arguments.backbone!r} selects {len(chosen)} backbones; "
            "a file holds the features of one."
        )
    require_code_permission(chosen, arguments.allow_code)
    return chosen[0]


def _entry(arguments: argparse.Namespace, registry: Registry) -> DatasetSpec:
    if bool(arguments.dataset) == bool(arguments.data):
        raise ConfigError("name a registered dataset, or give your images with --data.")
    if arguments.data:
        return local_datasets([arguments.data], registry)[0].spec
    chosen = [
        one.spec for one in select(arguments.dataset, registry.datasets, "dataset", dataset_labels)
    ]
    if len(chosen) > 1:
        raise ConfigError(
            f"{arguments.dataset!r} selects {len(chosen)} datasets; "
            "a file holds the features of one."
        )
    return chosen[0]


def _request(arguments: argparse.Namespace, backbone: BackboneSpec, cache: Path) -> Request:
    """Return the request of the run that stored the features, as far as they depend on it."""
    return Request(
        backbones=(),
        tasks=(),
        datasets={},
        entries={},
        cache=cache,
        results=arguments.results,
        device=usable_device(arguments.device),
        precision=arguments.precision,
        preprocessing=arguments.preprocessing,
        stored=arguments.store_dtype,
        offline=True,
    )


def _rows(request: Request, backbone: BackboneSpec, dataset: str, need: Need) -> Features:
    """Return the stored features of a split. ConfigError if shards are missing."""
    key, store = (
        Plan(stored=request.stored, cards={backbone: card_of(request, backbone)}).key_of(need),
        request.store(),
    )
    whole = len(whole_of(need)[1])
    if lacking := store.missing(key, whole):
        raise ConfigError(
            f"{len(lacking)} shards of {backbone.name!r} on {dataset!r}, {need.name}, are not "
            f"stored below {str(request.cache)!r}. Run `bob-bench run --backbones {backbone.name} "
            "--tasks knn` on that dataset first, or give the settings of the run (--precision, "
            "--preprocessing, --store-dtype)."
        )
    found = store.read(key, whole)
    return found.view(need.split.origin.positions) if need.split.origin else found


def _columns(dataset: Dataset, rows: Mapping[Any, Features]) -> Columns:
    """Concatenate all splits, without unreadable images."""
    splits = {name: dataset.splits[name].take(found.positions) for name, found in rows.items()}
    columns = {
        "x": np.concatenate([found.rows for found in rows.values()]),
        "y": np.concatenate([split.y for split in splits.values()]),
        "ids": np.array([one for split in splits.values() for one in split.ids]),
        "content": np.array([one for split in splits.values() for one in split.content]),
        "split": np.repeat(list(splits), [len(split) for split in splits.values()]),
        "classes": np.array(dataset.classes),
    }
    groups = _groups(splits)
    return columns | ({"groups": np.array(groups)} if groups else {})


def _groups(splits: Mapping[Any, Split]) -> list[str]:
    return [one for split in splits.values() for one in split.groups or ()]


def _write(path: Path, columns: Columns) -> None:
    with atomic_writer(path) as file:
        if path.suffix.lower() == ".npz":
            np.savez(file, **columns)  # type: ignore[arg-type]
        else:
            texts = {
                name: json.dumps(values.tolist())
                for name, values in columns.items()
                if values.dtype.kind == "U"
            }
            file.write(
                save({name: values for name, values in columns.items() if name not in texts}, texts)
            )
