"""Images in NumPy files: MedMNIST's `.npz` and CIFAR-C's `.npy`.

MedMNIST: Yang et al. 2023, doi:10.1038/s41597-022-01721-8. CIFAR-C: Hendrycks & Dietterich 2019.

The files are memory-mapped and not loaded; a compressed member of an npz is first unpacked, once,
into the cache. An image is passed on as a PNG of its pixels, without loss.
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

from bob.datasets.content.digests import cached_digests, content_digest, file_version, text_digest
from bob.datasets.content.sequences import (
    Digests,
    LazyConcatenation,
    PartOffsets,
    RowNames,
    concatenate,
)
from bob.datasets.listing import ImageListing
from bob.errors import DatasetError
from bob.io.digest import digest
from bob.specs import Role

ROLES: tuple[Role, ...] = ("train", "val", "test")
SEVERITIES = 5
"""Number of severities of CIFAR-C: each file holds the test images at severity 1, then 2, ..."""


def list_medmnist(path: Path, cache: Path) -> ImageListing:
    """List the images of `{train,val,test}_images`, labelled by `{train,val,test}_labels`.

    Labels of more than one column are indicators of several classes.
    """
    where = f"'{path}'"
    images = {role: _member(path, f"{role}_images", where, cache) for role in ROLES}
    labels = {role: np.asarray(_member(path, f"{role}_labels", where, cache)) for role in ROLES}
    for role in ROLES:
        if len(images[role]) != len(labels[role]) or labels[role].ndim != 2:
            raise DatasetError(
                f"{where}: {role}_labels must hold one row per image; got {role}_images of shape "
                f"{images[role].shape} and {role}_labels of shape {labels[role].shape}."
            )
    rows = np.concatenate(list(labels.values()))
    multi_label = rows.shape[1] > 1
    return ImageListing(
        where=where,
        ids=LazyConcatenation([RowNames(role, len(images[role])) for role in ROLES]),
        labels=None if multi_label else [str(int(label)) for label in rows[:, 0]],
        label_sets=[[str(c) for c in np.flatnonzero(row)] for row in rows] if multi_label else None,
        content=concatenate(
            [_digests(images[role], f"{file_version(path)} {role}", where, cache) for role in ROLES]
        ),
        read=_png_reader(list(images.values())),
        splits=[role for role in ROLES for _ in range(len(images[role]))],
    )


def list_cifar_c(folder: Path, cache: Path) -> ImageListing:
    """List the images of each corruption's file at all severities, labelled by `labels.npy`."""
    where = f"folder '{folder}'"
    paths = sorted(path for path in folder.glob("*.npy") if path.name != "labels.npy")
    if not paths or not (folder / "labels.npy").exists():
        raise DatasetError(
            f"{where}: must contain labels.npy and one file per corruption, such as fog.npy."
        )
    labels = np.load(folder / "labels.npy", allow_pickle=False)
    images = [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]
    for path, array in zip(paths, images, strict=True):
        if len(array) != len(labels):
            raise DatasetError(
                f"{where}: {path.name} must hold one image per label in labels.npy; "
                f"got {len(array)} images and {len(labels)} labels."
            )
    severity = [str(1 + i * SEVERITIES // len(labels)) for i in range(len(labels))]
    return ImageListing(
        where=where,
        ids=LazyConcatenation([RowNames(path.stem, len(labels)) for path in paths]),
        labels=[str(int(label)) for label in labels] * len(paths),
        content=concatenate(
            [
                _digests(array, file_version(path), f"'{path}'", cache)
                for path, array in zip(paths, images, strict=True)
            ]
        ),
        read=_png_reader(images),
        splits=["test"] * (len(labels) * len(paths)),
        attributes={
            "corruption": [path.stem for path in paths for _ in labels],
            "severity": severity * len(paths),
        },
    )


def _member(path: Path, name: str, where: str, cache: Path) -> NDArray[Any]:
    """Map an array of an npz file into memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            if member.compress_type == zipfile.ZIP_STORED:
                return _map_array(path, _data_offset(path, member))
            key = text_digest(f"{file_version(path)} {name}")
            return _map_array(_unpack(archive, member, cache / "arrays" / f"{key}.npy"), 0)
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise DatasetError(
            f"{where}: cannot be read as an npz of NumPy arrays ({error}). Download it again."
        ) from error
    except KeyError as error:
        raise DatasetError(
            f"{where}: no array {name!r}; a MedMNIST file holds images and labels of train, val "
            f"and test."
        ) from error


def _data_offset(path: Path, member: zipfile.ZipInfo) -> int:
    """Return the offset of a member's bytes in a zip file.

    Its local header has 30 bytes, a name and an extra field, whose lengths are at 26 and 28.
    """
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)
        name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
    return member.header_offset + 30 + name + extra


def _map_array(path: Path, offset: int) -> NDArray[Any]:
    """Map the array in npy format that begins at an offset into memory."""
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


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Path:
    """Unpack a member into the file `path`, unless it exists."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".writing")
        with archive.open(member) as packed, temporary.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
        temporary.replace(path)
    return path


def _png_reader(arrays: Sequence[NDArray[Any]]) -> Callable[[int], bytes]:
    """Return a function from a position in the concatenated arrays to a PNG of that image."""
    offsets = PartOffsets(len(array) for array in arrays)

    def read(position: int) -> bytes:
        part, row = offsets.locate(position)
        buffer = io.BytesIO()
        pixels = np.ascontiguousarray(arrays[part][row])
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    return read


def _digests(images: NDArray[Any], version: str, where: str, cache: Path) -> Digests:
    """Return digests of shape and pixels, cached under the version of the file."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise DatasetError(
            f"{where}: images must be uint8 of shape (N, H, W) or (N, H, W, 3); "
            f"got {images.dtype} of shape {images.shape}."
        )

    def compute() -> Iterator[str]:
        shape = f"pixels {images.shape[1:]} ".encode()
        for image in images:
            yield content_digest(shape + image.tobytes())

    return cached_digests(digest(["arrays", version]), len(images), cache, compute)
