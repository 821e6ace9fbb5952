"""Whether more train images would turn the order of two backbones, by their learning curves."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bob.leaderboards.cells import BoardColumn, column_of
from bob.leaderboards.pairwise import Comparison
from bob.outcomes import LearningCurve
from bob.records.record import Record
from bob.statistics.learning_curves import Forecast, forecast


def forecasts(
    comparison: Comparison,
    records: Sequence[Record],
    outcomes: Callable[[Record], Sequence[Any]],
) -> Iterator[tuple[BoardColumn, Forecast]]:
    """Yield the setting and the forecast of each learning curve that both backbones have.

    `outcomes` reads the headline outcomes of a record, of which those of the first seed count.
    """
    for setting in comparison.per_setting:
        curves = [
            _curve(outcomes(record))
            for name in (comparison.a, comparison.b)
            for record in records
            if record.backbone_name == name and column_of(record) == setting.column
        ]
        if len(curves) != 2 or curves[0] is None or curves[1] is None:
            continue
        a, b = curves[0], curves[1]
        if a.right.shape == b.right.shape and (a.train_images == b.train_images).all():
            yield setting.column, forecast(a.right, b.right, a.train_images)


def _curve(outcomes: Sequence[Any]) -> LearningCurve | None:
    first = next(iter(outcomes), None)
    return first if isinstance(first, LearningCurve) and len(first.train_images) > 1 else None
