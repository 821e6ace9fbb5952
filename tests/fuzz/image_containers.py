"""Tars, Parquet files, arrays, tables and pickles from which images are read."""

import contextlib
import io
import itertools
import json
import pickle
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bob.datasets.content.images import decode
from bob.datasets.dataset import Dataset
from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.errors import UnreadableImageError
from bob.specs import ArraysSource, DataOptions, DatasetSpec, RevisitedSource, WebDatasetSource
from tests.builders.images import make_class_folders, png
from tests.builders.tars import write_tar
from tests.fuzz.mutate import damaged, damaged_text, damaged_values, truncated
from tests.fuzz.target import Case

IMAGES = [png(20 * i) for i in range(12)]
LABELS = ["a", "b", "c"] * 4


@dataclass(frozen=True)
class Container:
    """Sound files in a folder; which is damaged, how they are opened, and how many images."""

    write: Callable[[Path], Any]
    file: str
    spec: Callable[[Path], DatasetSpec]
    images: int = 12
    shows_cuts: bool = True
    """Whether a file that was cut can be recognised."""
    text: bool = False


def _tar(folder: Path) -> None:
    samples = ((f"{i:02d}.png", image) for i, image in enumerate(IMAGES))
    labels = ((f"{i:02d}.cls", LABELS[i].encode()) for i in range(12))
    members = itertools.chain.from_iterable(zip(samples, labels, strict=True))
    write_tar(folder / "0.tar", members)


def _parquet(folder: Path) -> None:
    folder.mkdir()
    table = pa.table({"image": IMAGES, "label": LABELS})
    pq.write_table(table, folder / "train.parquet", row_group_size=5)


def _arrays() -> dict[str, Any]:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    roles = ("train", "val", "test")
    images = {f"{role}_images": pixels + n for n, role in enumerate(roles)}
    return images | {f"{role}_labels": np.arange(4)[:, None] % 2 for role in roles}


def _npz(folder: Path) -> None:
    folder.mkdir()
    np.savez(folder / "x.npz", **_arrays())


def _compressed_npz(folder: Path) -> None:
    folder.mkdir()
    np.savez_compressed(folder / "x.npz", **_arrays())


def _npy(folder: Path) -> None:
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8)
    np.save(folder / "fog.npy", pixels)
    np.save(folder / "labels.npy", np.arange(10) % 2)


def _csv(folder: Path) -> None:
    make_class_folders(folder, a=4, b=4, c=4)
    rows = [f"{label}/{i}.png,{label}" for label in "abc" for i in range(4)]
    (folder / "labels.csv").write_text("\n".join(["path,label", *rows]) + "\n")


def _truth() -> dict[str, Any]:
    boxes = [{"bbx": [0.0, 0.0, 2.5, 2.0], "easy": [0], "hard": [1, 2], "junk": [3]}] * 2
    return {"qimlist": ["0", "1"], "imlist": ["2", "3", "4", "5"], "gnd": boxes}


def _landmarks(folder: Path) -> None:
    folder.mkdir()
    for i in range(6):
        (folder / f"{i}.jpg").write_bytes(IMAGES[i])
    arrays = [{key: np.array(value) for key, value in query.items()} for query in _truth()["gnd"]]
    (folder / "gnd.pkl").write_bytes(pickle.dumps({**_truth(), "gnd": arrays}, protocol=4))
    (folder / "gnd.json").write_text(json.dumps(_truth()))


def _boxes(folder: Path) -> None:
    make_class_folders(folder, a=4)
    images = [{"id": i, "file_name": f"a/{i}.png", "width": 8, "height": 8} for i in range(4)]
    annotations = [{"image_id": i, "category_id": 1, "bbox": [0, 1, 2.5, 3]} for i in range(4)]
    categories = [{"id": 1, "name": "nut"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(content))


def _web(folder: Path) -> DatasetSpec:
    source = WebDatasetSource(
        reader="webdataset", path=str(folder), data_files={"train": "*.tar"}, label="cls"
    )
    return DatasetSpec(name="x", source=source)


def _array_spec(reader: str, file: str) -> Callable[[Path], DatasetSpec]:
    def spec(folder: Path) -> DatasetSpec:
        values = {"reader": reader, "path": str(folder / file)}
        return DatasetSpec(name="x", source=ArraysSource.model_validate(values))

    return spec


def _judged(truth: str) -> Callable[[Path], DatasetSpec]:
    def spec(folder: Path) -> DatasetSpec:
        source = RevisitedSource(reader="revisited", path=str(folder), ground_truth=truth)
        return DatasetSpec(name="x", source=source, kind="retrieval")

    return spec


def _flag(name: str = "") -> Callable[[Path], DatasetSpec]:
    return lambda folder: spec_from_data_flag(str(folder / name))


def _boxes_flag(folder: Path) -> DatasetSpec:
    return spec_from_data_flag(str(folder), DataOptions(boxes="boxes.json"))


CONTAINERS = {
    "tar": Container(_tar, "0.tar", _web),
    "parquet": Container(_parquet, "train.parquet", _flag()),
    "npz": Container(_npz, "x.npz", _array_spec("medmnist", "x.npz")),
    "compressed npz": Container(_compressed_npz, "x.npz", _array_spec("medmnist", "x.npz")),
    "npy": Container(_npy, "fog.npy", _array_spec("cifar_c", ""), 10),
    "labels": Container(_npy, "labels.npy", _array_spec("cifar_c", ""), 10),
    "csv": Container(_csv, "labels.csv", _flag("labels.csv"), shows_cuts=False, text=True),
    "pickle": Container(_landmarks, "gnd.pkl", _judged("gnd.pkl"), 6),
    "json": Container(_landmarks, "gnd.json", _judged("gnd.json"), 6, text=True),
    "boxes": Container(_boxes, "boxes.json", _boxes_flag, 4, text=True),
    "image": Container(_csv, "a/0.png", _flag()),
}


def prepare(folder: Path) -> Case:
    """Damage one file of each container."""
    sound = folder / "sound"
    sound.mkdir()
    for number, container in enumerate(CONTAINERS.values()):
        container.write(sound / str(number))

    def case(rng: random.Random) -> bool:
        number, container = rng.choice([*enumerate(CONTAINERS.values())])
        work, cache = folder / "work", folder / "cache"
        for place in (work, cache):
            shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(sound / str(number), work)
        path = work / container.file
        data = path.read_bytes()
        is_cut = rng.random() < 0.3
        path.write_bytes(_damage(container, data, is_cut, rng))
        images = _read_all(open_dataset(container.spec(work), cache))
        if is_cut and container.shows_cuts:
            assert images == container.images, f"{images} of {container.images} images are left"
        return True

    return case


def _damage(container: Container, data: bytes, is_cut: bool, rng: random.Random) -> bytes:
    if is_cut:
        return truncated(data, rng)
    if container.file.endswith(".json") and rng.random() < 0.5:
        return json.dumps(damaged_values(json.loads(data), rng)).encode()
    if container.text and rng.random() < 0.5:
        return damaged_text(data.decode(), rng).encode("utf-8", "surrogatepass")
    return damaged(data, rng)


def _read_all(dataset: Dataset) -> int:
    """Decode every image, and return how many there are, unreadable ones included."""
    count = 0
    for split in dataset.splits.values():
        assert len(split.ids) == len(split.content) == len(split.y) == len(split)
        assert dataset.fingerprint()
        for i in range(len(split)):
            count += 1
            try:
                decode(split.read(i), split.ids[i]).save(io.BytesIO(), "BMP")
            except UnreadableImageError:
                continue
            if split.boxes is not None:
                with contextlib.suppress(UnreadableImageError):
                    split.boxes.read(i)
    return count
