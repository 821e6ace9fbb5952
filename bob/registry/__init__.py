"""The registries of backbones, tasks and datasets, and the selection of entries by name."""

from bob.registry.choices import choose_backbones, choose_datasets, local_datasets
from bob.registry.loading import (
    Registry,
    build_task,
    load_backbones,
    load_datasets,
    load_registry,
    load_tasks,
)
from bob.registry.selection import (
    Selected,
    backbone_labels,
    dataset_labels,
    select,
    task_labels,
)

__all__ = [
    "Registry",
    "Selected",
    "backbone_labels",
    "build_task",
    "choose_backbones",
    "choose_datasets",
    "dataset_labels",
    "load_backbones",
    "load_datasets",
    "load_registry",
    "load_tasks",
    "local_datasets",
    "select",
    "task_labels",
]
