"""Predicted order of backbones that have no record, from published tables and a few records.

Nothing is decided by it: it says which backbones to download first. It is in no leaderboard.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bob.errors import ConfigError, nearest
from bob.leaderboards.cells import BoardCell, board_cells, is_baseline
from bob.leaderboards.metric_traits import metric_traits
from bob.numerics.arrays import Bools, Doubles
from bob.records.record import Record
from bob.specs import BackboneSpec
from bob.statistics.correlation import kendall, spearman
from bob.statistics.score_prediction import (
    LEAST_DATASETS,
    LEAST_OBSERVED,
    held_out_columns,
    predict_scores,
)

FLAG = "--match"
SHOWN = 5
"""Names that an error message lists."""


@dataclass(frozen=True)
class PublishedScores:
    """Scores of R backbones in C columns of published tables, higher is better."""

    backbones: tuple[str, ...]
    """Names of the registry where one matches, else as published."""
    datasets: tuple[str, ...]
    """(C,) the dataset of each column."""
    values: Doubles
    """(R, C) in [0, 1]; NaN where missing."""
    left_out: tuple[str, ...]
    """Columns whose metric is neither a share nor an error, or that repeat a dataset."""


@dataclass(frozen=True)
class PredictedBackbone:
    """Predicted score of a registered backbone without a record."""

    name: str
    value: float
    """A fraction."""
    low: float | None
    high: float | None
    """Interval with a nominal coverage of 80 %; None where too few datasets determine one, or the
    prediction is cut."""
    params: int | None
    is_cut: bool = False
    """Whether the prediction lay below 0 or above 1, and is the nearer of the two."""


@dataclass(frozen=True)
class OrderingErrors:
    """How well a method orders the backbones of datasets that were held out of the tables."""

    method: str
    columns: int
    backbones: int
    """Number that is ordered, the largest over columns."""
    spearman: float | None
    """Mean over columns; None where undefined on each. So is kendall."""
    kendall: float | None
    regret: float
    """By how much the backbone that comes first is worse than the best; the mean over columns."""
    worst_regret: float


@dataclass(frozen=True)
class Prerank:
    """Predicted order, best first, and how wrong such orders were on the tables."""

    task: str
    dataset: str
    metric: str
    observed: tuple[str, ...]
    order: tuple[PredictedBackbone, ...]
    methods: tuple[OrderingErrors, ...]
    """The prediction first; then the mean over columns, and the number of parameters where the
    registry states enough of them."""
    unregistered: tuple[str, ...]
    """Backbones of the tables that match no registered one."""


def published_scores(
    tables: Sequence[Sequence[Record]],
    specs: Mapping[str, BackboneSpec],
    matches: Mapping[str, str],
) -> PublishedScores:
    """Gather the scores of tables, with the names of the registry.

    Of each table and dataset the first metric counts. Errors x become 1 - x. `matches` maps names
    of the tables to registered ones.

    Raises
    ------
    ConfigError
        If `matches` names an unknown backbone, or one that no table has.
    """
    _check_matches(matches, {record.backbone_name for t in tables for record in t}, specs)
    columns: dict[tuple[int, str], tuple[str, str]] = {}
    values: dict[tuple[str, tuple[int, str]], float] = {}
    left_out: dict[str, None] = {}
    for t, records in enumerate(tables):
        names = _registered_names([record.backbone_name for record in records], specs, matches)
        for record in records:
            metric, column = record.task.metrics[0], (t, record.dataset_name.casefold())
            traits = metric_traits(metric)
            is_error = traits.at_most_one and not traits.higher_is_better
            is_usable = traits.is_share or (is_error and not traits.describes)
            source = (record.task.name, metric)
            if not is_usable or columns.setdefault(column, source) != source:
                left_out[f"{record.task.name}/{record.dataset_name} ({metric})"] = None
                continue
            value = record.scores[0].value
            if value is not None:
                name = names[record.backbone_name]
                values[name, column] = 1 - value if is_error else value
    backbones = tuple(dict.fromkeys(name for name, _ in values))
    table = np.array(
        [[values.get((name, column), np.nan) for column in columns] for name in backbones]
    ).reshape(len(backbones), len(columns))
    return PublishedScores(backbones, tuple(name for _, name in columns), table, tuple(left_out))


def prerank(
    published: PublishedScores, records: Iterable[Record], specs: Mapping[str, BackboneSpec]
) -> Prerank:
    """Predict the order of the registered backbones of the tables that have no record.

    Raises
    ------
    ConfigError
        If the records are of several tasks or datasets, or their metric is not a share; if fewer
        than 3 backbones of the tables have a score, or the tables have fewer than 4 datasets; or
        if every registered backbone of the tables has a record.
    """
    cells = [cell for cell in board_cells(records) if not is_baseline(cell.record)]
    first = _only_column(cells)
    scores = {cell.record.backbone_name: cell.value for cell in cells if cell.value is not None}
    y = np.array([scores.get(name, np.nan) for name in published.backbones])
    observed = ~np.isnan(y)
    _require_enough(published, observed, specs)
    done = {cell.record.backbone_name for cell in cells}
    wanted = [i for i, name in enumerate(published.backbones) if name in specs and name not in done]
    if not wanted:
        raise ConfigError(
            "every registered backbone of the tables has a record, so that none is left to order. "
            f"Name others with {FLAG} PUBLISHED=BACKBONE."
        )
    prediction = predict_scores(published.values, published.datasets, y)
    wanted.sort(key=lambda i: -prediction.values[i])
    names = published.backbones
    params = np.array([specs[n].params or np.nan if n in specs else np.nan for n in names])
    return Prerank(
        task=first.column.task,
        dataset=first.column.dataset,
        metric=first.metric,
        observed=tuple(np.array(names)[observed].tolist()),
        order=tuple(
            _predicted_backbone(
                specs[names[i]], float(prediction.values[i]), float(prediction.half_widths[i])
            )
            for i in wanted
        ),
        methods=tuple(ordering_errors(published, observed, params)),
        unregistered=tuple(name for name in names if name not in specs),
    )


def ordering_errors(
    published: PublishedScores, observed: Bools, params: Doubles
) -> list[OrderingErrors]:
    """Return the errors of each method on columns that are held out with their datasets.

    observed (R,): the backbones whose scores the prediction reads; the others are ordered. params
    (R,), NaN where unknown: such backbones are left out of the order by parameters.
    """
    held_out = held_out_columns(published.values, published.datasets, observed)
    methods: dict[str, Callable[[int], Doubles]] = {
        "prediction": lambda i: held_out[i].values,
        "mean over the other columns": lambda i: held_out[i].means,
        "number of parameters": lambda i: params,
    }
    errors = []
    for method, predicted in methods.items():
        pairs = []
        for i, column in enumerate(held_out):
            order, truth = predicted(i), published.values[:, column.column]
            at = column.is_scored & ~np.isnan(order)
            if at.sum() >= 2:
                pairs.append((order[at], truth[at]))
        if pairs:
            errors.append(_errors(method, pairs))
    return errors


def _errors(method: str, pairs: Sequence[tuple[Doubles, Doubles]]) -> OrderingErrors:
    regrets = [float(truth.max() - truth[np.argmax(order)]) for order, truth in pairs]
    return OrderingErrors(
        method,
        len(pairs),
        max(len(truth) for _, truth in pairs),
        _mean([spearman(*pair) for pair in pairs]),
        _mean([kendall(*pair) for pair in pairs]),
        float(np.mean(regrets)),
        max(regrets),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _predicted_backbone(spec: BackboneSpec, value: float, half_width: float) -> PredictedBackbone:
    low, value_shown, high = np.clip([value - half_width, value, value + half_width], 0, 1).tolist()
    is_cut = value != value_shown
    if is_cut or not np.isfinite(half_width):
        return PredictedBackbone(spec.name, value_shown, None, None, spec.params, is_cut)
    return PredictedBackbone(spec.name, value_shown, low, high, spec.params)


def _only_column(cells: Sequence[BoardCell]) -> BoardCell:
    """Return a cell of the only task and dataset."""
    columns = sorted({cell.column for cell in cells})
    if len(columns) != 1:
        names = ", ".join(map(str, columns[:SHOWN])) or "none"
        raise ConfigError(
            f"records of one task on one dataset are needed; got {len(columns)}: {names}. Choose "
            "with --tasks, --datasets or --data."
        )
    if not metric_traits(cells[0].metric).is_share:
        raise ConfigError(
            f"{columns[0]}: its metric {cells[0].metric!r} is not a share where higher is better, "
            "so that it cannot be predicted from shares."
        )
    return cells[0]


def _require_enough(
    published: PublishedScores, observed: Bools, specs: Mapping[str, BackboneSpec]
) -> None:
    if observed.sum() < LEAST_OBSERVED:
        present = [specs[name] for name in published.backbones if name in specs]
        known = sorted((s for s in present if s.params), key=lambda spec: spec.params or 0)
        smallest = ", ".join(spec.name for spec in known[:SHOWN]) or "none"
        raise ConfigError(
            f"scores of at least {LEAST_OBSERVED} backbones of the tables are needed; the records "
            f"have {observed.sum()}. The smallest registered backbones of the tables: {smallest}. "
            f"Run them first, or say with {FLAG} PUBLISHED=BACKBONE which others are the same."
        )
    datasets = len(set(published.datasets))
    if datasets < LEAST_DATASETS:
        raise ConfigError(
            f"tables with at least {LEAST_DATASETS} datasets are needed, to tell how wrong "
            f"predictions are; got {datasets}."
        )


def parse_matches(texts: Iterable[str]) -> dict[str, str]:
    """Parse `PUBLISHED=BACKBONE`; ConfigError for other texts and names that are repeated."""
    matches: dict[str, str] = {}
    for text in texts:
        published, equals, backbone = (part.strip() for part in text.rpartition("="))
        if not published or not equals or not backbone:
            raise ConfigError(f"{FLAG} {text!r}: expected PUBLISHED=BACKBONE.")
        if published in matches or backbone in matches.values():
            raise ConfigError(f"{FLAG} {text!r}: one of the names already has a match.")
        matches[published] = backbone
    return matches


def _check_matches(
    matches: Mapping[str, str], published: Collection[str], specs: Mapping[str, BackboneSpec]
) -> None:
    for name, backbone in matches.items():
        text = f"{FLAG} {f'{name}={backbone}'!r}"
        if name not in published:
            raise ConfigError(f"{text}: no table has this backbone{nearest(name, published)}")
        if backbone not in specs:
            raise ConfigError(f"{text}: unknown backbone {backbone!r}{nearest(backbone, specs)}")
        if backbone != name and backbone in published:
            raise ConfigError(f"{text}: the tables have a backbone {backbone!r} of their own.")


def _registered_names(
    published: Sequence[str], specs: Mapping[str, BackboneSpec], matches: Mapping[str, str]
) -> dict[str, str]:
    """Map the names of a table to registered ones, and to themselves where none matches.

    A name matches that of an entry, its hub repository, or its architecture with the tag of its
    weights (`resnet50.a1_in1k`), ignoring case and punctuation. No two names of a table match the
    same entry.
    """
    entries: dict[str, set[str]] = {}
    for spec in specs.values():
        for label in _labels(spec):
            entries.setdefault(_letters(label), set()).add(spec.name)
    names: dict[str, str] = {name: matches[name] for name in published if name in matches}
    taken = {*matches.values()}
    in_registry_first = sorted(dict.fromkeys(published), key=lambda name: name not in specs)
    for name in in_registry_first:
        if name in names:
            continue
        candidates = {name} if name in specs else entries.get(_letters(name), set())
        match = next(iter(candidates)) if len(candidates) == 1 else name
        names[name] = name if match in taken else match
        taken.add(names[name])
    return names


def _labels(spec: BackboneSpec) -> list[str]:
    labels = [spec.name]
    if spec.weights and spec.weights.hub:
        labels += [spec.weights.hub, spec.weights.hub.rpartition("/")[2]]
    if spec.loader == "timm" and "." in spec.architecture:
        labels.append(spec.architecture)
    return labels


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))
