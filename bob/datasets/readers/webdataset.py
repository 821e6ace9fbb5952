"""Webdataset repositories: the tars that the entry names, read where they lie, and class names from the file that it names.

`datasets` can open such tars too, but guesses their kind from the files beside them (one tar beside `nshards.txt` becomes a text of one row), and
writes all images a second time; and it has no place for class names.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path

import numpy as np

from bob.datasets.class_names import distinct
from bob.datasets.content.sequences import Digests, RowNames, concatenate
from bob.datasets.listing import ImageListing
from bob.datasets.readers.repository import File, Files
from bob.datasets.readers.tars import TarIndex, Wanted, index_of, read_at
from bob.errors import DatasetError, UnreadableImageError
from bob.specs import Role, WebDatasetSource


def list_webdataset(name: str, source: WebDatasetSource, cache: Path, offline: bool) -> ImageListing:
    """The samples of the tars of all splits."""
    where = f"dataset {name!r} ({source.hub or source.path})"
    files = Files(source, where, cache, offline)
    tars = {role: files.matching(patterns) for role, patterns in source.data_files.items()}
    indices = {role: _indices(several, files, source, cache) for role, several in tars.items()}
    parts = [index for several in indices.values() for index in several]
    _check_image(parts, [tar.name for several in tars.values() for tar in several], where)
    names = _class_names(source, files)
    sizes = {
        role: sum(len(index.offsets) for index in several) for role, several in indices.items()
    }
    labels = [str(label) for index in parts for label in index.labels] if source.label else None
    several_each = source.label == "npy"
    return ImageListing(
        where=where,
        ids=concatenate([RowNames(role, n) for role, n in sizes.items()]),
        content=Digests(np.concatenate([index.digests for index in parts])),
        read=Reader(files, [tar for several in tars.values() for tar in several], parts).read,
        splits=_repeated(sizes),
        labels=None if labels is None or several_each else _named(labels, names, where),
        label_sets=[_named(label.split(), names, where) for label in labels or ()]
        if several_each
        else None,
        classes=names,
        captions=[tuple(str(text).split("\n")) for index in parts for text in index.captions]
        if source.captions
        else None,
        notes=[f"images are the .{parts[0].image} files of the tars"]
        if source.image == "auto"
        else [],
    )


class Reader:
    """Images in tars, by their position among all."""

    def __init__(self, files: Files, tars: Sequence[File], indices: Sequence[TarIndex]) -> None:
        self._files, self._tars, self._indices = files, tars, indices
        self._ends = list(accumulate(len(index.offsets) for index in indices))

    def read(self, position: int) -> bytes:
        """The encoded image; safe to call from several threads, since each opens the tar for itself."""
        t = bisect_right(self._ends, position)
        index, row = self._indices[t], position - self._ends[t] + len(self._indices[t].offsets)
        if not index.sizes[row]:
            raise UnreadableImageError(f"sample {row} of {self._tars[t].name} has no .{index.image} file.")
        with self._files.opened(self._tars[t]) as tar:
            return read_at(tar, int(index.offsets[row]), int(index.sizes[row]))


def _indices(
    tars: Sequence[File], files: Files, source: WebDatasetSource, cache: Path
) -> list[TarIndex]:
    wanted = Wanted(source.image, source.label, source.captions)
    return [
        index_of(
            partial(files.opened, tar), tar.version, wanted, f"{files.where}, {tar.name}", cache
        )
        for tar in tars
    ]


def _check_image(indices: Sequence[TarIndex], names: Sequence[str], where: str) -> None:
    """`auto` must mean the same in all tars."""
    for index, name in zip(indices, names, strict=True):
        if index.image != indices[0].image:
            raise DatasetError(
                f"{where}: images are .{indices[0].image} files in {names[0]} and .{index.image} files in {name}. Name one as the entry's 'image'."
            )


def _class_names(source: WebDatasetSource, files: Files) -> list[str] | None:
    if source.names_file is None:
        return None
    (file,) = files.matching(source.names_file)
    with files.opened(file) as names:
        return distinct(
            [line.strip() for line in names.read().decode("utf-8").splitlines() if line.strip()]
        )


def _named(labels: Sequence[str], names: Sequence[str] | None, where: str) -> list[str]:
    """Labels that are numbers as class names, where these are known."""
    if names is None:
        return list(labels)
    if strange := [
        label for label in set(labels) if not (label.isdecimal() and int(label) < len(names))
    ]:
        raise DatasetError(
            f"{where}: the label {min(strange)!r} is no number below {len(names)}, the count of names in the entry's 'names_file'."
        )
    return [names[int(label)] for label in labels]


def _repeated(sizes: Mapping[Role, int]) -> list[Role]:
    return [role for role, n in sizes.items() for _ in range(n)]
