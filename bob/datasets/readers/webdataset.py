"""Webdataset repositories: the tars that the entry names, read in place.

Class names come from the file that the entry names. `datasets` can open such tars too, but guesses
their kind from the files beside them (one tar beside `nshards.txt` becomes a text of one row),
writes all images a second time, and does not support class names.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from bob.datasets.class_names import distinct
from bob.datasets.content.digests import unpacked
from bob.datasets.content.sequences import PartOffsets, RowNames, concatenate
from bob.datasets.listing import ImageListing
from bob.datasets.readers.repository import RepositoryFile, RepositoryFiles
from bob.datasets.readers.tars import SampleExtensions, TarIndex, read_at, tar_index
from bob.datasets.readers.tree import is_hidden
from bob.errors import DatasetError, UnreadableImageError
from bob.io.names import printable
from bob.specs import WebDatasetSource


def list_webdataset(
    name: str, source: WebDatasetSource, cache: Path, offline: bool
) -> ImageListing:
    """List the samples in the tars of all splits."""
    where = f"dataset {name!r} ({source.hub or source.path})"
    files = RepositoryFiles(source, where, cache, offline)
    extensions = SampleExtensions(source.image, source.label, source.captions)
    tars = {role: files.matching(patterns) for role, patterns in source.data_files.items()}
    all_tars = [tar for role_tars in tars.values() for tar in role_tars]
    indices = [
        tar_index(
            partial(files.open, tar),
            tar.version,
            extensions,
            f"{where}, {printable(tar.name)}",
            cache,
        )
        for tar in all_tars
    ]
    _check_same_extension(indices, [tar.name for tar in all_tars], where)
    roles = [role for role, role_tars in tars.items() for _ in role_tars]
    sizes = dict.fromkeys(tars, 0)
    for role, index in zip(roles, indices, strict=True):
        sizes[role] += len(index.offsets)
    names = _class_names(source, files)
    multi_label = source.label == "npy"
    labels = label_sets = captions = None
    if source.label:
        texts = [str(label) for index in indices for label in index.labels]
        if multi_label:
            label_sets = [_to_names(text.split(), names, where) for text in texts]
        else:
            labels = _to_names(texts, names, where)
    if source.captions:
        captions = [tuple(str(text).split("\n")) for index in indices for text in index.captions]
    return ImageListing(
        where=where,
        ids=concatenate([RowNames(role, n) for role, n in sizes.items()]),
        content=unpacked(np.concatenate([index.digests for index in indices])),
        read=TarImages(files, all_tars, indices).read,
        splits=[role for role, n in sizes.items() for _ in range(n)],
        labels=labels,
        label_sets=label_sets,
        classes=names,
        captions=captions,
        unread=_unread(indices, files, source, all_tars),
        notes=[f"images are the .{indices[0].image} files of the tars"]
        if source.image == "auto"
        else [],
    )


def _unread(
    indices: Sequence[TarIndex],
    files: RepositoryFiles,
    source: WebDatasetSource,
    tars: Sequence[RepositoryFile],
) -> Counter[str]:
    """Return the kinds of members that are not read; of a local copy, also the files."""
    unread: Counter[str] = Counter()
    for index in indices:
        unread.update(dict(zip(index.others.tolist(), index.others_counts.tolist(), strict=True)))
    if source.path:
        used = {tar.name for tar in tars} | {source.names_file}
        unread += Counter(
            f"file {printable(name)!r}" if name.endswith(".tar") else Path(name).suffix or "others"
            for name in files.by_name
            if name not in used and not is_hidden(name)
        )
    return unread


class TarImages:
    """Images in several tars, by their position in the concatenation of the tars."""

    def __init__(
        self,
        files: RepositoryFiles,
        tars: Sequence[RepositoryFile],
        indices: Sequence[TarIndex],
    ) -> None:
        self._files, self._tars, self._indices = files, tars, indices
        self._offsets = PartOffsets(len(index.offsets) for index in indices)

    def read(self, position: int) -> bytes:
        """Return an encoded image; safe to call from several threads, as each opens the tar."""
        t, row = self._offsets.locate(position)
        index = self._indices[t]
        if not index.sizes[row]:
            raise UnreadableImageError(
                f"sample {row} of {self._tars[t].name} has no .{index.image} file."
            )
        size = int(index.sizes[row])
        with self._files.open(self._tars[t]) as tar:
            data = read_at(tar, int(index.offsets[row]), size)
        if len(data) != size:
            raise UnreadableImageError(
                f"sample {row} of {self._tars[t].name} is cut short: {len(data):,} of {size:,} "
                "bytes. Download the tar again."
            )
        return data


def _check_same_extension(indices: Sequence[TarIndex], names: Sequence[str], where: str) -> None:
    """Raise if `auto` found different extensions in two tars."""
    for index, name in zip(indices, names, strict=True):
        if index.image != indices[0].image:
            raise DatasetError(
                f"{where}: images are .{indices[0].image} files in {names[0]} and .{index.image} "
                f"files in {name}. Name one extension as the entry's 'image'."
            )


def _class_names(source: WebDatasetSource, files: RepositoryFiles) -> list[str] | None:
    if source.names_file is None:
        return None
    matches = files.matching(source.names_file)
    if len(matches) > 1:
        raise DatasetError(
            f"{files.where}: names_file {source.names_file!r} matches {len(matches)} files, such "
            f"as {matches[0].name!r} and {matches[1].name!r}. Name one of them."
        )
    with files.open(matches[0]) as names:
        data = names.read()
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{files.where}, {matches[0].name}: must be text in UTF-8 ({error})."
        ) from error
    return distinct([line.strip() for line in lines if line.strip()])


def _to_names(labels: Sequence[str], names: Sequence[str] | None, where: str) -> list[str]:
    """Map labels, which must be indices into `names`, to names; keep them if `names` is None."""
    if names is None:
        return list(labels)
    invalid = [
        label for label in set(labels) if not (label.isdecimal() and int(label) < len(names))
    ]
    if invalid:
        raise DatasetError(
            f"{where}: label {min(invalid)!r} is not an index into the {len(names)} names of the "
            f"entry's 'names_file'."
        )
    return [names[int(label)] for label in labels]
