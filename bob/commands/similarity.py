"""`bob-bench similarity`: how alike the stored features of backbones are."""

import argparse
import itertools
import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from bob.commands.arguments import require_output_file
from bob.commands.features import several_backbones, stored_features
from bob.commands.terminal import Terminal
from bob.datasets.dataset import Dataset
from bob.datasets.image_sets import ImageSet
from bob.engine.facts import backbone_facts
from bob.errors import OK, ConfigError
from bob.features.store import Features
from bob.io.files import write_output
from bob.leaderboards.render.csv_text import csv_text, without_formulas
from bob.leaderboards.similarities import SIMILARITY_FIELDS, cka_values, clustered
from bob.numerics.arrays import Doubles
from bob.numerics.representation_similarity import similarity
from bob.plan import Workspace
from bob.records.similarities import (
    Similarities,
    SimilarPair,
    features_digest,
    keep_similarities,
)
from bob.registry import load_registry
from bob.specs import BackboneSpec
from bob.statistics.limits import student

PARTS = 5
"""Parts of the images that are left out in turn, for intervals."""
LEAST_IMAGES = 20


def run(arguments: argparse.Namespace) -> int:
    """Print the similarity of every pair, most alike first within a clustered order, and keep it.

    Nothing is computed but the measures. ConfigError where features are not stored.
    """
    require_output_file("--to", arguments.to, [arguments.data] if arguments.data else [])
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
    pairs = similar_pairs(_common_rows(features, arguments.split, arguments.most))
    terminal = Terminal()
    similarities = _similarities(workspace, dataset, arguments.split, backbones, pairs)
    path = keep_similarities(arguments.results, similarities)
    terminal.note(f"kept for the page of `bob-bench leaderboard`: {path}")
    rows = [pair.model_dump() for pair in pairs]
    if arguments.json:
        terminal.write_line(json.dumps(rows, indent=1))
    else:
        terminal.render(matrix(pairs, "cka", "debiased linear CKA"))
        terminal.render(matrix(pairs, "mutual_knn", "share of the 10 nearest images in common"))
        terminal.render(matrix(pairs, "rsa", "rank correlation of distances"))
    if arguments.to is not None:
        frame = without_formulas(pd.DataFrame(rows))
        write_output(arguments.to, csv_text(frame).encode())
        terminal.print_written([arguments.to])
    return OK


def _common_rows(features: Mapping[str, Features], split: str, most: int) -> dict[str, Doubles]:
    """Return the rows of at most `most` images that all backbones have, evenly spaced."""
    common = sorted(set.intersection(*(set(f.positions.tolist()) for f in features.values())))
    count = min(len(common), most)
    if count < LEAST_IMAGES:
        raise ConfigError(
            f"{count} images would be compared, and {LEAST_IMAGES} are needed; "
            f"{len(common)} of {split} have features of all backbones."
        )
    at = np.unique(np.linspace(0, len(common) - 1, count).astype(np.int64))
    positions = np.array(common)[at]
    return {name: f.view(positions).rows.astype(np.float64) for name, f in features.items()}


def similar_pairs(features: Mapping[str, Doubles]) -> list[SimilarPair]:
    """Return every pair of features (N, D) of the same images, in a clustered order of names."""
    pairs = [_pair(a, b, features[a], features[b]) for a, b in itertools.combinations(features, 2)]
    order = clustered([*features], cka_values(pairs))
    place = {name: i for i, name in enumerate(order)}
    return sorted(pairs, key=lambda pair: sorted((place[pair.a], place[pair.b])))


def _similarities(
    workspace: Workspace,
    dataset: Dataset,
    split: str,
    backbones: Sequence[BackboneSpec],
    pairs: Sequence[SimilarPair],
) -> Similarities:
    """Return pairs with what identifies their images and features."""
    facts = [backbone_facts(spec, workspace.card(spec)) for spec in backbones]
    return Similarities(
        dataset=dataset.name,
        split=split,
        fingerprints=tuple(dict.fromkeys((dataset.fingerprint(()), dataset.fingerprint()))),
        backbones={of_backbone.name: features_digest(of_backbone) for of_backbone in facts},
        pairs=tuple(pairs),
    )


def _pair(a: str, b: str, x: Doubles, y: Doubles) -> SimilarPair:
    """Return the measures, with Student's limits over a jackknife of parts of the images."""
    part = np.arange(len(x)) % PARTS
    value = np.array(similarity(x, y))
    without = np.array([similarity(x[part != j], y[part != j]) for j in range(PARTS)])
    low, high = student((value + (PARTS - 1) * (without.mean(0) - without)).T)
    limits = value, np.maximum(low, -1), np.minimum(high, 1)
    by_measure = np.stack(limits, 1).ravel().tolist()
    measures = dict(zip(SIMILARITY_FIELDS, map(_if_defined, by_measure), strict=True))
    return SimilarPair(a=a, b=b, images=len(x), **measures)


def _if_defined(value: float) -> float | None:
    return None if np.isnan(value) else value


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
    if value is None:
        return "–"
    return f"{value:.2f}" if low is None else f"{value:.2f} [{low:.2f}–{high:.2f}]"
