"""Tasks on features in memory: arrays in, scores with confidence intervals out.

    solutions = evaluate((x, y), tasks="linear,knn")
    solutions["linear"].score    # metric='top1', value=0.913, low=0.880, high=0.938, n=400

Nothing is read from or written to results, and no backbone is loaded. Splits, held-out examples,
protocols, metrics and intervals are those of the command line. Tasks that need images or a text
tower (corruptions, other input sizes, zero-shot) do not apply.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import ArrayLike, NDArray

from bob.datasets.assemble import assemble
from bob.datasets.dataset import Dataset, Shift, Split
from bob.datasets.listing import ImageListing
from bob.datasets.split_names import SPLIT_NAMES
from bob.engine.solve import Solution
from bob.errors import ConfigError, DatasetError, NotApplicableError
from bob.plan import RunSettings
from bob.precomputed.columns import FeatureTable
from bob.precomputed.own_dataset import refuse_to_read
from bob.precomputed.rows import Examples
from bob.precomputed.solve import feature_needs, solve_on_features
from bob.registry import load_registry, select, task_labels
from bob.specs.yaml import build


class LabelledFeatures(NamedTuple):
    """N labelled examples. A pair (x, y) is accepted in its place."""

    x: ArrayLike
    """(N, D) finite features, converted to float32."""
    y: ArrayLike
    """(N,) labels: whole numbers or text."""
    groups: Sequence[str] | None = None
    """N names (patient, site, object); sampled splits do not divide groups."""


LabelledInput = LabelledFeatures | tuple[ArrayLike, ArrayLike]


def evaluate(
    train: LabelledInput,
    test: LabelledInput | None = None,
    *,
    val: LabelledInput | None = None,
    shifts: Mapping[str, LabelledInput] | None = None,
    foreign: Mapping[str, ArrayLike] | None = None,
    tasks: str = "linear,knn",
    seeds: Sequence[int] = (0,),
    device: str = "cpu",
    task_folders: Sequence[Path] = (),
) -> dict[str, Solution]:
    """Return the solutions of tasks by name; tasks are selected as on the command line.

    Selections are names, globs and groups such as `group:core`. Without `test`, a fifth of each
    class is sampled from train; without `val`, settings are chosen on further held-out examples of
    train. Byte-identical rows count as copies of one image. `shifts` are further test sets of the
    same classes (task `ood`), `foreign` are (N, D) features of none of them (`ood_detection`).

    NotApplicableError where a task that was named exactly does not apply; one that a group or a
    glob selected is left out.
    """
    seeds = build(RunSettings, {"seeds": tuple(seeds)}, "bob.evaluate").seeds
    splits = {
        name: LabelledFeatures(*examples)
        for name, examples in (("train", train), ("val", val), ("test", test))
        if examples is not None
    }
    shifted = {name: LabelledFeatures(*examples) for name, examples in (shifts or {}).items()}
    foreign_x = {name: _matrix(name, x) for name, x in (foreign or {}).items()}
    _require_free_names(shifted, foreign_x)
    labelled_x = {name: _matrix(name, each.x) for name, each in {**splits, **shifted}.items()}
    rows = _StackedRows(labelled_x | foreign_x)
    dataset = _with_shifts(_dataset(splits, rows), shifted, foreign_x, rows)
    examples = Examples(dataset, [rows.table], {str(i): i for i in range(len(rows.table))})
    solutions: dict[str, Solution] = {}
    registry = load_registry(task_folders=task_folders)
    for selected in select(tasks, registry.tasks, "task", task_labels):
        task = selected.spec
        try:
            needs = feature_needs(task, dataset)
            solutions[task.name] = solve_on_features(task, examples, needs, seeds, device)
        except NotApplicableError:
            if selected.exact:
                raise
    return solutions


def _require_free_names(shifted: Iterable[str], foreign: Iterable[str]) -> None:
    names = [*shifted, *foreign]
    if used := [name for name in names if name in SPLIT_NAMES or names.count(name) > 1]:
        raise ConfigError(
            f"shifts and foreign: the name {used[0]!r} is already in use; choose another."
        )


class _StackedRows:
    """All sets of examples, one below the other; the id of an example is its row."""

    def __init__(self, sets: Mapping[str, NDArray[np.float32]]) -> None:
        """Stack sets of (N, D) features; DatasetError where their widths D differ."""
        widths = {name: x.shape[1] for name, x in sets.items()}
        if len(set(widths.values())) > 1:
            shown = ", ".join(f"{name} {width}" for name, width in widths.items())
            raise DatasetError(f"features must have one width D in all sets; got {shown}.")
        x = np.concatenate(list(sets.values()))
        ends = np.cumsum([len(x) for x in sets.values()])
        self.table = FeatureTable("features", x, str(x.dtype))
        self.indices = {
            name: np.arange(end - len(x), end)
            for (name, x), end in zip(sets.items(), ends, strict=True)
        }
        self.content = [xxhash.xxh3_128_hexdigest(row.tobytes()) for row in x]

    def size(self, name: str) -> int:
        return len(self.indices[name])

    def split(self, name: str, y: NDArray[np.int64]) -> Split:
        indices = self.indices[name]
        return Split(
            ids=[str(i) for i in indices],
            y=y,
            content=[self.content[i] for i in indices],
            read=refuse_to_read,
        )


def _dataset(splits: Mapping[str, LabelledFeatures], rows: _StackedRows) -> Dataset:
    """Return the dataset of the splits, assembled like one of images."""
    labels = [
        label
        for name, examples in splits.items()
        for label in _labels(name, examples, rows.size(name))
    ]
    groups = None
    if splits["train"].groups is not None:
        groups = [
            group
            for name, examples in splits.items()
            for group in _groups(name, examples, rows.size(name))
        ]
    listing = ImageListing(
        where="features",
        ids=[str(i) for i in range(len(labels))],
        content=rows.content[: len(labels)],
        read=refuse_to_read,
        splits=[SPLIT_NAMES[name] for name in splits for _ in range(rows.size(name))],
        labels=labels,
        groups=groups,
    )
    return assemble("features", listing)


def _with_shifts(
    dataset: Dataset,
    shifted: Mapping[str, LabelledFeatures],
    foreign: Iterable[str],
    rows: _StackedRows,
) -> Dataset:
    """Return the dataset with further test sets of its classes, and with foreign examples."""
    index = {label: c for c, label in enumerate(dataset.classes)}
    shifts: dict[str, Shift] = {}
    for name, examples in shifted.items():
        labels = _labels(name, examples, rows.size(name))
        if unknown := sorted(set(labels) - set(index)):
            raise DatasetError(f"{name}: holds the classes {unknown[:5]!r}, which train lacks.")
        y = np.array([index[label] for label in labels], np.int64)
        present = tuple(sorted(set(y.tolist())))
        classes = present if len(present) < len(index) else None
        shifts[name] = Shift(rows.split(name, y), "shift", classes)
    for name in foreign:
        shifts[name] = Shift(rows.split(name, np.zeros(rows.size(name), np.int64)), "far")
    return replace(dataset, shifts=shifts)


def _matrix(name: str, x: ArrayLike) -> NDArray[np.float32]:
    """Return features (N, D) as float32; DatasetError for other shapes, NaN and infinity."""
    values = np.ascontiguousarray(x, dtype=np.float32)
    if values.ndim != 2 or not values.size:
        raise DatasetError(
            f"{name}: x must be features of shape (N, D) with N and D at least 1; got "
            f"{np.shape(x)}."
        )
    if bad := int((~np.isfinite(values)).any(axis=1).sum()):
        raise DatasetError(f"{name}: {bad} of {len(values)} rows of x hold NaN or infinity.")
    return values


def _labels(name: str, examples: LabelledFeatures, n: int) -> list[str]:
    """Return the n labels of a set as text."""
    y = np.asarray(examples.y)
    y = np.array(y.tolist()) if y.dtype == object else y  # a column of pandas
    if y.shape != (n,) or y.dtype.kind not in "iubU":
        raise DatasetError(
            f"{name}: y must be {n} labels, whole numbers or text; got {y.dtype} of shape "
            f"{y.shape}."
        )
    return [str(label) for label in y.tolist()]


def _groups(name: str, examples: LabelledFeatures, n: int) -> list[str]:
    """Return the n groups of a set; without any, each example is a group of its own."""
    if examples.groups is None:
        return [f"{name} {i}" for i in range(n)]
    if len(examples.groups) != n:
        raise DatasetError(f"{name}: groups must be {n} names; got {len(examples.groups)}.")
    return [str(group) for group in examples.groups]
