"""Images in numpy files: MedMNIST's `.npz` (Yang et al. 2023, doi:10.1038/s41597-022-01721-8) and CIFAR-C's `.npy` (Hendrycks & Dietterich 2019).

Pixels stay in their file, which is mapped and not loaded; a compressed member of an npz is unpacked once, below the cache. An image is handed on as a
PNG of its pixels, without loss.
"""

import io
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from bob.datasets.content.digests import content_digest, cached_digests
from bob.datasets.content.sequences import Digests, LazyConcatenation, RowNames, concatenate
from bob.datasets.listing import ImageListing
from bob.errors import DatasetError
from bob.io.digest import digest
from bob.specs import Role

ROLES: tuple[Role, ...] = ("train", "val", "test")
SEVERITIES = 5
"""Of CIFAR-C: each file holds the test images at severity 1, then at 2, and so on."""


def list_medmnist(path: Path, cache: Path) -> ImageListing:
    """`{train,val,test}_images` and `_labels`; labels of more than one column are marks of several classes."""
    where = f"'{path}'"
    images = {role: _member(path, f"{role}_images", where, cache) for role in ROLES}
    labels = {role: np.asarray(_member(path, f"{role}_labels", where, cache)) for role in ROLES}
    for role in ROLES:
        if len(images[role]) != len(labels[role]) or labels[role].ndim != 2:
            raise DatasetError(
                f"{where}: {role}_images are {images[role].shape} and {role}_labels {labels[role].shape}: no row of labels per image."
            )
    rows = np.concatenate(list(labels.values()))
    several = rows.shape[1] > 1
    return ImageListing(
        where=where,
        ids=LazyConcatenation([RowNames(role, len(images[role])) for role in ROLES]),
        labels=None if several else [str(int(label)) for label in rows[:, 0]],
        label_sets=[[str(c) for c in np.flatnonzero(row)] for row in rows] if several else None,
        content=concatenate([_digests(images[role], f"{_times(path)} {role}", cache) for role in ROLES]),
        read=_reader(list(images.values())),
        splits=[role for role in ROLES for _ in range(len(images[role]))],
    )


def list_cifar_c(folder: Path, cache: Path) -> ImageListing:
    """`labels.npy` and one file of each corruption, all severities in it."""
    where = f"folder '{folder}'"
    paths = sorted(path for path in folder.glob("*.npy") if path.name != "labels.npy")
    if not paths or not (folder / "labels.npy").exists():
        raise DatasetError(
            f"{where}: must hold labels.npy and a file such as fog.npy for each corruption."
        )
    labels = np.load(folder / "labels.npy", allow_pickle=False)
    images = [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]
    if wrong := [
        path.name for path, array in zip(paths, images, strict=True) if len(array) != len(labels)
    ]:
        raise DatasetError(
            f"{where}: {wrong[0]} does not hold as many images as labels.npy has labels ({len(labels)})."
        )
    severity = [str(1 + i * SEVERITIES // len(labels)) for i in range(len(labels))]
    return ImageListing(
        where=where,
        ids=LazyConcatenation([RowNames(path.stem, len(labels)) for path in paths]),
        labels=[str(int(label)) for label in labels] * len(paths),
        content=concatenate(
            [
                _digests(array, _times(path), cache)
                for path, array in zip(paths, images, strict=True)
            ]
        ),
        read=_reader(images),
        splits=["test"] * (len(labels) * len(paths)),
        attributes={
            "corruption": [path.stem for path in paths for _ in labels],
            "severity": severity * len(paths),
        },
    )


def _member(path: Path, name: str, where: str, cache: Path) -> NDArray[Any]:
    """One array of an npz, mapped."""
    try:
        with zipfile.ZipFile(path) as archive:
            about = archive.getinfo(f"{name}.npy")
            if about.compress_type == zipfile.ZIP_STORED:
                return _mapped(path, _data_offset(path, about))
            return _mapped(
                _unpacked(
                    archive,
                    about,
                    cache / "arrays" / f"{content_digest(f'{_times(path)} {name}'.encode())}.npy",
                ),
                0,
            )
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise DatasetError(
            f"{where}: cannot be read as an npz of numpy arrays ({error}). Download it again."
        ) from error
    except KeyError as error:
        raise DatasetError(
            f"{where}: holds no array {name!r}; MedMNIST's files hold train, val and test images and labels."
        ) from error


def _data_offset(path: Path, about: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: its local header is 30 bytes, its name and an extra field, whose lengths are at 26 and 28."""
    with path.open("rb") as file:
        file.seek(about.header_offset + 26)
        name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
    return about.header_offset + 30 + name + extra


def _mapped(path: Path, offset: int) -> NDArray[Any]:
    """The array of npy format that begins there."""
    with path.open("rb") as file:
        file.seek(offset)
        version = npy.read_magic(file)
        shape, fortran, dtype = (
            npy.read_array_header_1_0(file)
            if version == (1, 0)
            else npy.read_array_header_2_0(file)
        )
        if dtype.hasobject:
            raise ValueError("it holds Python objects, which are not read")
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def _unpacked(archive: zipfile.ZipFile, about: zipfile.ZipInfo, path: Path) -> Path:
    """The member as a file of its own."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".writing")
        with archive.open(about) as packed, aside.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
        aside.replace(path)
    return path


def _reader(arrays: Sequence[NDArray[Any]]) -> Callable[[int], bytes]:
    ends = np.cumsum([len(array) for array in arrays])

    def read(position: int) -> bytes:
        a = int(np.searchsorted(ends, position, side="right"))
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(arrays[a][position - ends[a]])).save(
            buffer, "PNG", compress_level=1
        )
        return buffer.getvalue()

    return read


def _digests(images: NDArray[Any], version: str, cache: Path) -> Digests:
    """Digests of shape and pixels."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise DatasetError(
            f"images must be uint8 of shape (N, H, W) or (N, H, W, 3); got {images.dtype} of shape {images.shape}."
        )

    def hashed() -> Iterator[str]:
        about = f"pixels {images.shape[1:]} ".encode()
        for image in images:
            yield content_digest(about + image.tobytes())

    return cached_digests(digest(["arrays", version]), len(images), cache, hashed)


def _times(path: Path) -> str:
    stat = path.stat()
    return f"{path.absolute()} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
