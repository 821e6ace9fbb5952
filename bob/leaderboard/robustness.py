"""Effective robustness under every shift: each backbone's score on shifted images against what the pool leads one to expect."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bob.leaderboard.cells import Cell, Column, base_of, is_share, mean
from bob.leaderboard.per_example import is_rival
from bob.records.record import Score
from bob.statistics.effective_robustness import EffectiveRobustness, effective_robustness

SHIFT, CLASSES_OF = "shift", "classes_of"
"""Facets: the test set that a score is on, and, of one in distribution, the shift to whose classes it is narrowed."""
OWN = "test"
"""The test set that is no shift: that of the dataset which the probe was fitted on."""


@dataclass(frozen=True)
class UnderShift:
    """One task on one dataset under one shift, over the backbones that have both scores."""

    column: Column
    shift: str
    metric: str
    """The score on shifted images, `top1_poly`."""
    reference: str
    """The score in distribution, `top1_test`."""
    values: dict[str, tuple[float, float]]
    """Backbone → in distribution, shifted."""
    found: EffectiveRobustness | None
    """None where the pool is too small to draw a line."""

    @property
    def residuals(self) -> dict[str, float]:
        """Backbone → effective robustness; whoever has none is not in it."""
        of = (
            {}
            if self.found is None
            else dict(zip(self.values, self.found.residual.tolist(), strict=True))
        )
        return {name: value for name, value in of.items() if np.isfinite(value)}

    @property
    def pool(self) -> tuple[str, ...]:
        """The backbones that draw the line: all that are no floors, strictly between 0 and 1 in both scores."""
        return (
            ()
            if self.found is None
            else tuple(
                name
                for name, draws in zip(self.values, self.found.pool.tolist(), strict=True)
                if draws
            )
        )


def under_shifts(cells: Iterable[Cell]) -> tuple[UnderShift, ...]:
    """Every shift of every column of one's own records, in order."""
    columns: dict[Column, list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.record.external is None and any(
            SHIFT in score.facets for score in cell.record.scores
        ):
            columns[cell.column].append(cell)
    return tuple(
        found for column, held in sorted(columns.items()) for found in _of_column(column, held)
    )


def _of_column(column: Column, cells: Sequence[Cell]) -> Iterable[UnderShift]:
    scores = {
        score.metric: score
        for cell in cells
        for score in cell.record.scores
        if SHIFT in score.facets
    }
    values = {cell.record.backbone_name: _values(cell) for cell in cells}
    rivals = {cell.record.backbone_name for cell in cells if is_rival(cell.record)}
    for score in scores.values():
        reference = _reference(score, scores.values(), cells[0].record.task.metrics)
        if reference is not None:
            yield _under_shift(column, score, reference, values, rivals)


def _reference(score: Score, scores: Iterable[Score], metrics: Sequence[str]) -> str | None:
    """The same metric in distribution, among the shift's classes where those are fewer; None for what is no share, or has none beside it."""
    base, shift = base_of(score.metric, metrics), score.facets[SHIFT]
    if shift == OWN or not is_share(base):
        return None
    own = [
        one
        for one in scores
        if one.facets[SHIFT] == OWN
        and base_of(one.metric, metrics) == base
        and one.facets.get(CLASSES_OF) in (None, shift)
    ]
    return max(own, key=lambda one: CLASSES_OF in one.facets).metric if own else None


def _under_shift(
    column: Column,
    score: Score,
    reference: str,
    values: Mapping[str, Mapping[str, float | None]],
    rivals: Collection[str],
) -> UnderShift:
    both = {name: (held.get(reference), held.get(score.metric)) for name, held in values.items()}
    known = {
        name: (own, shifted)
        for name, (own, shifted) in sorted(both.items())
        if own is not None and shifted is not None
    }
    own, shifted = np.array(list(known.values()), np.float64).reshape(-1, 2).T
    found = effective_robustness(own, shifted, np.array([name in rivals for name in known], bool))
    return UnderShift(column, str(score.facets[SHIFT]), score.metric, reference, known, found)


def _values(cell: Cell) -> dict[str, float | None]:
    """Of each score on some test set, the mean over seeds; None where one has none."""
    held: dict[str, list[float | None]] = defaultdict(list)
    for score in cell.record.scores:
        if SHIFT in score.facets:
            held[score.metric].append(score.value)
    return {name: mean(values) for name, values in held.items()}
