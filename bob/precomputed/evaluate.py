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
from numpy.typing import ArrayLike, NDArray

from bob.datasets.assemble import assemble
from bob.datasets.dataset import Dataset, Shift, Split
from bob.datasets.listing import ImageListing
from bob.datasets.split_names import SPLIT_NAMES
from bob.engine.solve import Solution
from bob.errors import ConfigError, DatasetError, NotApplicableError
from bob.plan import RunSettings
from bob.precomputed.columns import FeatureTable, check_features, check_values
from bob.precomputed.in_memory import as_array
from bob.precomputed.labels import as_labels, as_text
from bob.precomputed.own_dataset import example_digest, place_scope, refuse_to_read
from bob.precomputed.rows import Examples
from bob.precomputed.solve import feature_needs, solve_on_features
from bob.registry import load_registry, select, task_labels
from bob.specs.yaml import build

DATASET = "features"
"""Name of the dataset that arrays in memory are."""


class LabelledFeatures(NamedTuple):
    """N labelled examples. A pair (x, y) is accepted in its place."""

    x: ArrayLike
    """(N, D) finite features (NumPy, PyTorch, pandas, lists), converted to float32."""
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
    train. Examples are identified by their positions, as those of a file without ids: features of
    the same examples in the same order have the same splits and draws. Copies of an example are
    kept together by `groups` alone. `shifts` are further test sets of the same classes (task
    `ood`), `foreign` are (N, D) features of none of them (`ood_detection`).

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
    foreign = foreign or {}
    _require_free_names(shifted, foreign)
    labelled_x = {name: each.x for name, each in {**splits, **shifted}.items()}
    sets = {name: _matrix(name, x) for name, x in {**labelled_x, **foreign}.items()}
    rows = _StackedRows(sets)
    dataset = _with_shifts(_dataset(splits, rows), shifted, foreign, rows)
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
        self.table = FeatureTable(DATASET, x, str(x.dtype))
        self.indices = {
            name: np.arange(end - len(x), end)
            for (name, x), end in zip(sets.items(), ends, strict=True)
        }
        scope = place_scope(DATASET)
        self.content = [
            example_digest(scope, f"{SPLIT_NAMES.get(name, name)} {i}")
            for name, x in sets.items()
            for i in range(len(x))
        ]

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
    if any(examples.groups is not None for examples in splits.values()):
        groups = [
            group
            for name, examples in splits.items()
            for group in _groups(name, examples, rows.size(name))
        ]
    listing = ImageListing(
        where=DATASET,
        ids=[str(i) for i in range(len(labels))],
        content=rows.content[: len(labels)],
        read=refuse_to_read,
        splits=[SPLIT_NAMES[name] for name in splits for _ in range(rows.size(name))],
        labels=labels,
        groups=groups,
    )
    return assemble(DATASET, listing)


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
    """Return features (N, D) as float32; DatasetError where those of a file would be refused."""
    where = f"{name}: x"
    values = as_array(where, x)
    check_features(where, values)
    check_values(FeatureTable(where, values, str(values.dtype)))
    return np.ascontiguousarray(values, np.float32)


def _labels(name: str, examples: LabelledFeatures, n: int) -> list[str]:
    """Return the n labels of a set as text."""
    labels = as_labels(f"{name}: y", as_array(f"{name}: y", examples.y), None)
    if len(labels) != n:
        raise DatasetError(f"{name}: x has {n:,} rows and y has {len(labels):,} labels.")
    return labels


def _groups(name: str, examples: LabelledFeatures, n: int) -> list[str]:
    """Return the n groups of a set; without any, each example is a group of its own."""
    if examples.groups is None:
        return [f"{name} {i}" for i in range(n)]
    groups = as_text(f"{name}: groups", as_array(f"{name}: groups", examples.groups))
    if len(groups) != n:
        raise DatasetError(f"{name}: groups must be {n} names; got {len(groups)}.")
    return groups
