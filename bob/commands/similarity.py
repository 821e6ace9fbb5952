"""`bob-bench similarity`: how alike the stored features of backbones are."""

import argparse
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from bob.commands.features import several_backbones, stored_features
from bob.commands.terminal import Terminal
from bob.datasets.image_sets import ImageSet
from bob.errors import OK, ConfigError
from bob.leaderboards.render.tidy_table import csv_text, without_formulas
from bob.numerics.arrays import Doubles
from bob.numerics.representation_similarity import similarity
from bob.registry import load_registry
from bob.statistics.limits import student

PARTS = 5
"""Parts of the images that are left out in turn, for intervals."""
LEAST_IMAGES = 20


@dataclass(frozen=True)
class SimilarPair:
    """How alike the features of backbones a and b are, with 95 % limits."""

    a: str
    b: str
    images: int
    cka: float
    cka_low: float
    cka_high: float
    mutual_knn: float
    mutual_knn_low: float
    mutual_knn_high: float
    rsa: float
    rsa_low: float
    rsa_high: float


def run(arguments: argparse.Namespace) -> int:
    """Print the similarity of every pair, most alike first within a clustered order.

    Nothing is computed but the measures. ConfigError where features are not stored.
    """
    registry = load_registry(arguments.registry, arguments.tasks_dir)
    backbones, workspace, dataset = several_backbones(arguments, registry)
    if arguments.split not in dataset.splits:
        raise ConfigError(
            f"dataset {dataset.name!r} has no split {arguments.split!r}; "
            f"it has {', '.join(dataset.splits)}."
        )
    images = ImageSet(arguments.split)
    features = {
        spec.name: stored_features(workspace, dataset.name, spec, images) for spec in backbones
    }
    common = sorted(set.intersection(*(set(f.positions.tolist()) for f in features.values())))
    count = min(len(common), arguments.most)
    if count < LEAST_IMAGES:
        raise ConfigError(
            f"{count} images would be compared, and {LEAST_IMAGES} are needed; "
            f"{len(common)} of {arguments.split} have features of all backbones."
        )
    at = np.unique(np.linspace(0, len(common) - 1, count).astype(np.int64))
    positions = np.array(common)[at]
    rows = {name: f.view(positions).rows.astype(np.float64) for name, f in features.items()}
    pairs = similar_pairs(rows)
    terminal = Terminal()
    if arguments.json:
        terminal.write_line(json.dumps([asdict(pair) for pair in pairs], indent=1))
    else:
        terminal.render(matrix(pairs, "cka", "debiased linear CKA"))
        terminal.render(matrix(pairs, "mutual_knn", "share of the 10 nearest images in common"))
        terminal.render(matrix(pairs, "rsa", "rank correlation of distances"))
    if arguments.to is not None:
        frame = without_formulas(pd.DataFrame([asdict(pair) for pair in pairs]))
        arguments.to.write_text(csv_text(frame), encoding="utf-8")
        terminal.print_written([arguments.to])
    return OK


def similar_pairs(features: Mapping[str, Doubles]) -> list[SimilarPair]:
    """Return every pair of features (N, D) of the same images, in a clustered order of names."""
    pairs = {
        (a, b): _pair(a, b, features[a], features[b])
        for a, b in itertools.combinations(features, 2)
    }
    order = clustered([*features], {names: pair.cka for names, pair in pairs.items()})
    place = {name: i for i, name in enumerate(order)}
    return sorted(pairs.values(), key=lambda pair: sorted((place[pair.a], place[pair.b])))


def clustered(names: Sequence[str], similarities: Mapping[tuple[str, str], float]) -> list[str]:
    """Return the names with alike ones beside each other (average linkage on 1 − similarity)."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(names) < 3:
        return [*names]
    distances = [1 - np.nan_to_num(similarities[p]) for p in itertools.combinations(names, 2)]
    tree = linkage(np.maximum(distances, 0), "average", optimal_ordering=True)
    return [names[i] for i in leaves_list(tree)]


def _pair(a: str, b: str, x: Doubles, y: Doubles) -> SimilarPair:
    """Return the measures, with Student's limits over a jackknife of parts of the images."""
    part = np.arange(len(x)) % PARTS
    value = np.array(similarity(x, y))
    without = np.array([similarity(x[part != j], y[part != j]) for j in range(PARTS)])
    low, high = student((value + (PARTS - 1) * (without.mean(0) - without)).T)
    limits = [
        (v, max(bottom, -1.0), min(top, 1.0))
        for v, bottom, top in zip(value.tolist(), low.tolist(), high.tolist(), strict=True)
    ]
    return SimilarPair(a, b, len(x), *limits[0], *limits[1], *limits[2])


def matrix(pairs: Sequence[SimilarPair], measure: str, title: str) -> Table:
    """Return a table of one measure, with its limits, whose columns are numbered like its rows."""
    names = list(dict.fromkeys(name for pair in pairs for name in (pair.a, pair.b)))
    cells = {frozenset((pair.a, pair.b)): _text(pair, measure) for pair in pairs}
    table = Table(title=Text(title), title_justify="left")
    table.add_column(Text("backbone"), overflow="fold")
    for i in range(len(names) - 1):
        table.add_column(Text(str(i + 1)), justify="right")
    for i, name in enumerate(names):
        values = [cells[frozenset((name, other))] for other in names[:i]]
        empty = [""] * (len(names) - 1 - len(values))
        table.add_row(*map(Text, [f"{i + 1} {name}", *values, *empty]))
    return table


def _text(pair: SimilarPair, measure: str) -> str:
    value, low, high = (getattr(pair, f"{measure}{end}") for end in ("", "_low", "_high"))
    return "–" if np.isnan(value) else f"{value:.2f} [{low:.2f}–{high:.2f}]"
