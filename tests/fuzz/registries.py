"""Registry files: backbones, datasets and tasks."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from bob.registry.loading import load_backbones, load_datasets, load_tasks
from tests.fuzz.mutate import damaged, damaged_text, damaged_values
from tests.fuzz.target import Case

BACKBONES: dict[str, Any] = {
    "fuzz_vit": {
        "family": "ssl",
        "loader": "timm",
        "architecture": "vit_small_patch16_224",
        "weights": {"hub": "timm/vit_small_patch16_224.dino", "revision": "main"},
        "output": {"layers": [-1], "tokens": "pooled", "pool": "cls"},
        "preprocessing": {"input_px": 224, "crop_pct": 0.9, "crop_mode": "center"},
        "pretraining": {"method": "DINO", "data": "ImageNet-1k", "images": 1281167},
        "licence": "Apache-2.0",
        "groups": ["fuzz"],
    },
    "fuzz_file": {
        "family": "supervised",
        "loader": "checkpoint",
        "architecture": "resnet18",
        "weights": {"file": "w.safetensors", "state_dict": "model"},
        "licence": "MIT",
    },
}
DATASETS: dict[str, Any] = {
    "fuzz_photos": {
        "source": {"reader": "folder", "path": "photos"},
        "counts": {"train": 10, "test": 5},
        "licence": "CC0",
    },
    "fuzz_rows": {
        "source": {
            "reader": "huggingface",
            "hub": "owner/name",
            "revision": "0" * 40,
            "image": "image",
            "label": "label",
            "splits": {"train": "train", "test": ["valid", "test"]},
        },
        "class_names": ["a", "b"],
    },
}
TASK: dict[str, Any] = {
    "protocol": "knn",
    "version": 1,
    "title": "k nearest neighbours",
    "settings": {"k": [1, 5, 20], "temperature": 0.07},
    "metrics": ["top1"],
    "datasets": ["elpv"],
}


def prepare(folder: Path) -> Case:
    """Damage YAML as text, as bytes and as values."""
    cases: list[Callable[[random.Random], tuple[bytes, bool]]] = []
    loads: list[Callable[[], Any]] = []
    for number, (values, load) in enumerate(
        (
            (BACKBONES, lambda: load_backbones([folder / "0" / "file.yaml"])),
            (DATASETS, lambda: load_datasets([folder / "1"])),
            (TASK, lambda: load_tasks([folder / "2"])),
        )
    ):
        (folder / str(number)).mkdir()
        cases.append(_damage_of(values))
        loads.append(load)
    files = [folder / "0" / "file.yaml", folder / "1" / "datasets.yaml", folder / "2" / "file.yaml"]

    def case(rng: random.Random) -> bool:
        kind = rng.randrange(3)
        data, is_wrong = cases[kind](rng)
        files[kind].write_bytes(data)
        loads[kind]()
        assert not is_wrong, "a key that no specification has was accepted"
        return True

    return case


def _damage_of(values: dict[str, Any]) -> Callable[[random.Random], tuple[bytes, bool]]:
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)

    def damage(rng: random.Random) -> tuple[bytes, bool]:
        """Return a file, and whether it has a key that is certainly unknown."""
        way = rng.randrange(4)
        if way == 0:
            return damaged(text.encode(), rng), False
        if way == 1:
            return damaged_text(text, rng).encode("utf-8", "surrogatepass"), False
        if way == 2:
            return _dumped(damaged_values(values, rng)), False
        entries = [values] if "protocol" in values else [*values.values()]
        entry = rng.choice(entries)
        unknown = {**entry, rng.choice([*entry]) + "_": rng.choice((1, "a", None))}
        return _dumped(unknown if entry is values else {"fuzz_x": unknown}), True

    return damage


def _dumped(values: Any) -> bytes:
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return text.encode("utf-8", "surrogatepass")
