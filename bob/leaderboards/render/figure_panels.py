"""Values of the figures with one panel for each head, or for each dataset with shifts.

A point is a mean over datasets only where all backbones of the panel have each of them; values of
different heads, ways, metrics or shifts are never averaged.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bob.leaderboards.board import Board
from bob.leaderboards.cells import is_baseline, mean
from bob.metrics.score_ranges import base_metric
from bob.records.record import Score

Place = str | int | float
"""A place on the horizontal axis: shots, or the name of a test set."""
IN_DISTRIBUTION = "test"


class CurvePoint(NamedTuple):
    """A value with its 95 % interval, as fractions."""

    value: float
    low: float | None
    high: float | None


Curve = Mapping[Place, CurvePoint]


@dataclass(frozen=True)
class CurvePanel:
    """The curves of one panel."""

    title: str
    datasets: tuple[str, ...]
    """Those over which each point is a mean."""
    curves: Mapping[str, Curve]
    """By backbone; the places of each curve in order."""


class _Key(NamedTuple):
    task: str
    metric: str
    facets: tuple[tuple[str, str], ...]
    """All facets but that of the axis."""


def shot_panels(board: Board) -> list[CurvePanel]:
    """Return few-shot accuracy over shots: one panel for each task, head and number of ways."""
    panels = []
    for key, by_dataset in _values(board, "shots", "few_shot_top1").items():
        facets = ", ".join(f"{name} {value}" for name, value in key.facets)
        title = ": ".join(filter(None, [key.task, facets]))
        panels += _over_datasets(title, by_dataset)
    return panels


def shift_panels(board: Board) -> list[CurvePanel]:
    """Return accuracy in distribution and on each shifted set: one panel for each dataset."""
    panels = []
    for key, by_dataset in _values(board, "shift", "top1").items():
        if any(name == "classes_of" for name, _ in key.facets):  # a part of the test set
            continue
        facets = "".join(f", {name} {value}" for name, value in key.facets)
        for dataset, curves in by_dataset.items():
            if any(place != IN_DISTRIBUTION for curve in curves.values() for place in curve):
                panels.append(CurvePanel(f"{key.task}: {dataset}{facets}", (dataset,), curves))
    return panels


def best_of(panels: Sequence[CurvePanel], most: int) -> list[str]:
    """Return at most `most` backbones, by their mean value over all points, the best first.

    Those that lack a panel come last.
    """
    by_name: dict[str, list[float]] = defaultdict(list)
    count: dict[str, int] = defaultdict(int)
    for panel in panels:
        for name, curve in panel.curves.items():
            by_name[name] += [point.value for point in curve.values()]
            count[name] += 1
    return sorted(by_name, key=lambda name: (-count[name], -float(np.mean(by_name[name])), name))[
        :most
    ]


def _values(
    board: Board, axis: str, metric: str
) -> dict[_Key, dict[str, dict[str, dict[Place, CurvePoint]]]]:
    """Return the points by panel, dataset, backbone and place, without baselines."""
    seeds: dict[tuple[_Key, str, str, Place], list[Score]] = defaultdict(list)
    for record in board.records:
        for score in () if is_baseline(record) else record.scores:
            if axis in score.facets and base_metric(score.metric, record.task.metrics) == metric:
                others = sorted((n, str(v)) for n, v in score.facets.items() if n != axis)
                key = _Key(record.task.name, metric, tuple(others))
                place = score.facets[axis]
                seeds[key, record.dataset_name, record.backbone_name, place].append(score)
    values: dict[_Key, dict[str, dict[str, dict[Place, CurvePoint]]]] = {}
    for (key, dataset, backbone, place), scores in sorted(seeds.items(), key=_order):
        value = mean(score.value for score in scores)
        if value is not None:
            low, high = (mean(getattr(score, end) for score in scores) for end in ("low", "high"))
            curves = values.setdefault(key, {}).setdefault(dataset, {})
            curves.setdefault(backbone, {})[place] = CurvePoint(value, low, high)
    return values


def _order(item: tuple[tuple[_Key, str, str, Place], object]) -> tuple[object, ...]:
    """Sort numbers by size, and the test set in distribution before shifted ones."""
    key, dataset, backbone, place = item[0]
    is_text = isinstance(place, str)
    number = 0.0 if isinstance(place, str) else float(place)
    return key, dataset, backbone, is_text, number, place != IN_DISTRIBUTION, str(place)


def _over_datasets(title: str, by_dataset: Mapping[str, Mapping[str, Curve]]) -> list[CurvePanel]:
    """Return the panel of means over the datasets that all backbones have at the same places.

    Without such datasets, each dataset is a panel of its own.
    """
    places = {tuple(curve) for curves in by_dataset.values() for curve in curves.values()}
    backbones = {frozenset(curves) for curves in by_dataset.values()}
    if len(by_dataset) > 1 and len(places) == len(backbones) == 1:
        curves = {
            name: _mean_curve([curves[name] for curves in by_dataset.values()])
            for name in sorted(next(iter(backbones)))
        }
        return [CurvePanel(title, tuple(by_dataset), curves)]
    return [
        CurvePanel(f"{title}, {dataset}", (dataset,), curves)
        for dataset, curves in by_dataset.items()
    ]


def _mean_curve(curves: Iterable[Curve]) -> Curve:
    """Return the mean curve of independent datasets: squared distances of limits add up."""
    curves = list(curves)
    return {place: _mean_point([curve[place] for curve in curves]) for place in curves[0]}


def _mean_point(points: Sequence[CurvePoint]) -> CurvePoint:
    value = float(np.mean([point.value for point in points]))
    low, high = [point.low for point in points], [point.high for point in points]
    if None in low or None in high:
        return CurvePoint(value, None, None)
    values = np.array([point.value for point in points])
    below, above = (
        float(np.sqrt(np.square(np.array(limits, float) - values).sum())) / len(points)
        for limits in (low, high)
    )
    return CurvePoint(value, max(0.0, value - below), min(1.0, value + above))
