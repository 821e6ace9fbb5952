"""Every registered family of datasets works with `ood`.

Its entries, read from tiny copies of the layout that they describe, give a cell each, with all
shifts.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from bob.datasets.class_names import class_list
from bob.datasets.open import open_dataset
from bob.registry import load_registry
from bob.specs import DatasetSpec, FolderSource, HuggingFaceSource, WebDatasetSource
from tests.builders.images import png
from tests.builders.tars import write_tar

Call = Callable[..., tuple[int, str, str]]
ENTRIES = load_registry().datasets
FAMILIES = [
    name
    for name, spec in ENTRIES.items()
    if spec.source.reader in ("huggingface", "webdataset", "folder")
    and (spec.leave_out or any(shift.kind == "shift" for shift in spec.shifts.values()))
]
PER_CLASS = 6
WNIDS = sorted(set(class_list("imagenet_a")) & set(class_list("imagenet_r")))[:2]
"""Two classes that every set of ImageNet's family has."""


def labels_of(spec: DatasetSpec) -> list[int]:
    """Two of its classes by number: of ImageNet's family the same two in all sets."""
    if not isinstance(spec.class_names, str):
        return [0, 1]
    names = class_list(spec.class_names)
    return [names.index(name) for name in WNIDS] if set(WNIDS) <= set(names) else [0, 1]


def facts(spec: DatasetSpec) -> list[dict[str, str]]:
    """Attribute values that members of a family leave out, one combination a group of images."""
    mates = [
        other
        for other in ENTRIES.values()
        if set(other.leave_out)
        and set(other.groups) & set(spec.groups) - {"shift"}
        and other.source == spec.source
    ]
    values = [{name: value} for other in mates for name, (value,) in other.leave_out.items()]
    return values or [{}]


def parquet(spec: DatasetSpec, source: HuggingFaceSource, root: Path) -> dict[str, Any]:
    """The columns that the entry names; a group is a slide of two images of each class."""
    theirs = [
        name
        for several in source.splits.values()
        for name in ([several] if isinstance(several, str) else several)
    ]
    for s, split in enumerate(theirs):
        rows: list[dict[str, Any]] = []
        for f, told in enumerate(facts(spec)):
            for i in range(2 * PER_CLASS):
                columns = {source.attributes[name]: value for name, value in told.items()}
                group: dict[str, Any] = {source.group: i // 4} if source.group else {}
                label: dict[str, Any] = {
                    str(source.label): WNIDS[i % 2] if source.label == "wnid" else i % 2
                }
                rows.append(
                    {
                        source.image: {"bytes": png(1000 * s + 100 * f + i), "path": None},
                        **label,
                        **columns,
                        **group,
                    }
                )
        table = datasets.Dataset.from_list(rows).cast_column(source.image, datasets.Image())
        if source.label != "wnid":
            table = table.cast_column(str(source.label), datasets.ClassLabel(names=["one", "two"]))
        root.mkdir(exist_ok=True)
        table.to_parquet(str(root / f"{split}-0.parquet"))
    return {
        **source.model_dump(
            exclude={"hub", "revision", "revision_prefix", "config", "path"}, exclude_none=True
        ),
        "path": str(root),
    }


def tars(spec: DatasetSpec, source: WebDatasetSource, root: Path) -> dict[str, Any]:
    for s, (role, pattern) in enumerate(source.data_files.items()):
        members = [
            (f"{i:03d}.{extension}", data)
            for i in range(2 * PER_CLASS)
            for extension, data in (
                ("png", png(500 * s + i)),
                ("cls", b"%d" % labels_of(spec)[i % 2]),
            )
        ]
        write_tar(root / str(pattern).replace("*", "0"), members)
        assert role in ("train", "test")
    return {
        **source.model_dump(
            exclude={"hub", "revision", "revision_prefix", "path", "names_file"}, exclude_none=True
        ),
        "path": str(root),
    }


def folders(spec: DatasetSpec, source: FolderSource, root: Path) -> dict[str, Any]:
    for f, told in enumerate(facts(spec)):
        for c in range(2):
            place = root.joinpath(*told.values(), f"class{c}")
            place.mkdir(parents=True, exist_ok=True)
            for i in range(PER_CLASS):
                (place / f"{i}.png").write_bytes(png(100 * f + 10 * c + i))
    return {**source.model_dump(exclude={"path"}, exclude_none=True), "path": str(root)}


def arrays(spec: DatasetSpec, source: Any, root: Path) -> dict[str, Any]:
    """CIFAR-C: five severities of each image, one after the other."""
    root.mkdir()
    wanted = {
        value
        for shift in ENTRIES["cifar10_shifts"].shifts.values()
        for value in shift.where["corruption"]
    }
    np.save(root / "labels.npy", np.tile([0, 1], 5))
    for c, corruption in enumerate(sorted(wanted)):
        np.save(
            root / f"{corruption}.npy",
            np.arange(10 * 4 * 4 * 3, dtype=np.uint8).reshape(10, 4, 4, 3) + np.uint8(c),
        )
    return {"reader": "cifar_c", "path": str(root)}


def tiny(name: str, root: Path) -> dict[str, Any]:
    """The entry as it stands, on a tiny copy: without what only the whole set can fulfil."""
    spec = ENTRIES[name]
    makers: dict[str, Callable[..., dict[str, Any]]] = {
        "huggingface": parquet,
        "webdataset": tars,
        "folder": folders,
        "cifar_c": arrays,
    }
    made = {"source": makers[spec.source.reader](spec, spec.source, root / name)}
    kept = spec.model_dump(
        include={"leave_out", "shifts", "class_names", "kind"},
        exclude_none=True,
        exclude_defaults=True,
    )
    if isinstance(spec.class_names, tuple):
        kept["class_names"] = ["one", "two"]
    for shift in kept.get("shifts", {}).values():
        shift["dataset"] = f"tiny_{shift['dataset']}"
    return {**made, **kept}


def needed() -> list[str]:
    others = {
        shift.dataset
        for name in FAMILIES
        for shift in ENTRIES[name].shifts.values()
        if shift.dataset
    }
    return [*FAMILIES, *sorted(others - set(FAMILIES))]


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    datasets.disable_progress_bars()
    root = tmp_path_factory.mktemp("families")
    (root / "tasks").mkdir()
    made = {f"tiny_{name}": tiny(name, root) for name in needed()}
    (root / "tasks" / "datasets.yaml").write_text(json.dumps(made))
    return root / "tasks"


def test_every_family_of_the_issue_is_one() -> None:
    """ImageNet, PACS, OfficeHome, DomainNet, Terra Incognita (by location), Camelyon17, CIFAR."""
    beginnings = [name.split("_")[0] for name in FAMILIES]
    counts = {name: beginnings.count(name) for name in dict.fromkeys(beginnings)}
    assert counts == {
        "imagenet1k": 1,
        "pacs": 4,
        "officehome": 4,
        "domainnet": 6,
        "camelyon17": 1,
        "terra": 4,
        "cifar10": 1,
    }


def test_each_gives_a_cell_of_ood_with_all_its_shifts(
    entries: Path, bob: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "prepared")
    registry = load_registry([], [entries])
    for name in FAMILIES:
        dataset = open_dataset(
            registry.datasets[f"tiny_{name}"], tmp_path / "cache", entries=registry.datasets
        )
        spec = ENTRIES[name]
        assert set(dataset.shifts) == set(spec.shifts) | {
            value for values in spec.leave_out.values() for value in values
        }, name
        assert {"train", "test"} <= set(dataset.splits) and not [
            note for note in dataset.notes if "without the shift" in note
        ], name
    names = ",".join(f"tiny_{name}" for name in FAMILIES)
    code, said, told = bob(
        "run",
        "--backbones",
        "channel_statistics",
        "--tasks",
        "ood",
        "--datasets",
        names,
        "--tasks-dir",
        str(entries),
        "--offline",
        "--dry-run",
    )
    assert code == 0 and f"{len(FAMILIES)} cells to do, 0 done" in said + told
