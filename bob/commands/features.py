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
from bob.backbones.devices import usable_device
from bob.commands.arguments import data_options, require_output_file
from bob.commands.terminal import Terminal, counted
from bob.datasets.dataset import Dataset, SplitName
from bob.datasets.image_sets import ImageSet
from bob.errors import OK, ConfigError
from bob.features.store import Features
from bob.io.files import atomic_writer
from bob.io.paths import default_cache
from bob.plan import Machine, Places, RunSettings, Workspace
from bob.registry import (
    Registry,
    backbone_labels,
    dataset_labels,
    load_registry,
    local_datasets,
    select,
)
from bob.specs import BackboneSpec, DatasetSpec

FORMATS = (".npz", ".safetensors")
Columns = dict[str, NDArray[Any]]


def run(arguments: argparse.Namespace) -> int:
    """Write the features of all splits with ids, labels, classes, splits and groups.

    Nothing is computed. ConfigError where features are not stored.
    """
    if arguments.to.suffix.lower() not in FORMATS:
        raise ConfigError(f"--to {str(arguments.to)!r}: must end in {' or '.join(FORMATS)}.")
    require_output_file("--to", arguments.to)
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    backbone, spec = _backbone(arguments, registry), dataset_spec(arguments, registry)
    workspace = stored_workspace(arguments, {**registry.datasets, spec.name: spec})
    dataset = workspace.dataset(spec.name)
    _require_single_labels(dataset)
    features = {
        name: stored_features(workspace, dataset.name, backbone, ImageSet(name))
        for name in dataset.splits
    }
    columns = _columns(dataset, features)
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
    selected = select(arguments.backbone, registry.backbones, "backbone", backbone_labels)
    if len(selected) > 1:
        raise ConfigError(
            f"{arguments.backbone!r} selects {len(selected)} backbones; "
            "a file holds the features of one."
        )
    spec = selected[0].spec
    require_code_permission([spec], arguments.allow_code)
    return spec


def dataset_spec(arguments: argparse.Namespace, registry: Registry) -> DatasetSpec:
    """Return the dataset that is named, or that of --data; ConfigError unless it is one."""
    if bool(arguments.dataset) == bool(arguments.data):
        raise ConfigError("name a registered dataset, or give your images with --data.")
    paths = [arguments.data] if arguments.data else []
    options = data_options(arguments)
    if len(options) > 1:
        raise ConfigError(f"--label is given {len(options)} times, for one dataset each; name one.")
    if local := local_datasets(paths, registry, options):
        return local[0].spec
    selected = select(arguments.dataset, registry.datasets, "dataset", dataset_labels)
    if len(selected) > 1:
        raise ConfigError(f"{arguments.dataset!r} selects {len(selected)} datasets; name one.")
    return selected[0].spec


def several_backbones(
    arguments: argparse.Namespace, registry: Registry
) -> tuple[list[BackboneSpec], Workspace, Dataset]:
    """Return the backbones that are named, and the dataset with the workspace of its features.

    ConfigError unless at least two backbones and one dataset are named.
    """
    selected = select(arguments.backbones, registry.backbones, "backbone", backbone_labels)
    backbones = [each.spec for each in selected]
    require_code_permission(backbones, arguments.allow_code)
    if len(backbones) < 2:
        raise ConfigError(f"{arguments.backbones!r} selects one backbone; name two or more.")
    spec = dataset_spec(arguments, registry)
    workspace = stored_workspace(arguments, {**registry.datasets, spec.name: spec})
    return backbones, workspace, workspace.dataset(spec.name)


def stored_workspace(
    arguments: argparse.Namespace, datasets: Mapping[str, DatasetSpec]
) -> Workspace:
    """Return the workspace of the run that stored the features, as far as they depend on it."""
    return Workspace(
        Places(arguments.cache_dir or default_cache(), arguments.results),
        RunSettings(
            precision=arguments.precision,
            preprocessing=arguments.preprocessing,
            alpha=arguments.alpha,
            stored=arguments.store_dtype,
        ),
        Machine(devices=(usable_device(arguments.device),), offline=True),
        datasets,
    )


def _require_single_labels(dataset: Dataset) -> None:
    """Raise ConfigError unless every image has exactly one label."""
    if any(split.labels is not None or (split.y < 0).any() for split in dataset.splits.values()):
        raise ConfigError(
            f"dataset {dataset.name!r}: some images have several labels or none, "
            "which feature files cannot hold."
        )


def stored_features(
    workspace: Workspace, dataset: str, backbone: BackboneSpec, images: ImageSet
) -> Features:
    """Return the stored features of a split; ConfigError where shards are missing."""
    places = workspace.places
    key, store = workspace.feature_key(dataset, backbone, images), places.features()
    if missing := store.missing(key):
        raise ConfigError(
            f"{counted(len(missing), 'shard')} of {backbone.name!r} on {dataset!r}, {images.name}, "
            f"{'is' if len(missing) == 1 else 'are'} not stored below {str(places.cache)!r}. Run "
            f"`bob-bench run --backbones {backbone.name} --tasks knn` on that dataset first, or "
            "give the settings of the run (--precision, --preprocessing, --alpha, --store-dtype)."
        )
    features = store.read(key)
    origin = workspace.images(dataset, images).origin
    return features if origin is None else features.view(origin.positions)


def _columns(dataset: Dataset, features: Mapping[SplitName, Features]) -> Columns:
    """Concatenate all splits, without unreadable images."""
    splits = {
        name: dataset.splits[name].take(of_split.positions) for name, of_split in features.items()
    }
    groups = [group for split in splits.values() for group in split.groups or ()]
    columns = {
        "x": np.concatenate([of_split.rows for of_split in features.values()]),
        "y": np.concatenate([split.y for split in splits.values()]),
        "ids": np.array([name for split in splits.values() for name in split.ids]),
        "content": np.array([digest for split in splits.values() for digest in split.content]),
        "split": np.repeat(list(splits), [len(split) for split in splits.values()]),
        "classes": np.array(dataset.classes),
    }
    return columns | ({"groups": np.array(groups)} if groups else {})


def _write(path: Path, columns: Columns) -> None:
    """Write columns as .npz, or as .safetensors with text as JSON lists in the header."""
    with atomic_writer(path) as file:
        if path.suffix.lower() == ".npz":
            np.savez(file, **columns)  # type: ignore[arg-type]
            return
        is_text = {name: values.dtype.kind == "U" for name, values in columns.items()}
        texts = {
            name: json.dumps(values.tolist()) for name, values in columns.items() if is_text[name]
        }
        arrays = {name: values for name, values in columns.items() if not is_text[name]}
        file.write(save(arrays, texts))
