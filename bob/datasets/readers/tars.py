"""Tars of samples (webdataset): an index of each, built once, and images read in place.

A sample is the members of one tar whose names are equal up to the first dot after the last slash;
the rest of the name tells what they hold (`jpg`, `cls`). Nothing is unpacked. Of an image, its
offset, size, digest and label are kept in memory: about 50 bytes.
"""

import io
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from bob.datasets.content.cache import Arrays, cached_arrays
from bob.datasets.content.digests import (
    Content,
    image_content,
    packed,
    text_digest,
    unreadable_content,
)
from bob.datasets.readers.tree import EXTENSIONS
from bob.errors import DatasetError, first_line
from bob.io.git_lfs import LARGEST_BYTES, is_pointer
from bob.io.names import printable

VERSION = 3
"""Version of the index format; raised if the index of an unchanged tar would differ."""
Text = NDArray[np.str_]


@dataclass(frozen=True)
class SampleExtensions:
    """Extensions of the members that are read of a sample; None reads no such member."""

    image: str
    """`auto` is the first image extension in the tar."""
    label: str | None
    captions: str | None


@dataclass(frozen=True, eq=False)
class TarIndex:
    """The n samples of a tar."""

    offsets: NDArray[np.int64]
    """(n,) offset of each image in bytes."""
    sizes: NDArray[np.int64]
    """(n,) size of each image in bytes; 0 if a sample has no image."""
    digests: NDArray[np.uint8]
    """(n, 17) xxh3-128 digests and traits of the images, packed."""
    labels: Text
    """(n,) labels as text, several as '0 3 7'; empty if labels are not read."""
    captions: Text
    """(n,) captions, one per line; empty if captions are not read."""
    image: str
    """Extension of the images."""
    others: Text
    """(m,) extensions of the members that are not read, or why they have none."""
    others_counts: NDArray[np.int64]
    """(m,) number of members of each."""


def tar_index(
    open_tar: Callable[[], BinaryIO],
    version: str,
    extensions: SampleExtensions,
    where: str,
    cache: Path,
) -> TarIndex:
    """Load the index of a tar from the cache, or open the tar and build it.

    The index is cached under `version`, which must change with the tar.
    """

    def compute() -> Arrays:
        with open_tar() as tar:
            index = _build_index(tar, extensions, where)
        return {**vars(index), "image": np.array(index.image)}

    key = text_digest(f"{VERSION} {version} {extensions}")
    arrays = dict(cached_arrays(cache / "tars" / f"{key}.npz", compute))
    return TarIndex(image=str(arrays.pop("image")), **arrays)


@dataclass
class _Sample:
    key: str
    offset: int = 0
    size: int = 0
    content: Content | None = None
    label: str = ""
    captions: str = ""


def _build_index(tar: BinaryIO, extensions: SampleExtensions, where: str) -> TarIndex:
    """Read a tar once from front to back."""
    image = extensions.image
    samples: list[_Sample] = []
    others: Counter[str] = Counter()
    for key, extension, member, data in _members(tar, where, others):
        if image == "auto" and f".{extension}" in EXTENSIONS:
            image = extension
        if not samples or samples[-1].key != key:
            samples.append(_Sample(key))
        sample = samples[-1]
        if extension == image:
            sample.offset, sample.size, sample.content = (
                member.offset_data,
                member.size,
                image_content(data()),
            )
        elif extension == extensions.label:
            sample.label = _parse_label(data(), extension, f"{where}, {printable(member.name)}")
        elif extension == extensions.captions:
            sample.captions = _decode(data(), f"{where}, {printable(member.name)}")
        else:
            others[f".{printable(extension)}"] += 1
    _check_samples(samples, extensions, where)
    return TarIndex(
        offsets=np.array([sample.offset for sample in samples], np.int64),
        sizes=np.array([sample.size for sample in samples], np.int64),
        digests=np.frombuffer(
            b"".join(
                packed(sample.content or unreadable_content(f"{where} {sample.key}"))
                for sample in samples
            ),
            np.uint8,
        ).reshape(len(samples), -1),
        labels=np.array([sample.label for sample in samples], np.str_),
        captions=np.array([sample.captions for sample in samples], np.str_),
        image=image,
        others=np.array(list(others), np.str_),
        others_counts=np.array(list(others.values()), np.int64),
    )


def _members(
    tar: BinaryIO, where: str, others: Counter[str]
) -> Iterator[tuple[str, str, tarfile.TarInfo, Callable[[], bytes]]]:
    """Yield key, extension and header of each file in the tar, and a function that reads it.

    Members without an extension, hidden ones and links are counted in `others`.
    """
    total, end = tar.seek(0, io.SEEK_END), 0
    tar.seek(0)
    for member in _headers(tar, where):
        folder, _, name = member.name.rpartition("/")
        begin, end = end, member.offset_data + (member.size if member.isfile() else 0)
        if not begin <= member.offset_data <= end <= total:
            raise DatasetError(
                f"{where}: not a complete, uncompressed tar ({printable(member.name)!r} is said to "
                f"have {member.size:,} bytes). Download it again."
            )
        if member.issparse():
            raise DatasetError(
                f"{where}: not a complete, uncompressed tar ({printable(member.name)!r} is stored "
                "with holes). Write it again without --sparse."
            )
        if member.isdir():
            continue
        if not member.isfile():
            others["links and devices"] += 1
        elif name.startswith("."):
            others["hidden"] += 1
        elif "." not in name:
            others["no extension"] += 1
        else:
            stem, _, extension = name.partition(".")
            read = partial(read_at, tar, member.offset_data, member.size)
            yield f"{folder}/{stem}", extension.lower(), member, read
    _check_end(tar, end, where)


def _check_end(tar: BinaryIO, end: int, where: str) -> None:
    """Raise DatasetError where a tar is cut after a member, or followed by another tar.

    `end` is the end of the last member. POSIX (pax, "ustar Interchange Format") ends an archive by
    two blocks of zeros, of which some writers leave out the second; what follows is padding.
    """
    tar.seek(-(-end // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
    if tar.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise DatasetError(
            f"{where}: not a complete, uncompressed tar (it ends without a mark of its end). "
            "Download it again."
        )
    while padding := tar.read(1 << 20):
        if any(padding):
            raise DatasetError(
                f"{where}: holds more data after its end, such as a second tar. Write all members "
                "into one tar, or give each its own file."
            )


def _headers(tar: BinaryIO, where: str) -> Iterator[tarfile.TarInfo]:
    """Yield the header of each member, in order."""
    try:
        with tarfile.open(fileobj=tar, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # else all headers are kept
                yield member
    except DatasetError:
        raise
    # TarError; and on odd extended headers (pax, sparse), its parser raises nearly anything.
    except Exception as error:
        tar.seek(0)
        if is_pointer(tar.read(LARGEST_BYTES)):
            raise DatasetError(f"{where}: a pointer of Git LFS. Run `git lfs pull`.") from error
        raise DatasetError(
            f"{where}: not a complete, uncompressed tar ({first_line(error)}). Download it again."
        ) from error


def read_at(tar: BinaryIO, offset: int, size: int) -> bytes:
    """Read `size` bytes at an offset."""
    tar.seek(offset)
    return tar.read(size)


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{where}: must be text in UTF-8; got {data[:40]!r}. Write the tar again."
        ) from error


def _parse_label(data: bytes, extension: str, where: str) -> str:
    """Return a label as text; of an npy vector of 0 and 1, the indices of the ones."""
    if extension != "npy":
        return _decode(data, where)
    try:
        indicators = np.asarray(np.load(io.BytesIO(data), allow_pickle=False))
    except Exception as error:  # on damaged data, NumPy's parser raises nearly anything
        raise DatasetError(
            f"{where}: not a NumPy array of numbers ({first_line(error)})."
        ) from error
    if indicators.ndim != 1 or not np.isin(indicators, (0, 1)).all():
        raise DatasetError(
            f"{where}: must be a vector of 0 and 1, one per class; got shape {indicators.shape}, "
            f"values {np.unique(indicators)[:5].tolist()}."
        )
    return " ".join(str(c) for c in np.flatnonzero(indicators))


def _check_samples(samples: Sequence[_Sample], extensions: SampleExtensions, where: str) -> None:
    if not any(sample.size for sample in samples):
        image = "an image" if extensions.image == "auto" else f"a .{extensions.image} file"
        raise DatasetError(
            f"{where}: none of its {len(samples)} samples contains {image}. "
            f"Correct the entry's 'image'."
        )
    for field, extension in (("label", extensions.label), ("captions", extensions.captions)):
        incomplete = [
            printable(sample.key).strip("/") for sample in samples if not getattr(sample, field)
        ]
        if extension and extension != "npy" and incomplete:
            raise DatasetError(
                f"{where}: sample {incomplete[0]!r} has no .{extension} file beside its "
                f"image ({len(incomplete)} of {len(samples)} samples lack it). The files of a "
                f"sample must follow one another in the tar."
            )
