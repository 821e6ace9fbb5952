"""The registries: `backbones.yaml`, `tasks/*.yaml`, `tasks/datasets.yaml` and a user's own files, and how names select from them."""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from bob.errors import ConfigError, nearest
from bob.io.paths import shipped
from bob.specs import SETTINGS, BackboneSpec, DatasetSpec, TaskSpec
from bob.specs.yaml import Spec, build, read_yaml

DATASETS_FILE = "datasets.yaml"
Entry = TypeVar("Entry", BackboneSpec, TaskSpec, DatasetSpec)


@dataclass(frozen=True)
class Registry:
    """Everything that can be named, by name, in file order."""

    backbones: Mapping[str, BackboneSpec]
    tasks: Mapping[str, TaskSpec]
    datasets: Mapping[str, DatasetSpec]


@dataclass(frozen=True)
class Chosen(Generic[Entry]):
    """A selected entry; `exact` where its own name was typed, so that its absence is an error and not a skip."""

    spec: Entry
    exact: bool


def load_registry(
    backbone_files: Sequence[Path] = (), task_folders: Sequence[Path] = ()
) -> Registry:
    """The shipped registries and the user's own, which add names and never replace one."""
    folders = [shipped("tasks"), *task_folders]
    datasets = _merged(
        "dataset", [(folder, _read_datasets(folder / DATASETS_FILE)) for folder in folders]
    )
    return Registry(
        backbones={
            name: _seen_by_all_names(spec, datasets)
            for name, spec in load_backbones(backbone_files).items()
        },
        tasks=_merged("task", [(folder, _read_tasks(folder)) for folder in folders]),
        datasets=datasets,
    )


def load_backbones(files: Sequence[Path] = ()) -> Mapping[str, BackboneSpec]:
    """The shipped backbones and the user's own."""
    return _merged(
        "backbone", [(file, _read_backbones(file)) for file in [shipped("backbones.yaml"), *files]]
    )


def _seen_by_all_names(spec: BackboneSpec, datasets: Mapping[str, DatasetSpec]) -> BackboneSpec:
    """The backbone, with every dataset that reads the images of one that its entry names as seen: a family's, a retrieval variant's."""
    if spec.pretraining is None or not spec.pretraining.seen:
        return spec
    places = {_place(datasets[name]) for name in spec.pretraining.seen if name in datasets}
    kin = [
        name
        for name, dataset in datasets.items()
        if _place(dataset) in places and name not in spec.pretraining.seen
    ]
    return spec.model_copy(
        update={
            "pretraining": spec.pretraining.model_copy(
                update={"seen": (*spec.pretraining.seen, *kin)}
            )
        }
    )


def _place(spec: DatasetSpec) -> str:
    """Where its images lie."""
    source = spec.source
    return str(getattr(source, "hub", None) or getattr(source, "path", source.reader))


def select(
    asked: str, entries: Mapping[str, Entry], kind: str, labels: Callable[[Entry], Sequence[str]]
) -> list[Chosen[Entry]]:
    """Entries named by a comma-separated list of names, globs, labels (`family:clip`, `group:vtab`) and `all`, each once, in file order."""
    parts = [part.strip() for part in asked.split(",") if part.strip()]
    if not parts:
        raise ConfigError(
            f"no {kind} named: give names, globs, groups or 'all', separated by commas."
        )
    found: dict[str, bool] = {}
    for part in parts:
        for name in _matching(part, entries, kind, labels):
            found[name] = found.get(name, False) or name == part
    return [Chosen(entries[name], found[name]) for name in entries if name in found]


def backbone_labels(spec: BackboneSpec) -> list[str]:
    return [f"family:{spec.family}", *(f"group:{group}" for group in spec.groups)]


def dataset_labels(spec: DatasetSpec) -> list[str]:
    return [f"group:{group}" for group in spec.groups]


def task_labels(spec: TaskSpec) -> list[str]:
    return [f"protocol:{spec.protocol}", *(f"group:{group}" for group in spec.groups)]


def _matching(
    part: str, entries: Mapping[str, Entry], kind: str, labels: Callable[[Entry], Sequence[str]]
) -> list[str]:
    if part == "all":
        return list(entries)
    if part in entries:
        return [part]
    if ":" in part:
        if names := [name for name, spec in entries.items() if part in labels(spec)]:
            return names
        known = sorted({label for spec in entries.values() for label in labels(spec)})
        raise ConfigError(
            f"no {kind} in {part!r}{nearest(part, known)} Known: {', '.join(known) or 'none'}."
        )
    if any(character in part for character in "*?["):
        if names := fnmatch.filter(entries, part):
            return names
        raise ConfigError(
            f"no {kind} matches {part!r}. `bob-bench list {kind}s` shows all {len(entries)}."
        )
    same = next(
        (
            name
            for name, spec in entries.items()
            if part in (getattr(spec, "architecture", None), _hub(spec))
        ),
        None,
    )
    near = f"; here that is {same!r}." if same else nearest(part, entries)
    raise ConfigError(
        f"unknown {kind} {part!r}{near} `bob-bench list {kind}s` shows all {len(entries)}."
    )


def _hub(spec: BackboneSpec | TaskSpec | DatasetSpec) -> str | None:
    """The hub repository of a backbone's weights."""
    return spec.weights.hub if isinstance(spec, BackboneSpec) and spec.weights else None


def _merged(kind: str, sources: Sequence[tuple[Path, Mapping[str, Entry]]]) -> dict[str, Entry]:
    merged: dict[str, Entry] = {}
    for path, entries in sources:
        if taken := [name for name in entries if name in merged]:
            raise ConfigError(f"{path}: {kind} {taken[0]!r} exists already: choose another name.")
        merged.update(entries)
    return merged


def _read_backbones(path: Path) -> dict[str, BackboneSpec]:
    entries = _entries(BackboneSpec, path)
    return {name: _anchored_backbone(spec, path.parent) for name, spec in entries.items()}


def _read_datasets(path: Path) -> dict[str, DatasetSpec]:
    if not path.exists():
        return {}
    return {
        name: _anchored_dataset(spec, path.parent)
        for name, spec in _entries(DatasetSpec, path).items()
    }


def _read_tasks(folder: Path) -> dict[str, TaskSpec]:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: is not a folder of task files.")
    files = sorted(path for path in folder.glob("*.yaml") if path.name != DATASETS_FILE)
    return {path.stem: _read_task(path) for path in files}


def _read_task(path: Path) -> TaskSpec:
    values = {"name": path.stem, **read_yaml(path)}
    settings = SETTINGS.get(str(values.get("protocol")))
    if settings and "settings" in values:
        values["settings"] = build(settings, values["settings"], f"{path}: settings")
    return build(TaskSpec, values, str(path))


def _entries(spec: type[Spec], path: Path) -> dict[str, Spec]:
    return {
        name: build(spec, _named(name, values, path), f"{path}: {name}")
        for name, values in read_yaml(path).items()
    }


def _named(name: str, values: Any, path: Path) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path}: {name} must be a mapping; got {values!r} ({type(values).__name__})."
        )
    if any(character in name for character in ",*?[]: /\\") or name == "all":
        raise ConfigError(
            f"{path}: {name!r} cannot be a name: letters, digits, '.', '_', '-' and '+' only, and not 'all'."
        )
    return {"name": name, **values}


def _anchored_backbone(spec: BackboneSpec, folder: Path) -> BackboneSpec:
    """A relative path of a checkpoint, or of a function's file, is relative to the registry file that names it."""
    if spec.loader == "python" and ".py:" in spec.architecture:
        return spec.model_copy(
            update={"architecture": str(folder / Path(spec.architecture).expanduser())}
        )
    weights = spec.weights
    if weights is None or weights.file is None or weights.hub or weights.package:
        return spec
    return spec.model_copy(
        update={
            "weights": weights.model_copy(
                update={"file": str(folder / Path(weights.file).expanduser())}
            )
        }
    )


def _anchored_dataset(spec: DatasetSpec, folder: Path) -> DatasetSpec:
    """A relative path of images is relative to the registry file that names it."""
    path = getattr(spec.source, "path", None)
    if path is None or path.startswith("$BOB_DATA"):
        return spec
    return spec.model_copy(
        update={
            "source": spec.source.model_copy(update={"path": str(folder / Path(path).expanduser())})
        }
    )
