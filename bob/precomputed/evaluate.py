"""Features that one has already, asked by the same tasks: arrays in, scores with intervals out. Reads and writes no results, loads no backbone.

    answers = evaluate((x, y), tasks="linear,knn")
    answers["linear"].score    # metric='top1', value=0.913, low=0.880, high=0.938, n=400

The rows go the way of stored ones: splits, held-out draws, protocols, metrics and intervals are those of the command line. What needs images or a
text tower (corruptions, other input sizes, zero-shot) does not apply.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import ArrayLike, NDArray

from bob.datasets.assemble import assemble
from bob.datasets.dataset import Dataset, Shift, Split
from bob.datasets.listing import SPLIT_NAMES, Listing
from bob.engine.solve import Answer, ask
from bob.errors import ConfigError, DatasetError, NotApplicableError
from bob.features.store import Effort, Features
from bob.registry.registry import load_registry, select, task_labels
from bob.specs import BackboneSpec
from bob.wiring import Need, TextNeed

UNKNOWN = BackboneSpec(
    name="features", family="domain", loader="python", architecture="features:given"
)
"""Stands for whatever made the rows."""


class Rows(NamedTuple):
    """N examples. A tuple of the first two will do in its place."""

    x: ArrayLike
    """(N, D) finite features, computed with as float32."""
    y: ArrayLike
    """(N,) labels: whole numbers or text."""
    groups: Sequence[str] | None = None
    """N names (patient, site, object) whose members stay on one side of every split that is drawn."""


Given = Rows | tuple[ArrayLike, ArrayLike]


def evaluate(
    train: Given,
    test: Given | None = None,
    *,
    val: Given | None = None,
    shifts: Mapping[str, Given] | None = None,
    foreign: Mapping[str, ArrayLike] | None = None,
    tasks: str = "linear,knn",
    seeds: Sequence[int] = (0,),
    device: str = "cpu",
    task_folders: Sequence[Path] = (),
) -> dict[str, Answer]:
    """Task → its answer, for tasks named as on the command line (names, globs, `group:core`).

    Without `test`, a fifth of each class is taken from train; without `val`, settings are chosen on further held-out rows of train. Byte-identical
    rows count as copies of one image. `shifts` are further test sets of the same classes (task `ood`), `foreign` are (N, D) rows of none of them
    (`ood_detection`). A task that does not apply raises NotApplicableError where it was named, and is left out where a group or a glob chose it.
    """
    own = {
        name: Rows(*rows)
        for name, rows in (("train", train), ("val", val), ("test", test))
        if rows is not None
    }
    moved, strange = (
        {name: Rows(*rows) for name, rows in (shifts or {}).items()},
        {name: _matrix(name, x) for name, x in (foreign or {}).items()},
    )
    if taken := [
        name
        for name in (*moved, *strange)
        if name in SPLIT_NAMES or (name in moved and name in strange)
    ]:
        raise ConfigError(f"shifts and foreign: {taken[0]!r} is taken: choose another name.")
    pool = _Pool({name: _matrix(name, rows.x) for name, rows in {**own, **moved}.items()} | strange)
    dataset = _with_shifts(_dataset(own, pool), moved, list(strange), pool)
    answers: dict[str, Answer] = {}
    for one in select(tasks, load_registry(task_folders=task_folders).tasks, "task", task_labels):
        try:
            answers[one.spec.name] = ask(one.spec, dataset, UNKNOWN, pool.features, seeds, device)
        except NotApplicableError:
            if one.exact:
                raise
    return answers


class _Pool:
    """All rows, one set below the other; an example's id is its place."""

    def __init__(self, sets: Mapping[str, NDArray[np.float32]]) -> None:
        widths = {name: x.shape[1] for name, x in sets.items()}
        if len(set(widths.values())) > 1:
            raise DatasetError(
                f"features must have one width D in all sets; got {', '.join(f'{name} {d}' for name, d in widths.items())}."
            )
        ends = np.cumsum([len(x) for x in sets.values()])
        self.x = np.concatenate(list(sets.values()))
        self.places = {
            name: np.arange(end - len(x), end)
            for (name, x), end in zip(sets.items(), ends, strict=True)
        }
        self.content = [xxhash.xxh3_128_hexdigest(row.tobytes()) for row in self.x]

    def split(self, name: str, y: NDArray[np.int64]) -> Split:
        places = self.places[name]
        return Split(
            ids=[str(i) for i in places],
            y=y,
            content=[self.content[i] for i in places],
            read=_no_image,
        )

    def features(self, need: Need | TextNeed) -> Features:
        """The rows of a split of these examples; whatever a dataset makes of itself otherwise needs images."""
        if not isinstance(need, Need) or need.backbone != UNKNOWN or need.split.alter is not None:
            raise NotApplicableError(f"{need.name} needs images; features are all there is.")
        rows = self.x[[int(i) for i in need.split.ids]]
        return Features(rows, np.arange(len(rows)), {}, Effort())


def _dataset(own: Mapping[str, Rows], pool: _Pool) -> Dataset:
    """Checked and, without test rows, split as images in folders are."""
    labels = [
        label for name, rows in own.items() for label in _labels(name, rows, len(pool.places[name]))
    ]
    groups = None
    if own["train"].groups is not None:
        groups = [
            group
            for name, rows in own.items()
            for group in _groups(name, rows, len(pool.places[name]))
        ]
    listing = Listing(
        where="features",
        ids=[str(i) for i in range(len(labels))],
        content=pool.content[: len(labels)],
        read=_no_image,
        splits=[SPLIT_NAMES[name] for name in own for _ in pool.places[name]],
        labels=labels,
        groups=groups,
    )
    return assemble("features", listing)


def _with_shifts(
    dataset: Dataset, moved: Mapping[str, Rows], strange: Sequence[str], pool: _Pool
) -> Dataset:
    index = {label: c for c, label in enumerate(dataset.classes)}
    found: dict[str, Shift] = {}
    for name, rows in moved.items():
        labels = _labels(name, rows, len(pool.places[name]))
        if unknown := sorted(set(labels) - set(index)):
            raise DatasetError(
                f"{name}: holds the classes {unknown[:5]!r}, which train does not have."
            )
        y = np.array([index[label] for label in labels], np.int64)
        known = tuple(sorted(set(y.tolist())))
        found[name] = Shift(
            pool.split(name, y), "shift", known if len(known) < len(index) else None
        )
    foreign = {
        name: Shift(pool.split(name, np.zeros(len(pool.places[name]), np.int64)), "far")
        for name in strange
    }
    return replace(dataset, shifts=found | foreign)


def _matrix(name: str, x: ArrayLike) -> NDArray[np.float32]:
    values = np.ascontiguousarray(x, dtype=np.float32)
    if values.ndim != 2 or not values.size:
        raise DatasetError(
            f"{name}: x must be features of shape (N, D), neither of them 0; got {np.shape(x)}."
        )
    if bad := int((~np.isfinite(values)).any(axis=1).sum()):
        raise DatasetError(f"{name}: {bad} of {len(values)} rows of x hold NaN or infinity.")
    return values


def _labels(name: str, rows: Rows, n: int) -> list[str]:
    y = np.asarray(rows.y)
    y = np.array(y.tolist()) if y.dtype == object else y  # a column of pandas
    if y.shape != (n,) or y.dtype.kind not in "iubU":
        raise DatasetError(
            f"{name}: y must be {n} labels, whole numbers or text; got {y.dtype} of shape {y.shape}."
        )
    return [str(label) for label in y.tolist()]


def _groups(name: str, rows: Rows, n: int) -> list[str]:
    """Rows of a set without groups are each on their own."""
    if rows.groups is None:
        return [f"{name} {i}" for i in range(n)]
    if len(rows.groups) != n:
        raise DatasetError(f"{name}: groups must be {n} names; got {len(rows.groups)}.")
    return [str(group) for group in rows.groups]


def _no_image(position: int) -> Any:
    raise DatasetError(f"row {position} has no image; features are all there is.")
