"""Requests over small folders of images."""

from pathlib import Path

from bob.plan import Machine, Places, Request, RunSettings
from bob.registry import Selected, load_registry
from bob.specs import DatasetSpec, FolderSource
from tests.builders.photos import make_photos

REGISTRY = load_registry()
BACKBONES = ("raw_pixels", "channel_statistics", "random_convolution")
PER_CLASS = {"first": 10, "second": 8}
"""Images per class of each dataset."""


def make_request(
    folder: Path, *tasks: str, backbones: tuple[str, ...] = BACKBONES, **settings: object
) -> Request:
    """Return a request for tasks on two datasets, whose images are made where they are missing."""
    for name, per_class in PER_CLASS.items():
        if not (folder / name).exists():
            make_photos(folder / name, per_class=per_class)
    entries = {
        name: DatasetSpec(name=name, source=FolderSource(reader="folder", path=str(folder / name)))
        for name in PER_CLASS
    }
    datasets = [Selected(spec, exact=True) for spec in entries.values()]
    return Request(
        backbones=[Selected(REGISTRY.backbones[name], exact=True) for name in backbones],
        tasks=[REGISTRY.tasks[name] for name in tasks],
        datasets=dict.fromkeys(tasks, datasets),
        entries=entries,
        places=Places(folder / "cache", folder / "results"),
        settings=RunSettings.model_validate(settings),
        machine=Machine(offline=True),
    )
