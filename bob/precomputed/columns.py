"""Named arrays as examples: which array is what, checked as far as it can be without knowing the dataset.

    x        (N, D) features                     also features, embeddings, ... (`NAMES`)
    y        (N,) labels: whole numbers or text  also labels, targets
    ids      (N,) names of the examples          also paths, files
    groups   (N,) patient, site, object          also group
    split    (N,) train, val, test               also splits
    classes  (C,) names of the classes in order; whole numbers in y then count in it
    content  (N,) digests of the examples, as `bob-bench features` writes them

or each of the first four once per split: x_train, y_train, x_test, y_test. Case does not matter; other arrays are left out and told.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bob.datasets.listing import SPLIT_NAMES
from bob.errors import DatasetError
from bob.precomputed.formats import Stored, read_arrays
from bob.precomputed.labels import as_labels, as_text
from bob.specs import Role

NAMES: Mapping[str, tuple[str, ...]] = {
    "x": (
        "x",
        "feature",
        "features",
        "feat",
        "feats",
        "embedding",
        "embeddings",
        "emb",
        "embs",
        "vectors",
    ),
    "y": ("y", "label", "labels", "target", "targets"),
    "ids": ("ids", "id", "path", "paths", "file", "files", "filename", "filenames", "imageids"),
    "groups": ("groups", "group"),
    "split": ("split", "splits"),
    "classes": ("classes", "classnames", "labelnames"),
    "content": ("content",),
}
"""What an array is → names that people give it, in lower case and without `_`."""
_KIND = {name: kind for kind, names in NAMES.items() for name in names}
ROLES: Mapping[str, Role] = {**SPLIT_NAMES, "query": "query", "gallery": "gallery"}
ROWS = 8_192
"""Rows that are converted and checked at once."""
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Block:
    """N examples of one array of features."""

    where: str
    """File and array, for messages."""
    x: NDArray[Any]
    """(N, D) as it is in the file, perhaps mapped."""
    dtype: str
    """As in the file, bfloat16 among them."""
    role: Role | None
    """The split of all of them, or None where `split` tells it of each, or nothing does."""
    y: tuple[str, ...] | None
    """Labels as text; None where the file has none."""
    ids: tuple[str, ...] | None
    groups: tuple[str, ...] | None
    split: tuple[Role, ...] | None
    content: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        """(M, D) float32"""
        return np.asarray(self.x[at], np.float32)

    def roles(self) -> tuple[Role, ...]:
        """N splits; without any, all is train, of which a test split is then taken."""
        return self.split or (self.role or "train",) * len(self)


@dataclass(frozen=True, eq=False)
class Given:
    """All examples of one model's file or files."""

    where: str
    """Its files, for messages."""
    names: str
    """The files' names without folders, for records."""
    blocks: tuple[Block, ...]
    classes: tuple[str, ...] | None
    """Their official order; None orders them naturally."""
    notes: tuple[str, ...]

    @property
    def width(self) -> int:
        return int(self.blocks[0].x.shape[1])

    @property
    def dtype(self) -> str:
        return self.blocks[0].dtype

    @property
    def has_ids(self) -> bool:
        return self.blocks[0].ids is not None


def read_given(files: Mapping[Role | None, Path]) -> Given:
    """The examples of one file (None), or of one file per split."""
    read = {role: _read(path, role) for role, path in files.items()}
    where = ", ".join(str(path) for path in files.values())
    blocks = tuple(block for found, _, _ in read.values() for block in found)
    orders = {classes for _, classes, _ in read.values() if classes}
    if len(orders) > 1:
        raise DatasetError(
            f"{where}: the files list different classes; they must be those of one dataset, in one order."
        )
    _check_alike(where, blocks)
    for block in blocks:
        _check_finite(block)
    names = ", ".join(path.name for path in files.values())
    return Given(
        where,
        names,
        blocks,
        next(iter(orders), None),
        tuple(note for _, _, notes in read.values() for note in notes),
    )


def _read(path: Path, role: Role | None) -> tuple[list[Block], tuple[str, ...] | None, list[str]]:
    """Blocks, class names and notes of one file, all of whose examples are of the split `role`, unless that is None."""
    arrays = read_arrays(path)
    found, notes = _sorted_out(path, arrays)
    classes = (
        tuple(as_text(f"{path}: classes", found.pop(("classes", None)).values))
        if ("classes", None) in found
        else None
    )
    sides = list(dict.fromkeys(side for kind, side in found if kind == "x"))
    if not sides:
        there = (
            ", ".join(f"{name} {stored.values.shape}" for name, stored in arrays.items())
            or "nothing"
        )
        raise DatasetError(
            f"{path}: holds no features: an array 'x' of shape (N, D), or 'x_train' and 'x_test'. There are: {there}."
        )
    if None in sides and len(sides) > 1:
        raise DatasetError(
            f"{path}: holds features with and without a split's name; give either x, or x_train, x_test and so on."
        )
    if role is not None and (sides != [None] or ("split", None) in found):
        raise DatasetError(
            f"{path}: was given as {role}, and tells splits itself; give it without --{role}."
        )
    blocks = [
        _block(
            path,
            {kind: one for (kind, of), one in found.items() if of == side},
            role or side,
            classes,
        )
        for side in sides
    ]
    if stray := [f"{kind}_{of}" for kind, of in found if of not in sides]:
        raise DatasetError(
            f"{path}: {stray[0]} belongs to no features; there are {', '.join(_name('x', side) for side in sides)}."
        )
    return blocks, classes, notes


def _sorted_out(
    path: Path, arrays: Mapping[str, Stored]
) -> tuple[dict[tuple[str, Role | None], Stored], list[str]]:
    """(what it is, of which split) → array; and a note on arrays that are something else."""
    names: dict[tuple[str, Role | None], str] = {}
    for name in arrays:
        if (known := _meaning(name)) is None:
            continue
        if known in names:
            both = f"{names[known]!r} and {name!r}"
            raise DatasetError(
                f"{path}: {both} can each be {_name(*known)}; rename one, or leave it out of the file."
            )
        names[known] = name
    others = [
        f"{name} {arrays[name].values.shape}" for name in arrays if name not in names.values()
    ]
    notes = (
        [f"{path}: left out, since their names say nothing to bob-bench: {', '.join(others)}"]
        if others
        else []
    )
    return {known: arrays[name] for known, name in names.items()}, notes


def _meaning(name: str) -> tuple[str, Role | None] | None:
    """`X_train`, `train.features` → ("x", "train"); None for other names."""
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    sides = [word for word in words if word in ROLES]
    kind = _KIND.get("".join(word for word in words if word not in ROLES))
    return (kind, ROLES[sides[0]] if sides else None) if kind and len(sides) <= 1 else None


def _name(kind: str, side: Role | None) -> str:
    return f"{kind}_{side}" if side else kind


def _block(
    path: Path, arrays: Mapping[str, Stored], role: Role | None, classes: Sequence[str] | None
) -> Block:
    """One split's arrays, or those of all splits, checked against each other."""
    where, x = f"{path}: {_name('x', role)}", arrays["x"]
    _check_features(where, x.values)
    texts = {
        kind: as_text(f"{path}: {_name(kind, role)}", arrays[kind].values)
        for kind in ("ids", "groups", "split", "content")
        if kind in arrays
    }
    if "y" in arrays:
        texts["y"] = as_labels(f"{path}: {_name('y', role)}", arrays["y"].values, classes)
    for kind, values in texts.items():
        if len(values) != len(x.values):
            raise DatasetError(
                f"{where} has {len(x.values):,} rows and {_name(kind, role)} has {len(values):,}; there must be one for each row."
            )
    held = {kind: tuple(values) for kind, values in texts.items()}
    split = _roles(f"{path}: split", held["split"]) if "split" in held else None
    return Block(
        where,
        x.values,
        x.dtype,
        role,
        held.get("y"),
        held.get("ids"),
        held.get("groups"),
        split,
        held.get("content"),
    )


def _check_features(where: str, x: NDArray[Any]) -> None:
    if x.dtype.kind == "V":
        raise DatasetError(
            f"{where}: holds raw bytes ({x.dtype}), perhaps bfloat16, which .npy does not know. Save float32, .safetensors or .pt."
        )
    if x.dtype.kind not in "fiu":
        raise DatasetError(f"{where}: must hold numbers; got {x.dtype}.")
    if x.ndim != 2 or not x.size:
        hint = " Pool tokens or positions to one row per example first." if x.ndim > 2 else ""
        raise DatasetError(
            f"{where}: must be of shape (N, D), neither of them 0; got {x.shape}.{hint}"
        )


def _roles(where: str, values: Sequence[str]) -> tuple[Role, ...]:
    if strange := sorted({value for value in values if value.lower() not in ROLES}):
        raise DatasetError(
            f"{where}: must say {', '.join(ROLES)}; got {', '.join(map(repr, strange[:_SHOWN]))}."
        )
    return tuple(ROLES[value.lower()] for value in values)


def _check_alike(where: str, blocks: Sequence[Block]) -> None:
    """One width; labels and ids for all splits or for none; no id twice."""
    if len({block.x.shape[1] for block in blocks}) > 1:
        raise DatasetError(
            f"{where}: all splits must have one width D; got {', '.join(f'{b.where} {b.x.shape[1]}' for b in blocks)}."
        )
    for kind in ("y", "ids", "groups", "content"):
        having = [block for block in blocks if getattr(block, kind) is not None]
        if lacking := [block for block in blocks if having and getattr(block, kind) is None]:
            raise DatasetError(
                f"{lacking[0].where}: has no {kind}, which {having[0].where} has; give them for all splits or for none."
            )
    ids = [name for block in blocks for name in block.ids or ()]
    if len(set(ids)) < len(ids):
        raise DatasetError(_twice(blocks))


def _twice(blocks: Sequence[Block]) -> str:
    seen: dict[str, str] = {}
    places = (
        (name, f"row {i} of {block.where}")
        for block in blocks
        for i, name in enumerate(block.ids or ())
    )
    name, place = next(
        (name, place) for name, place in places if seen.setdefault(name, place) != place
    )
    return f"{place} has the id {name!r}, which {seen[name]} has already; ids must tell examples apart."


def _check_finite(block: Block) -> None:
    """DatasetError where a row holds NaN, infinity, or a number beyond float32."""
    bad: list[int] = []
    for start in range(0, len(block), ROWS):
        with np.errstate(over="ignore"):
            chunk = np.asarray(block.x[start : start + ROWS], np.float32)
        bad += (start + np.flatnonzero(~np.isfinite(chunk).all(axis=1))).tolist()
    if bad:
        shown = ", ".join(map(str, bad[:_SHOWN])) + (" and so on" if len(bad) > _SHOWN else "")
        what = "NaN, infinity or numbers beyond float32"
        raise DatasetError(
            f"{block.where}: {len(bad):,} of {len(block):,} rows hold {what}: rows {shown}, counted from 0."
        )
