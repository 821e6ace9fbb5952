"""Whatever container images come from, their bytes are compared with those of the listing."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bob.datasets.content.digests import content_digest, is_unreadable, unreadable_digest
from bob.datasets.content.planned import planned_reader
from bob.datasets.open import open_dataset, spec_from_data_flag
from bob.datasets.readers import samples
from bob.errors import ChangedImageError, UnreadableImageError
from bob.registry import load_registry
from bob.specs import ArraysSource, DatasetSpec, RevisitedSource, WebDatasetSource
from tests.builders.images import make_class_folders, png
from tests.builders.tars import write_tar

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
IMAGES = [png(i) for i in range(6)] + [png(20 + i) for i in range(6)]


def of_folder(root: Path) -> DatasetSpec:
    make_class_folders(root, cat=3, dog=3)
    return spec_from_data_flag(str(root))


def of_table(root: Path) -> DatasetSpec:
    make_class_folders(root / "images", a=6)
    rows = [f"images/a/{i}.png,{'xy'[i % 2]}" for i in range(6)]
    (root / "labels.csv").write_text("\n".join(["path,label", *rows]))
    return spec_from_data_flag(str(root / "labels.csv"))


def of_tar(root: Path) -> DatasetSpec:
    members = [
        member
        for i, image in enumerate(IMAGES)
        for member in ((f"{i}.png", image), (f"{i}.cls", b"01"[i % 2 : i % 2 + 1]))
    ]
    write_tar(root / "0.tar", members)
    source = WebDatasetSource(
        reader="webdataset", path=str(root), data_files={"train": "*.tar"}, label="cls"
    )
    return DatasetSpec(name="x", source=source)


def of_parquet(root: Path) -> DatasetSpec:
    root.mkdir()
    table = pa.table({"image": IMAGES, "label": ["a", "b"] * 6})
    pq.write_table(table, root / "train.parquet", compression="none", use_dictionary=False)
    return spec_from_data_flag(str(root))


def of_parquet_with_paths(root: Path) -> DatasetSpec:
    make_class_folders(root / "images", a=6)
    paths = [f"images/a/{i}.png" for i in range(6)]
    pq.write_table(pa.table({"image": paths, "label": ["a", "b"] * 3}), root / "train.parquet")
    return spec_from_data_flag(str(root / "train.parquet"))


def of_saved_dataset(root: Path) -> DatasetSpec:
    datasets.disable_progress_bars()
    columns = {"image": IMAGES, "label": ["a", "b"] * 6}
    features = datasets.Features(image=datasets.Image(), label=datasets.Value("string"))
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(root))
    return spec_from_data_flag(str(root))


def _medmnist(root: Path, save: Callable[..., None]) -> DatasetSpec:
    root.mkdir()
    members: dict[str, Any] = {}
    for n, role in enumerate(("train", "val", "test")):
        members[f"{role}_images"] = PIXELS[4 * n : 4 * n + 4]
        members[f"{role}_labels"] = np.arange(4)[:, None] % 2
    save(root / "x.npz", **members)
    source = ArraysSource(reader="medmnist", path=str(root / "x.npz"))
    return DatasetSpec(name="x", source=source)


def of_npz(root: Path) -> DatasetSpec:
    return _medmnist(root, np.savez)


def of_compressed_npz(root: Path) -> DatasetSpec:
    """Its unpacked copy in the cache is damaged."""
    return _medmnist(root, np.savez_compressed)


def of_npy(root: Path) -> DatasetSpec:
    root.mkdir()
    np.save(root / "fog.npy", PIXELS[:10])
    np.save(root / "labels.npy", np.arange(10) % 2)
    source = ArraysSource(reader="cifar_c", path=str(root))
    return DatasetSpec(name="x", source=source)


def of_landmarks(root: Path) -> DatasetSpec:
    """Queries are cropped to boxes: what is compared are the bytes of the file."""
    root.mkdir()
    for i in range(4):
        (root / f"{i}.jpg").write_bytes(IMAGES[i])
    boxes = [{"bbx": [0, 0, 2, 2], "easy": [0], "hard": [1], "junk": []}] * 2
    truth = {"qimlist": ["0", "1"], "imlist": ["2", "3"], "gnd": boxes}
    (root / "gnd.json").write_text(json.dumps(truth))
    source = RevisitedSource(reader="revisited", path=str(root), ground_truth="gnd.json")
    return DatasetSpec(name="landmarks", source=source, kind="retrieval")


CONTAINERS = [
    of_folder,
    of_table,
    of_tar,
    of_parquet,
    of_parquet_with_paths,
    of_saved_dataset,
    of_npz,
    of_compressed_npz,
    of_npy,
    of_landmarks,
]


PAYLOADS = [image[8:] for image in IMAGES] + [pixels.tobytes() for pixels in PIXELS]
"""What to overwrite: all bytes of the images but PNG's signature; and the pixels of arrays."""


def overwrite(*folders: Path) -> int:
    """Invert the images of all files in place, which then get their old times; count the files."""
    count = 0
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        data, stat = path.read_bytes(), path.stat()
        changed = data
        for payload in PAYLOADS:
            inverted = bytes(255 - value for value in payload)
            old, new = (payload, inverted) if payload in data else (inverted, payload)
            changed = changed.replace(old, new)
        with path.open("r+b") as file:
            file.write(changed)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        count += changed != data
    return count


@pytest.mark.parametrize("make", CONTAINERS)
def test_images_that_were_overwritten_are_refused_until_they_are_restored(
    make: Callable[[Path], DatasetSpec], root: Path, cache: Path
) -> None:
    entry = make(root)
    split = next(iter(open_dataset(entry, cache).splits.values()))
    assert overwrite(root, cache / "arrays") >= 1
    for i in range(len(split)):
        message = "has other bytes than when the run was planned: .* Run the same command again"
        with pytest.raises(ChangedImageError, match=message):
            split.read(i)
    overwrite(root, cache / "arrays")
    again = next(iter(open_dataset(entry, cache).splits.values()))
    assert list(again.content) == list(split.content)
    assert all(again.read(i) for i in range(len(again)))


def test_a_drawing_that_was_overwritten_is_refused(cache: Path, monkeypatch) -> None:
    """Drawings are rendered: what is compared are the bytes of the SVG files."""
    entries = load_registry().datasets
    split = open_dataset(entries["openmoji"], cache, entries=entries).splits["test"]
    assert split.read(0).startswith(b"\x89PNG")
    real = samples.read_file
    monkeypatch.setattr(samples, "read_file", lambda path: real(path) + b" ")
    with pytest.raises(ChangedImageError, match=r"\.svg' has other bytes"):
        split.read(0)


def test_an_image_that_can_no_longer_be_read_is_a_changed_one(root: Path, cache: Path) -> None:
    split = open_dataset(of_folder(root), cache).splits["train"]
    (root / split.ids[0]).unlink()
    with pytest.raises(ChangedImageError, match=r"and now cannot .*\(No such file .*\. Run"):
        split.read(0)


def test_what_could_not_be_read_before_is_unreadable_and_changed_once_it_can() -> None:
    contents: list[bytes | None] = [None, b"ab"]

    def read(i: int) -> bytes:
        if (data := contents[i]) is None:
            raise UnreadableImageError("image '0' cannot be read (Permission denied).")
        return data

    digests = [unreadable_digest("0"), content_digest(b"ab")]
    reader = planned_reader(read, digests, ["0", "1"])
    assert [is_unreadable(digest) for digest in digests] == [True, False]
    assert reader(1) == b"ab"
    with pytest.raises(UnreadableImageError, match="Permission denied"):
        reader(0)
    contents[0] = b"ab"
    with pytest.raises(ChangedImageError, match=r"could not be read when .*, and now can\. Run"):
        reader(0)
