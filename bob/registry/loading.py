"""Loading of `backbones.yaml`, `tasks/*.yaml`, `tasks/datasets.yaml` and the user's own files."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bob.errors import ConfigError, nearest
from bob.io.paths import shipped, user_path
from bob.registry.selection import Entry
from bob.specs import BackboneSpec, DatasetSpec, TaskSpec
from bob.specs.yaml import Spec, build, parse_yaml, read_text

DATASETS_FILE = "datasets.yaml"
NAME = re.compile(r"\w[\w.\-+]*")
"""Names of entries; \\w is a letter or digit of any script, or '_'."""


@dataclass(frozen=True)
class Registry:
    """Registered backbones, tasks and datasets by name, in file order."""

    backbones: Mapping[str, BackboneSpec]
    tasks: Mapping[str, TaskSpec]
    datasets: Mapping[str, DatasetSpec]


def load_registry(
    backbone_files: Sequence[Path] = (), task_folders: Sequence[Path] = ()
) -> Registry:
    """Load the shipped registries and the user's own files.

    A user's file adds names. A name that is already registered is a ConfigError.
    """
    datasets = load_datasets(task_folders)
    return Registry(
        backbones=load_backbones(backbone_files, datasets),
        tasks=load_tasks(task_folders),
        datasets=datasets,
    )


def load_backbones(
    files: Sequence[Path] = (), datasets: Mapping[str, DatasetSpec] | None = None
) -> Mapping[str, BackboneSpec]:
    """Load the shipped backbones and those of the user's own files, by name.

    With the registered datasets, a backbone that has seen one of them has also seen those that read
    the same images.
    """
    backbones = _merge(
        "backbone", [(file, _read_backbones(file)) for file in [shipped("backbones.yaml"), *files]]
    )
    if datasets is None:
        return backbones
    sources = {name: _image_source(dataset) for name, dataset in datasets.items()}
    return {name: _with_related_datasets_seen(spec, sources) for name, spec in backbones.items()}


def load_tasks(folders: Sequence[Path] = ()) -> Mapping[str, TaskSpec]:
    """Load the shipped tasks and those of the user's own folders, by name.

    Imports the protocols, which takes longer than reading backbones and datasets.
    """
    return _merge("task", [(folder, _read_tasks(folder)) for folder in _task_folders(folders)])


def load_datasets(folders: Sequence[Path] = ()) -> Mapping[str, DatasetSpec]:
    """Load the shipped datasets and those of the user's own folders, by name."""
    return _merge(
        "dataset",
        [(folder, _read_datasets(folder / DATASETS_FILE)) for folder in _task_folders(folders)],
    )


def _task_folders(folders: Sequence[Path]) -> list[Path]:
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: is not a folder of task files.")
    return [shipped("tasks"), *folders]


def _with_related_datasets_seen(spec: BackboneSpec, sources: Mapping[str, str]) -> BackboneSpec:
    """Add to `pretraining.seen` every dataset that reads the same images as one listed there.

    Examples are the other members of a family and the retrieval variant of a dataset. `sources`
    has the source of the images by dataset.
    """
    if spec.pretraining is None or not spec.pretraining.seen:
        return spec
    seen = spec.pretraining.seen
    of_seen = {sources[name] for name in seen if name in sources}
    related = [name for name, source in sources.items() if source in of_seen and name not in seen]
    pretraining = spec.pretraining.model_copy(update={"seen": (*seen, *related)})
    return spec.model_copy(update={"pretraining": pretraining})


def _image_source(spec: DatasetSpec) -> str:
    """Return the hub repository, folder or sample that holds the images of a dataset."""
    source = spec.source
    return str(getattr(source, "hub", None) or getattr(source, "path", source.reader))


def _merge(kind: str, sources: Sequence[tuple[Path, Mapping[str, Entry]]]) -> dict[str, Entry]:
    merged: dict[str, Entry] = {}
    for path, entries in sources:
        if duplicates := [name for name in entries if name in merged]:
            raise ConfigError(
                f"{path}: {kind} {duplicates[0]!r} is already registered: choose another name."
            )
        merged.update(entries)
    return merged


Parsed = TypeVar("Parsed")


def _read(parse: Callable[[Path, str], Parsed], path: Path) -> Parsed:
    """Parse a file; a shipped one only once per content, since a process may load it often."""
    text = read_text(path)
    is_shipped = path == shipped("backbones.yaml") or path.parent == shipped("tasks")
    return _parse_once(parse, path, text) if is_shipped else parse(path, text)


@functools.lru_cache(maxsize=64)
def _parse_once(parse: Callable[[Path, str], Any], path: Path, text: str) -> Any:
    """Return what `parse` returns; the caller must not change it."""
    return parse(path, text)


def _read_backbones(path: Path) -> Mapping[str, BackboneSpec]:
    return _read(_parse_backbones, path)


def _parse_backbones(path: Path, text: str) -> Mapping[str, BackboneSpec]:
    entries = _parse_entries(BackboneSpec, path, text)
    return {name: _resolve_backbone_paths(spec, path.parent) for name, spec in entries.items()}


def _read_datasets(path: Path) -> Mapping[str, DatasetSpec]:
    return _read(_parse_datasets, path) if path.exists() else {}


def _parse_datasets(path: Path, text: str) -> Mapping[str, DatasetSpec]:
    entries = _parse_entries(DatasetSpec, path, text)
    return {name: _resolve_dataset_path(spec, path.parent) for name, spec in entries.items()}


def _read_tasks(folder: Path) -> Mapping[str, TaskSpec]:
    files = sorted(path for path in folder.glob("*.yaml") if path.name != DATASETS_FILE)
    return {path.stem: _read(_parse_task, path) for path in files}


def _parse_task(path: Path, text: str) -> TaskSpec:
    _require_valid_name(path.stem, path)
    return build_task({"name": path.stem, **parse_yaml(path, text)}, str(path))


def build_task(values: object, where: str) -> TaskSpec:
    """Return a task with settings of its protocol's own model.

    ConfigError, beginning with `where`, for an unknown protocol or metric, wrong settings, or a
    metric that reads none of the protocol's outcomes.
    """
    from bob.metrics import METRICS
    from bob.protocols import load_protocols

    protocols = load_protocols()
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: must be a mapping; got {values!r}.")
    name = values.get("protocol")
    if name is not None and (not isinstance(name, str) or name not in protocols):
        raise ConfigError(
            f"{where}: protocol must be one of {', '.join(protocols)}; got {name!r}"
            f"{nearest(str(name), protocols)}"
        )
    settings = values.get("settings")
    if name is not None and settings is not None:
        settings = build(protocols[name].settings, settings, f"{where}: settings")
        values = {**values, "settings": settings}
    task = build(TaskSpec, values, where)
    outcomes = protocols[task.protocol].outcomes
    for metric in task.metrics:
        if metric not in METRICS:
            raise ConfigError(
                f"{where}: metrics must be names of metrics; got {metric!r}"
                f"{nearest(metric, METRICS)}"
            )
        if not issubclass(METRICS[metric].outcome, outcomes):
            raise ConfigError(
                f"{where}: metric {metric!r} reads {METRICS[metric].outcome.__name__}; protocol "
                f"{task.protocol!r} returns {' and '.join(kind.__name__ for kind in outcomes)}."
            )
    return task


def _parse_entries(spec: type[Spec], path: Path, text: str) -> dict[str, Spec]:
    return {
        name: build(spec, _with_name(name, values, path), f"{path}: {name}")
        for name, values in parse_yaml(path, text).items()
    }


def _with_name(name: str, values: Any, path: Path) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path}: {name} must be a mapping; got {values!r} ({type(values).__name__})."
        )
    _require_valid_name(name, path)
    return {"name": name, **values}


def _require_valid_name(name: str, path: Path) -> None:
    """Raise ConfigError for a name that cannot be typed, or that tables or paths would misread."""
    if not NAME.fullmatch(name) or name == "all":
        raise ConfigError(
            f"{path}: {name!r} is not a valid name: use only letters, digits, '.', '_', '-' "
            "and '+', first a letter or digit; 'all' is reserved."
        )


def _resolve_backbone_paths(spec: BackboneSpec, folder: Path) -> BackboneSpec:
    """Resolve the path of a checkpoint or Python file against the folder of the registry file."""
    if spec.loader == "python" and ".py:" in spec.architecture:
        architecture = str(folder / user_path(spec.architecture))
        return spec.model_copy(update={"architecture": architecture})
    weights = spec.weights
    if weights is None or weights.file is None or weights.hub or weights.package:
        return spec
    file = str(folder / user_path(weights.file))
    return spec.model_copy(update={"weights": weights.model_copy(update={"file": file})})


def _resolve_dataset_path(spec: DatasetSpec, folder: Path) -> DatasetSpec:
    """Resolve the paths of images and of counts against the folder of the registry file."""
    frequency = {corpus: _resolved(file, folder) for corpus, file in spec.frequency.items()}
    changes: dict[str, Any] = {"frequency": frequency} if frequency else {}
    if (path := getattr(spec.source, "path", None)) is not None:
        changes["source"] = spec.source.model_copy(update={"path": _resolved(path, folder)})
    return spec.model_copy(update=changes) if changes else spec


def _resolved(path: str, folder: Path) -> str:
    """Return a path against a folder; one below `$BOB_DATA` stays as it is."""
    return path if path.startswith("$BOB_DATA") else str(folder / user_path(path))
