"""Images in NumPy files: MedMNIST's `.npz` and CIFAR-C's `.npy`.

MedMNIST: Yang et al. 2023, doi:10.1038/s41597-022-01721-8. CIFAR-C: Hendrycks & Dietterich 2019.

The files are memory-mapped and not loaded; a compressed member of an npz is first unpacked, once,
into the cache. An image is passed on as a PNG of its pixels, without loss.
"""

import io
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from bob.datasets.content.digests import (
    Content,
    cached_digests,
    content_digest,
    file_version,
    text_digest,
)
from bob.datasets.content.planned import require_planned_bytes
from bob.datasets.content.sequences import (
    Digests,
    LazyConcatenation,
    PartOffsets,
    RowNames,
    concatenate,
)
from bob.datasets.content.traits import Trait
from bob.datasets.labels import decode_texts, number_text, require_characters
from bob.datasets.listing import ImageListing
from bob.datasets.split_names import ROLES
from bob.errors import BobError, DatasetError, first_line
from bob.io.digest import digest
from bob.io.files import atomic_writer
from bob.io.git_lfs import is_pointer_file, pointer_message

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
        labels[role] = _rows(images[role], labels[role], role, where)
    columns = {role: values.shape[1] for role, values in labels.items()}
    if len(set(columns.values())) > 1:
        raise DatasetError(f"{where}: the labels must have one number of columns; got {columns}.")
    multi_label = columns["train"] > 1
    texts = [
        text
        for role, values in labels.items()
        if not multi_label
        for text in class_labels(values[:, 0], f"{where}: {role}_labels")
    ]
    sets = [
        label_set
        for role, values in labels.items()
        if multi_label
        for label_set in _label_sets(values, f"{where}: {role}_labels")
    ]
    content = concatenate(
        [_digests(images[role], f"{file_version(path)} {role}", where, cache) for role in ROLES]
    )
    return ImageListing(
        where=where,
        ids=LazyConcatenation([RowNames(role, len(images[role])) for role in ROLES]),
        labels=None if multi_label else texts,
        label_sets=sets if multi_label else None,
        content=content,
        read=_png_reader(list(images.values()), content, where),
        is_derived=True,
        splits=[role for role in ROLES for _ in range(len(images[role]))],
        unread=_other_arrays(path),
    )


def _rows(images: NDArray[Any], labels: NDArray[Any], role: str, where: str) -> NDArray[Any]:
    """Return the labels of a split as rows (N, columns), one per image."""
    rows = labels[:, None] if labels.ndim == 1 else labels
    if rows.ndim != 2 or images.ndim < 1 or len(images) != len(rows):
        raise DatasetError(
            f"{where}: {role}_labels must hold one row per image; got {role}_images of shape "
            f"{images.shape} and {role}_labels of shape {labels.shape}."
        )
    return rows


def list_cifar_c(folder: Path, cache: Path) -> ImageListing:
    """List the images of each corruption's file at all severities, labelled by `labels.npy`."""
    where = f"folder '{folder}'"
    paths = sorted(path for path in folder.glob("*.npy") if path.name != "labels.npy")
    if not paths or not (folder / "labels.npy").exists():
        raise DatasetError(
            f"{where}: must contain labels.npy and one file per corruption, such as fog.npy."
        )
    labels = _load(folder / "labels.npy")
    images = [_load(path) for path in paths]
    if labels.ndim != 1:
        raise DatasetError(
            f"{where}: labels.npy must hold one label per image; got shape {labels.shape}."
        )
    for path, array in zip(paths, images, strict=True):
        if array.ndim < 1 or len(array) != len(labels):
            raise DatasetError(
                f"{where}: {path.name} must hold one image per label in labels.npy; "
                f"got {len(array) if array.ndim else 0} images and {len(labels)} labels."
            )
    content = concatenate(
        [
            _digests(array, file_version(path), f"'{path}'", cache)
            for path, array in zip(paths, images, strict=True)
        ]
    )
    severity = [str(1 + i * SEVERITIES // len(labels)) for i in range(len(labels))]
    return ImageListing(
        where=where,
        ids=LazyConcatenation([RowNames(path.stem, len(labels)) for path in paths]),
        labels=class_labels(labels, f"{where}: labels.npy") * len(paths),
        content=content,
        read=_png_reader(images, content, where),
        is_derived=True,
        splits=["test"] * (len(labels) * len(paths)),
        attributes={
            "corruption": [path.stem for path in paths for _ in labels],
            "severity": severity * len(paths),
        },
        unread=_other_files(folder),
    )


def class_labels(values: NDArray[Any], where: str) -> list[str]:
    """Return N labels as text: whole numbers of any type, text, or bytes in UTF-8.

    DatasetError, beginning with `where`, for missing values and for anything else.
    """
    if values.dtype.kind == "f":
        texts = [number_text(value) for value in values.tolist()]
        if missing := int(np.isnan(values).sum()):
            raise DatasetError(
                f"{where}: {missing:,} of {len(values):,} labels are missing (NaN), such as that "
                f"of row {int(np.isnan(values).argmax())}. Remove these images."
            )
        if None in texts:
            raise DatasetError(
                f"{where}: labels must be whole numbers or text; got {values.dtype} with the value "
                f"{values[texts.index(None)]!r}."
            )
        return [text for text in texts if text is not None]
    if values.dtype.kind == "S":
        values = decode_texts(values, where)
    if values.dtype.kind not in "iubU":
        raise DatasetError(f"{where}: labels must be whole numbers or text; got {values.dtype}.")
    if values.dtype.kind != "U":
        return [str(int(value)) for value in values.tolist()]
    require_characters(values, where)
    names = [str(value) for value in values.tolist()]
    if blank := [i for i, name in enumerate(names) if not name.strip()]:
        raise DatasetError(
            f"{where}: {len(blank):,} of {len(names):,} labels are empty, such as that of row "
            f"{blank[0]}. Remove these images."
        )
    return names


def _label_sets(values: NDArray[Any], where: str) -> list[list[str]]:
    """Return the classes of N images from indicators (N, C)."""
    if values.dtype.kind not in "iubf" or not np.isin(values, (0, 1)).all():
        got = np.unique(values)[:5].tolist() if values.dtype.kind in "iubf" else values.dtype
        raise DatasetError(
            f"{where}: labels of several columns must be 0 or 1, one per class; got {got}."
        )
    return [[str(c) for c in np.flatnonzero(row)] for row in values]


def _load(path: Path) -> NDArray[Any]:
    """Map an npy file into memory."""
    if is_pointer_file(path):
        raise DatasetError(pointer_message(path))
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # on damaged data, NumPy's parser raises nearly anything
        raise DatasetError(
            f"'{path}': cannot be read as a NumPy array ({first_line(error)}). Copy it again."
        ) from error
    return array


def _other_files(folder: Path) -> Counter[str]:
    """Return the kinds of files beside the arrays of a folder."""
    return Counter(
        f"folder {path.name!r}" if path.is_dir() else path.suffix.lower() or "no extension"
        for path in folder.iterdir()
        if path.suffix != ".npy"
    )


def _other_arrays(path: Path) -> Counter[str]:
    """Return the arrays of an npz file that are not read."""
    read = {f"{role}_{what}" for role in ROLES for what in ("images", "labels")}
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    return Counter(f"array {name!r}" for name in names if name not in read)


def _member(path: Path, name: str, where: str, cache: Path) -> NDArray[Any]:
    """Map an array of an npz file into memory."""
    if is_pointer_file(path):
        raise DatasetError(pointer_message(path))
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            if member.compress_type == zipfile.ZIP_STORED:
                return _map_array(path, _data_offset(path, member))
            key = text_digest(f"{file_version(path)} {name}")
            return _map_array(_unpack(archive, member, cache / "arrays" / f"{key}.npy"), 0)
    except KeyError as error:
        raise DatasetError(
            f"{where}: no array {name!r}; a MedMNIST file holds images and labels of train, val "
            f"and test."
        ) from error
    except BobError:
        raise
    # An unknown compression is a NotImplementedError, a password a RuntimeError; and on damaged
    # data, the parsers raise nearly anything.
    except Exception as error:
        raise DatasetError(
            f"{where}: cannot be read as an npz of NumPy arrays ({first_line(error)}). Download it "
            "again, or save it with np.savez."
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
        with archive.open(member) as packed, atomic_writer(path) as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    return path


def _png_reader(
    arrays: Sequence[NDArray[Any]], content: Sequence[str], where: str
) -> Callable[[int], bytes]:
    """Return a function from a position in the concatenated arrays to a PNG of that image.

    It raises ChangedImageError where the pixels are not those of the digests `content`.
    """
    offsets = PartOffsets(len(array) for array in arrays)

    def read(position: int) -> bytes:
        part, row = offsets.locate(position)
        pixels = np.array(arrays[part][row], order="C")  # a copy: what is checked is what is used
        require_planned_bytes(_pixels_digest(pixels), content[position], f"{where}, {position}")
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    return read


def _pixels_digest(image: NDArray[Any]) -> str:
    """Return the digest of the shape and pixels of an image."""
    return content_digest(f"pixels {image.shape} ".encode() + image.tobytes())


def _digests(images: NDArray[Any], version: str, where: str, cache: Path) -> Digests:
    """Return digests of shape and pixels, cached under the version of the file."""
    shape = images.shape
    is_image = images.ndim == 3 or (images.ndim == 4 and shape[3] in (1, 3, 4))
    if images.dtype != np.uint8 or not is_image or 0 in shape[1:]:
        raise DatasetError(
            f"{where}: images must be uint8 of shape (N, H, W) or (N, H, W, 3); "
            f"got {images.dtype} of shape {shape}."
        )

    key, traits = digest(["arrays", version]), int(Trait.ALPHA) if shape[3:] == (4,) else 0

    def compute() -> Iterator[Content]:
        return ((_pixels_digest(image), traits) for image in images)

    return cached_digests(key, len(images), cache, compute)
