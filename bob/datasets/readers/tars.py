"""Tars of samples (webdataset): an index of each, made once, and images read from where they lie in it.

A sample is the members of one tar whose names are equal up to the first dot after the last slash; the rest tells what they hold (`jpg`, `cls`).
No member is unpacked. What is held of an image is its offset, size, digest and label: about 50 bytes.
"""

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from bob.datasets.content.cache import Arrays, cached_arrays
from bob.datasets.content.digests import content_digest, unreadable_digest
from bob.datasets.readers.folder import EXTENSIONS
from bob.errors import DatasetError

VERSION = 1
"""Raised when an index of the same tar would hold something else."""
Text = NDArray[np.str_]


@dataclass(frozen=True)
class Wanted:
    """What is read of a sample, by extension; None is nothing."""

    image: str
    """`auto` is the one of the first sample that is an image's."""
    label: str | None
    captions: str | None


@dataclass(frozen=True, eq=False)
class TarIndex:
    """n samples of one tar."""

    offsets: NDArray[np.int64]
    """(n,) where each image begins."""
    sizes: NDArray[np.int64]
    """(n,) bytes; 0 where a sample has no image."""
    digests: NDArray[np.uint8]
    """(n, 16) xxh3-128 of the images."""
    labels: Text
    """(n,) labels as text, those of several as '0 3 7'; empty where none is wanted."""
    captions: Text
    """(n,) captions, one a line; empty where none are wanted."""
    image: str
    """The extension of the images."""


def index_of(
    opened: Callable[[], BinaryIO], version: str, wanted: Wanted, where: str, cache: Path
) -> TarIndex:
    """The index of a tar, remembered under its version; the tar is opened only where no index is remembered."""

    def compute() -> Arrays:
        with opened() as tar:
            index = _made(tar, wanted, where)
        return {**vars(index), "image": np.array(index.image)}

    memory = cache / "tars" / f"{content_digest(f'{VERSION} {version} {wanted}'.encode())}.npz"
    arrays = dict(cached_arrays(memory, compute))
    return TarIndex(image=str(arrays.pop("image")), **arrays)


@dataclass
class _Sample:
    key: str
    offset: int = 0
    size: int = 0
    digest: str = ""
    label: str = ""
    captions: str = ""


def _made(tar: BinaryIO, wanted: Wanted, where: str) -> TarIndex:
    """Reads the tar once from front to back."""
    image = wanted.image
    samples: list[_Sample] = []
    for key, extension, member, data in _members(tar, where):
        if image == "auto" and f".{extension}" in EXTENSIONS:
            image = extension
        if not samples or samples[-1].key != key:
            samples.append(_Sample(key))
        sample = samples[-1]
        if extension == image:
            sample.offset, sample.size, sample.digest = (
                member.offset_data,
                member.size,
                content_digest(data()),
            )
        elif extension == wanted.label:
            sample.label = _label(data(), extension, f"{where}, {member.name}")
        elif extension == wanted.captions:
            sample.captions = data().decode("utf-8", "replace").strip()
    _check(samples, image, wanted, where)
    return TarIndex(
        offsets=np.array([sample.offset for sample in samples], np.int64),
        sizes=np.array([sample.size for sample in samples], np.int64),
        digests=np.frombuffer(
            b"".join(
                bytes.fromhex(sample.digest or unreadable_digest(f"{where} {sample.key}"))
                for sample in samples
            ),
            np.uint8,
        ).reshape(-1, 16),
        labels=np.array([sample.label for sample in samples], np.str_),
        captions=np.array([sample.captions for sample in samples], np.str_),
        image=image,
    )


def _members(
    tar: BinaryIO, where: str
) -> Iterator[tuple[str, str, tarfile.TarInfo, Callable[[], bytes]]]:
    """Key and extension of each file in the tar, in order, with a function that reads it."""
    try:
        with tarfile.open(fileobj=tar, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # else it keeps all of them
                folder, _, name = member.name.rpartition("/")
                if member.isfile() and not name.startswith(".") and "." in name:
                    stem, _, extension = name.partition(".")
                    yield (
                        f"{folder}/{stem}",
                        extension.lower(),
                        member,
                        partial(read_at, tar, member.offset_data, member.size),
                    )
    except tarfile.TarError as error:
        raise DatasetError(
            f"{where}: is not a whole, uncompressed tar ({error}). Download it again."
        ) from error


def read_at(tar: BinaryIO, offset: int, size: int) -> bytes:
    """So many bytes from there."""
    tar.seek(offset)
    return tar.read(size)


def _label(data: bytes, extension: str, where: str) -> str:
    """Text; of an npy vector of 0 and 1, the places of the ones."""
    if extension != "npy":
        return data.decode("utf-8", "replace").strip()
    try:
        marks = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DatasetError(f"{where}: is not a numpy array of numbers ({error}).") from error
    if marks.ndim != 1 or not np.isin(marks, (0, 1)).all():
        raise DatasetError(
            f"{where}: must be a vector of 0 and 1, one for each class; got shape {marks.shape}, values {np.unique(marks)[:5].tolist()}."
        )
    return " ".join(str(c) for c in np.flatnonzero(marks))


def _check(samples: Sequence[_Sample], image: str, wanted: Wanted, where: str) -> None:
    if not any(sample.size for sample in samples):
        asked = "an image" if wanted.image == "auto" else f"a .{wanted.image} file"
        raise DatasetError(f"{where}: none of its {len(samples)} samples holds {asked}.")
    for field, extension in (("label", wanted.label), ("captions", wanted.captions)):
        lacking = [sample.key for sample in samples if not getattr(sample, field)]
        if extension and extension != "npy" and lacking:
            raise DatasetError(
                f"{where}: sample {lacking[0].strip('/')!r} has no .{extension} file beside its image ({len(lacking)} of {len(samples)} lack it). "
                "The files of a sample must follow one another in the tar."
            )
