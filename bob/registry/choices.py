"""The backbones and datasets of a run, by name or by path."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from bob.backbones.availability import backbone_unavailable_reason
from bob.errors import ConfigError
from bob.registry.loading import Registry
from bob.registry.selection import Selected, backbone_labels, dataset_labels, select
from bob.specs import BackboneSpec, DataOptions, DatasetSpec, TaskSpec


def choose_backbones(names: str | None, registry: Registry) -> list[Selected[BackboneSpec]]:
    """Return the backbones that a list of names selects.

    Without names, those whose weights are on this machine.
    """
    if names is not None:
        return select(names, registry.backbones, "backbone", backbone_labels)
    return [
        Selected(spec, exact=False)
        for spec in registry.backbones.values()
        if backbone_unavailable_reason(spec) is None
    ]


def choose_datasets(
    names: str | None,
    paths: Sequence[str],
    tasks: Sequence[TaskSpec],
    registry: Registry,
    options: Sequence[DataOptions] = (DataOptions(),),
) -> Mapping[str, Sequence[Selected[DatasetSpec]]]:
    """Return the datasets of each task.

    Named datasets and your own go to every task; without them each task has those of its file,
    which nobody named, so that unavailable ones are skipped. `options` make one dataset each of
    every path. ConfigError where images are to be retrieved and no task retrieves.
    """
    named = [] if names is None else select(names, registry.datasets, "dataset", dataset_labels)
    chosen = [*named, *local_datasets(paths, registry, options)]
    retrieve = [option.retrieve for option in options if option.retrieve]
    if retrieve and not any(task.protocol == "retrieval" for task in tasks):
        raise ConfigError(
            f"--retrieve {retrieve[0]!r} needs a task of retrieval, and --tasks names none. Add "
            "`retrieval`."
        )
    if chosen:
        return {task.name: _for_task(task, chosen) for task in tasks}
    return {task.name: _datasets_of_task(task, registry) for task in tasks}


def local_datasets(
    paths: Sequence[str],
    registry: Registry,
    options: Sequence[DataOptions] = (DataOptions(),),
) -> list[Selected[DatasetSpec]]:
    """Return the datasets of `--data`, without duplicates: one for each path and each of `options`.

    Two spellings of a path are one, by the first of them, and so are links. ConfigError if two of
    them, or one and a registered dataset, have the same name: the leaderboard would treat them as
    one dataset.
    """
    # imports NumPy, which `list` does not need
    from bob.datasets.own import place_of, spec_from_data_flag

    if not paths:
        _require_no_options(options)
    if "" in paths:
        raise ConfigError("--data '': give a folder with a subfolder per class, or a table.")
    specs: dict[tuple[Any, ...], DatasetSpec] = {}
    for path, option in itertools.product(paths, options):
        spec = spec_from_data_flag(path, option)
        specs.setdefault((place_of(path), options.index(option)), spec)
    names = [spec.name for spec in specs.values()]
    if registered := [name for name in names if name in registry.datasets]:
        raise ConfigError(
            f"--data: {registered[0]!r} is the name of a registered dataset; "
            "rename the folder or table."
        )
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ConfigError(
            f"--data: {names.count(repeated[0])} folders or tables are named {repeated[0]!r}; "
            "rename all but one."
        )
    return [Selected(spec, exact=True) for spec in specs.values()]


def _for_task(
    task: TaskSpec, chosen: Sequence[Selected[DatasetSpec]]
) -> Sequence[Selected[DatasetSpec]]:
    """Return the datasets of a task: those for retrieval are for tasks of retrieval alone."""
    if task.protocol == "retrieval":
        return chosen
    return [selected for selected in chosen if selected.spec.retrieve is None]


def _require_no_options(options: Sequence[DataOptions]) -> None:
    """Raise ConfigError for options of `--data` without `--data`."""
    for option in options:
        if option.test_split is not None:
            raise ConfigError(
                f"--test-split {option.test_split!r} belongs to --data PATH, whose split to test "
                "on it names."
            )
        if option.normal:
            raise ConfigError(
                f"--normal {', '.join(option.normal)!r} belongs to --data PATH, whose normal class "
                "it names."
            )
        if stated := option.stated():
            raise ConfigError(
                f"--{next(iter(stated))} belongs to --data PATH, about whose images it is."
            )


def _datasets_of_task(task: TaskSpec, registry: Registry) -> list[Selected[DatasetSpec]]:
    chosen = select(",".join(task.datasets), registry.datasets, "dataset", dataset_labels)
    return [Selected(selected.spec, exact=False) for selected in chosen]
