"""Requests over the whole registry, with datasets and cards that cost nothing."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from bob.backbones.card_data import Card
from bob.datasets.dataset import Dataset, Split
from bob.plan import CardReport, Machine, Places, Request, Workspace, make_workspace
from bob.registry import Selected, load_registry
from bob.specs import BackboneSpec, DatasetSpec, FolderSource

TASKS = ("linear", "knn", "fewshot", "ridge", "centroid", "retrieval")
WORK_SECONDS_PER_MPARAM = 4e-5
"""Forward pass of an image per million parameters: 250 images/s for 100 M, an A100 in float32."""


def make_card(spec: BackboneSpec) -> Card:
    """Return a card as plausible as the entry's declared facts allow."""
    params = spec.params or 0
    width, size = spec.width or 1024, spec.input_px or 224
    return Card(
        weights_hash=f"weights of {spec.name}",
        forward={"loader": spec.loader, "architecture": spec.architecture},
        geometry={"input_px": [size, size]},
        normalisation={"mean": [0.5] * 3, "std": [0.5] * 3},
        precision="float32",
        shape=(width,),
        params=params,
        gflops=params / 5e6,
        weights_mib=params * 4 / 2**20,
        peak_mib=params * 6 / 2**20,
        seconds_per_image=WORK_SECONDS_PER_MPARAM * max(params / 1e6, 1.0),
        device="cuda",
    )


def make_dataset(name: str, train: int, test: int, classes: int = 10) -> Dataset:
    """Return a dataset of images that do not exist."""
    return Dataset(
        name=name,
        classes=tuple(f"class {c}" for c in range(classes)),
        splits={
            "train": _split(name, "train", train, classes),
            "test": _split(name, "test", test, classes),
        },
        split_origin={"kind": "official"},
    )


def _split(dataset: str, name: str, count: int, classes: int) -> Split:
    ids = [f"{name}/{i:07d}" for i in range(count)]
    return Split(
        ids=ids,
        y=np.arange(count) % classes,
        content=[f"{dataset}{i}" for i in range(count)],
        read=lambda i: b"",
    )


def sizes(datasets: int, images: int) -> list[tuple[int, int]]:
    """Return train and test images of datasets whose sizes spread over three decades.

    `images` is the total.
    """
    shares = 10 ** np.linspace(0, 3, datasets)
    totals = np.maximum(images * shares / shares.sum(), 100).astype(int)
    return [(int(0.8 * n), int(0.2 * n)) for n in totals]


@contextlib.contextmanager
def large_request(
    folder: Path, backbones: int, datasets: int, images: int, tasks: tuple[str, ...] = TASKS
) -> Iterator[tuple[Request, Workspace]]:
    """Yield a request for the first entries of the registry, and a workspace that knows all."""
    registry = load_registry()
    specs = list(registry.backbones.values())[:backbones]
    made = {
        f"set{i:03d}": make_dataset(f"set{i:03d}", *size)
        for i, size in enumerate(sizes(datasets, images))
    }
    entries: Mapping[str, DatasetSpec] = {
        name: DatasetSpec(name=name, source=FolderSource(reader="folder", path=f"/nowhere/{name}"))
        for name in made
    }
    chosen = [Selected(entry, exact=False) for entry in entries.values()]
    request = Request(
        backbones=[Selected(spec, exact=False) for spec in specs],
        tasks=[registry.tasks[name] for name in tasks],
        datasets=dict.fromkeys(tasks, chosen),
        entries=entries,
        places=Places(folder / "cache", folder / "results"),
        machine=Machine(("cuda",), workers=16, offline=True, is_remote=True),
    )

    def opened(spec: DatasetSpec, *_: Any) -> Dataset:
        return made[spec.name]

    with patch("bob.plan.workspace.open_dataset", opened):
        workspace = make_workspace(request)
        workspace.card_source = lambda specs: [
            CardReport(spec=spec, made=make_card(spec)) for spec in specs
        ]
        yield request, workspace
