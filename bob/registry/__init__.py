"""The registries of backbones, tasks and datasets, and the selection of entries by name."""

from bob.registry.loading import Registry, load_backbones, load_registry
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
    "dataset_labels",
    "load_backbones",
    "load_registry",
    "select",
    "task_labels",
]
