"""Effective robustness of every backbone under every shift of every column."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bob.leaderboards.cells import (
    BoardCell,
    BoardColumn,
    is_baseline,
    mean,
)
from bob.leaderboards.metric_traits import metric_traits
from bob.metrics.score_ranges import base_metric
from bob.records.record import Score
from bob.statistics.effective_robustness import EffectiveRobustness, effective_robustness

SHIFT, CLASSES_OF = "shift", "classes_of"
"""Facets of a score: its test set, and (in distribution) the shift to whose classes the test set is
restricted."""
IN_DISTRIBUTION = "test"
"""Value of the facet SHIFT for the test set of the dataset that the probe was fitted on."""


@dataclass(frozen=True)
class ShiftRobustness:
    """One column under one shift, over the backbones that have both scores."""

    column: BoardColumn
    shift: str
    metric: str
    """Score on shifted images, such as `top1_poly`."""
    reference: str
    """Score in distribution, such as `top1_test`."""
    values: dict[str, tuple[float, float]]
    """Backbone → (score in distribution, score on shifted images)."""
    fit: EffectiveRobustness | None
    """None if the pool is too small to fit a line."""

    @cached_property
    def residuals(self) -> dict[str, float]:
        """Backbone → effective robustness, for backbones that have one."""
        if self.fit is None:
            return {}
        residuals = zip(self.values, self.fit.residual.tolist(), strict=True)
        return {name: residual for name, residual in residuals if np.isfinite(residual)}

    @property
    def pool(self) -> tuple[str, ...]:
        """The backbones that the line is fitted to.

        Those that are not baselines and whose scores are both strictly between 0 and 1.
        """
        if self.fit is None:
            return ()
        fitted = zip(self.values, self.fit.pool.tolist(), strict=True)
        return tuple(name for name, in_pool in fitted if in_pool)


def shift_robustness(cells: Iterable[BoardCell]) -> tuple[ShiftRobustness, ...]:
    """Return the robustness under every shift of every column of measured results, in order."""
    columns: dict[BoardColumn, list[BoardCell]] = defaultdict(list)
    for cell in cells:
        if cell.record.external is None and _shift_scores(cell):
            columns[cell.column].append(cell)
    return tuple(
        robustness
        for column, group in sorted(columns.items())
        for robustness in _column_robustness(column, group)
    )


def _shift_scores(cell: BoardCell) -> list[Score]:
    return [score for score in cell.record.scores if SHIFT in score.facets]


def _column_robustness(
    column: BoardColumn, cells: Sequence[BoardCell]
) -> Iterable[ShiftRobustness]:
    scores = {score.metric: score for cell in cells for score in _shift_scores(cell)}
    values = {cell.record.backbone_name: _seed_means(cell) for cell in cells}
    ranked = {cell.record.backbone_name for cell in cells if not is_baseline(cell.record)}
    for score in scores.values():
        reference = _reference(score, scores.values(), cells[0].record.task.metrics)
        if reference is not None:
            yield _robustness(column, score, reference, values, ranked)


def _reference(score: Score, scores: Iterable[Score], metrics: Sequence[str]) -> str | None:
    """Return the score in distribution of the same metric, on the shift's classes if there is one.

    None if the metric is not a share, or if there is no such score.
    """
    metric, shift = base_metric(score.metric, metrics), score.facets[SHIFT]
    if shift == IN_DISTRIBUTION or not metric_traits(metric).is_share:
        return None
    references = [
        other
        for other in scores
        if other.facets[SHIFT] == IN_DISTRIBUTION
        and base_metric(other.metric, metrics) == metric
        and other.facets.get(CLASSES_OF) in (None, shift)
    ]
    if not references:
        return None
    return max(references, key=lambda reference: CLASSES_OF in reference.facets).metric


def _robustness(
    column: BoardColumn,
    score: Score,
    reference: str,
    values: Mapping[str, Mapping[str, float | None]],
    ranked: Collection[str],
) -> ShiftRobustness:
    """Fit the line to the `ranked` backbones; `values` are by backbone and score."""
    both: dict[str, tuple[float, float]] = {}
    for name, scores in sorted(values.items()):
        original, shifted = scores.get(reference), scores.get(score.metric)
        if original is not None and shifted is not None:
            both[name] = original, shifted
    x, y = np.array(list(both.values()), np.float64).reshape(-1, 2).T
    fit = effective_robustness(x, y, np.array([name in ranked for name in both], bool))
    return ShiftRobustness(column, str(score.facets[SHIFT]), score.metric, reference, both, fit)


def _seed_means(cell: BoardCell) -> dict[str, float | None]:
    """Return each shift score's mean over seeds; None if it has no value under some seed."""
    values: dict[str, list[float | None]] = defaultdict(list)
    for score in _shift_scores(cell):
        values[score.metric].append(score.value)
    return {metric: mean(seeds) for metric, seeds in values.items()}
